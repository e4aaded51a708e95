"""`batch_size=auto`: as many units a pass as make it fast, and no more than fit."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from .choosing import ChoosingExtractor
from .extractor import Extractor
from .forward import unit_shape

log = logging.getLogger("clipreel")
_CPU_SECONDS, _GPU_SECONDS = 2.0, 20.0  # to spend on looking
_GAIN = 1.05  # a doubling must bring so much to be worth its memory ...
_PATIENCE = 2  # ... and after so many in a row that do not, nothing more is tried
_MOST, _MOST_ON_CPU = 1024, 64
_MEMORY_SHARE = 0.7  # of what is free; the rest is for frames that lie ready, decoders and other programs


def find_batch_size(extractors: list[Extractor]) -> int:
    """The smallest size that is nearly as fast as any, measured on random pictures by doubling from 1: for at most two seconds on
    a CPU, on a GPU until its memory is used to a share. 32 for an encoder that is elsewhere, whose server fills batches itself."""
    from ..models.remote.encoder import RemoteEncoder

    if any(isinstance(extractor.encoder, RemoteEncoder) for extractor in extractors):
        return 32
    distinct = {str(extractor.encoder.device): extractor for extractor in extractors}  # a batch must fit every device
    sizes = []
    for device, extractor in distinct.items():
        if device.startswith("cuda"):
            sizes.append(_on_gpu(extractor))
        else:
            sizes.append(best_size(_timed(extractor), most=_MOST_ON_CPU, seconds=_CPU_SECONDS))
    size = min(sizes)
    if isinstance(extractors[0], ChoosingExtractor):
        size = max(size, extractors[0].top_k)  # what one video gives
    log.info("batch_size=auto: %d", size)
    return size


def best_size(seconds_of: Callable[[int], float], *, most: int, seconds: float) -> int:
    """`seconds_of(size)` is one pass, or raises torch.OutOfMemoryError or `_NoRoom`."""
    import torch

    ended = time.monotonic() + seconds
    size, best, best_rate, in_vain = 1, 1, 0.0, 0
    while size <= most and in_vain < _PATIENCE:
        began = time.monotonic()
        try:
            rate = size / seconds_of(size)
        except torch.OutOfMemoryError:
            if size == 1:
                raise
            break
        except _NoRoom:
            break
        if rate >= _GAIN * best_rate:
            best, best_rate, in_vain = size, rate, 0
        else:
            in_vain += 1
        if time.monotonic() + 2 * (time.monotonic() - began) > ended:  # the next one takes twice as long
            break
        size *= 2
    return best


class _NoRoom(Exception):
    """The next size would need more memory than may be used."""


def _timed(extractor: Extractor) -> Callable[[int], float]:
    import torch

    def seconds_of(size: int) -> float:
        pixels = torch.randint(0, 256, (size, *unit_shape(extractor)), dtype=torch.uint8)
        took = []
        for _ in range(2):  # the first pass of a shape prepares kernels and memory
            began = time.perf_counter()
            extractor.encoder.encode(pixels)
            took.append(time.perf_counter() - began)
        return min(took)

    return seconds_of


def _on_gpu(extractor: Extractor) -> int:
    import torch

    device = extractor.encoder.device
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated(device)
    room = _MEMORY_SHARE * torch.cuda.mem_get_info(device)[0]

    def seconds_of(size: int) -> float:
        pixels = torch.randint(0, 256, (size, *unit_shape(extractor)), dtype=torch.uint8, device=device)
        torch.cuda.reset_peak_memory_stats(device)
        took = []
        for _ in range(3):
            torch.cuda.synchronize(device)
            began = time.perf_counter()
            extractor.encoder.encode(pixels)
            torch.cuda.synchronize(device)
            took.append(time.perf_counter() - began)
        if torch.cuda.max_memory_allocated(device) - before > room:
            raise _NoRoom
        return min(took)

    try:
        return best_size(seconds_of, most=_MOST, seconds=_GPU_SECONDS)
    finally:
        torch.cuda.empty_cache()
