"""Which devices to use."""

from __future__ import annotations

from ..errors import ConfigError


def resolve_devices(device_ids: tuple[str, ...] | None, device: str | None = None) -> list[str]:
    """torch's names, one a worker; a device named twice gets two replicas. None given: every CUDA device, else the CPU.

    Raises ConfigError that lists the devices present when one is not.
    """
    import torch

    present = [f"cuda:{number}" for number in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    if device_ids is None and device is None:
        return present or ["cpu"]
    named = device_ids if device_ids is not None else (device or "",)
    if not named:
        raise ConfigError(f"device_ids=[]: names no device; present are {', '.join([*present, 'cpu'])}")
    resolved = []
    for name in named:
        full = f"cuda:{name}" if name.isdigit() else "cuda:0" if name == "cuda" else name
        if full not in (*present, "cpu"):
            raise ConfigError(f"device {name!r} is not here; present are {', '.join([*present, 'cpu'])}: name these, or none")
        resolved.append(full)
    if len({name.split(":")[0] for name in resolved}) > 1:
        raise ConfigError(f"device_ids={list(named)} mixes the CPU with GPUs, whose precision differs: give one kind")
    return resolved
