"""Batches through one encoder: handed over in order, given back in order, split where a device's memory runs out."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..errors import ClipreelError
from .choosing import ChoosingExtractor
from .extractor import Extractor

if TYPE_CHECKING:
    import torch

log = logging.getLogger("clipreel")
UNDER_WAY_ON_GPU = 2  # batches: while one is computed, the next has arrived, and the host prepares a third


@dataclass(frozen=True, eq=False)
class Encoded:
    """What came of a batch, and the seconds that the device computed on it."""

    features: np.ndarray  # float32 [n, dim]
    seconds: float


class Passes(Protocol):
    """Single forward passes. `begin` takes uint8 [3, S, S] (windows: [T, 3, S, S]) of any device, and gives a function that
    waits for what they became; it raises torch.OutOfMemoryError. `shrink`: memory ran out, so hold what is needed only."""

    def begin(self, pixels: list[torch.Tensor]) -> Callable[[], Encoded]: ...

    def shrink(self) -> None: ...


class Forward:
    """`submit` batches, then iterate over `results`: in their order, until no more than `under_way` are left to wait for.

    `padded`: smaller batches are filled up with black. `splits`: go on with smaller ones when memory runs out.
    """

    def __init__(self, passes: Passes, device: str, batch_size: int, *, padded: bool = False, splits: bool = True,
                 under_way: int = 0):
        self.under_way = under_way
        self._passes, self._device = passes, device
        self._batch_size, self._padded, self._splits = batch_size, padded, splits
        self._limit = batch_size
        self._batches: deque[tuple[int, list[Callable[[], Encoded]]]] = deque()

    def submit(self, pixels: list[torch.Tensor]) -> None:
        """Begin a batch. Raises torch.OutOfMemoryError where there is no memory for one unit, ClipreelError where the batch
        must not be split."""
        import torch

        count, parts = len(pixels), list[Callable[[], Encoded]]()
        if self._padded:
            pixels = [*pixels, *[torch.zeros_like(pixels[0])] * (self._batch_size - count)]
        done = 0
        while done < len(pixels):
            some = pixels[done:done + self._limit]
            try:
                parts.append(self._passes.begin(some))
                done += len(some)
                continue
            except torch.OutOfMemoryError as error:
                self._halve(len(some), error)
            # outside the handler, where the failed pass's tensors are no longer held by the traceback
            self._settle(parts)
        self._batches.append((count, parts))

    def results(self, under_way: int) -> Iterator[Encoded]:
        """float32 [n, dim] of the oldest batches."""
        while len(self._batches) > under_way:
            count, parts = self._batches.popleft()
            done = [part() for part in parts]
            yield Encoded(np.concatenate([one.features for one in done])[:count], sum(one.seconds for one in done))

    def _halve(self, size: int, error: Exception) -> None:
        if self._limit <= 1:
            raise error
        if not self._splits:
            raise ClipreelError(f"{self._device}: out of memory with batch_size={self._limit}, and deterministic=true keeps "
                                "batches as they are: give a smaller batch_size") from error
        self._limit, self._padded = max(1, size // 2), False
        log.warning("%s: out of memory; going on with batches of %d", self._device, self._limit)

    def _settle(self, parts: list[Callable[[], Encoded]]) -> None:
        """Wait for all that is under way, and give the memory back."""
        import torch

        for some in [*(waiting for _, waiting in self._batches), parts]:
            some[:] = [_known(part()) for part in some]
        self._passes.shrink()
        torch.cuda.empty_cache()


class OneByOne:
    """The extractor's own `encode`, done when `begin` comes back: on CPUs, and where frames are chosen."""

    def __init__(self, extractor: Extractor):
        self._extractor = extractor

    def begin(self, pixels: list[torch.Tensor]) -> Callable[[], Encoded]:
        import torch

        began = time.perf_counter()
        if any(one.is_cuda for one in pixels):  # by a GPU's decoder, perhaps another's
            pixels = [one.to(self._extractor.encoder.device) for one in pixels]
        features = self._extractor.encode(torch.stack(pixels))
        return _known(Encoded(features, time.perf_counter() - began))

    def shrink(self) -> None:
        """Nothing is held."""


def _known(encoded: Encoded) -> Callable[[], Encoded]:
    return lambda: encoded


def unit_shape(extractor: Extractor) -> tuple[int, ...]:
    """Of one unit's pixels: [3, S, S], or [T, 3, S, S] for windows."""
    size, frames = extractor.encoder.preprocess.image_size, getattr(extractor.encoder, "num_frames", None)
    return (3, size, size) if frames is None else (frames, 3, size, size)


def forward_of(extractor: Extractor, batch_size: int, *, deterministic: bool = False, compiled: bool = False) -> Forward:
    """The way through this extractor's device. `deterministic`: every pass has `batch_size` units, because kernels may round a row
    otherwise in a batch of another size. `compiled`: the encoder is, for passes of that size; it is warmed up here."""
    device, under_way = extractor.encoder.device, 0
    if device.type == "cuda" and not isinstance(extractor, ChoosingExtractor):
        from .forward_gpu import GpuPasses

        passes: Passes = GpuPasses(extractor.encoder, batch_size, unit_shape(extractor), compiled=compiled)
        under_way = UNDER_WAY_ON_GPU
    else:
        passes = OneByOne(extractor)
        if compiled:
            import torch

            passes.begin([torch.zeros(unit_shape(extractor), dtype=torch.uint8)] * batch_size)
    return Forward(passes, str(device), batch_size, padded=deterministic or compiled, splits=not deterministic, under_way=under_way)
