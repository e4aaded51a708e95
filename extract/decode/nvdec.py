"""Whether torchcodec, and with it the decoder of a GPU (NVDEC), can be used here, and why not."""

from __future__ import annotations

import importlib
import importlib.metadata
import re
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import torch

SAMPLE = Path(__file__).parents[2] / "sample" / "red_circle_then_blue_square.mp4"
THREADS = 8  # a device: a decoder uses one engine, and a data-centre GPU has 5 to 8 of them
_LEAST = (0, 16)  # before it, frames in wrong colours and in the wrong order of streams


@cache
def torchcodec_fault() -> str | None:
    """A sentence, or None where it works on the CPU."""
    try:
        version = importlib.metadata.version("torchcodec")
    except importlib.metadata.PackageNotFoundError:
        return "torchcodec is not installed: pip install 'clipreel[gpu]'"
    if tuple(int(number) for number in re.findall(r"\d+", version)[:2]) < _LEAST:
        return f"torchcodec {version} is too old, 0.16 is needed: pip install -U torchcodec"
    try:
        _first_frame("cpu")
    except (ImportError, OSError, RuntimeError) as error:
        return (f"torchcodec {version} does not work ({_reason(error)}): it needs FFmpeg's shared libraries (4 to 9), such as "
                "apt install ffmpeg")
    return None


@cache
def nvdec_fault(device: str) -> str | None:
    """A sentence, or None where this CUDA device decodes."""
    if (fault := torchcodec_fault()) is not None:
        return fault
    try:
        fallback = _first_frame(device)
    except (OSError, RuntimeError) as error:
        return f"{device}: torchcodec fails ({_reason(error)})"
    if not fallback:
        return None
    return (f"{device}: its driver offers no NVDEC ({fallback}): in a container, NVIDIA_DRIVER_CAPABILITIES must contain "
            "video; a part of a GPU (MIG) may have none")


def own_stream(device: str | None) -> AbstractContextManager[object]:
    """What this thread does on the device waits for none of the others."""
    if device is None or not device.startswith("cuda"):
        return nullcontext()
    import torch

    return torch.cuda.stream(torch.cuda.Stream(device))


def wait_until_made(pixels: torch.Tensor) -> None:
    """What this thread's stream makes is taken by other threads on streams of their own, which know nothing of it; and what it was
    made of must not be given back before. Nobody but this thread waits here, asleep. On a CPU there is nothing to wait for."""
    if pixels.is_cuda:
        import torch

        made = torch.cuda.Event(blocking=True)
        made.record(torch.cuda.current_stream(pixels.device))
        made.synchronize()


def video_decoder(file: BinaryIO, **options: Any) -> Any:
    """torchcodec's VideoDecoder, of a package that need not be installed."""
    return importlib.import_module("torchcodec.decoders").VideoDecoder(file, **options)


def _first_frame(device: str) -> str:
    """Decodes one of the sample's; why the CPU did it, or nothing."""
    with open(SAMPLE, "rb") as file:
        decoder = video_decoder(file, device=device)
        decoder.get_frame_at(0)
        return str(decoder.cpu_fallback) if decoder.cpu_fallback else ""


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0]
