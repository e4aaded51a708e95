"""Which decoders a run has: the CPU's threads, the decoders of its GPUs (NVDEC), or both on one queue."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ..configs.schema import ExtractConfig
from ..errors import ConfigError
from .decode.nvdec import nvdec_fault, torchcodec_fault

log = logging.getLogger("clipreel")


def nvdec_devices(config: ExtractConfig, devices: Sequence[str]) -> tuple[str, ...]:
    """The devices that decode. Says why one does not that was to; the CPU does it then. Raises ConfigError for reader=torchcodec
    where torchcodec does not work at all.

    reader=auto asks for them where the numbers may come from either: not for deterministic=true, nor where videos are decoded in
    other processes or looked at before (isolate, launcher=ray, select).
    """
    fault = torchcodec_fault() if config.reader == "torchcodec" else None
    if fault is not None:
        raise ConfigError(f"reader=torchcodec: {fault}; or use reader=auto")
    either = config.reader == "auto" and not (config.deterministic or config.select is not None or config.launcher == "ray")
    if config.isolate or not (either or config.reader == "torchcodec"):
        return ()
    able = []
    for device in dict.fromkeys(device for device in devices if device.startswith("cuda")):
        if (fault := nvdec_fault(device)) is None:
            able.append(device)
        else:
            log.info("note: videos are decoded on the CPU alone (%s)", fault)
    return tuple(able)


def reader_name(reader: str, *, nvdec: bool, pictures: bool) -> str:
    """What provenance says decoded a video: NVDEC's pixels are near the CPU's, not equal to them."""
    if reader == "auto":
        return "images" if pictures else "pyav or nvdec" if nvdec else "pyav"
    return "nvdec" if reader == "torchcodec" and nvdec else reader
