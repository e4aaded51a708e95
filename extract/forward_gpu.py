"""Forward passes on a GPU without a host wait between them: pinned memory, copies on a stream of their own, results fetched
when later passes are under way already, and one CUDA graph instead of many launches where that is faster.

Written against torch's device modules, so that all but streams and graphs runs on a CPU too (its streams do nothing).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ..models.base import Encoder
from .forward import UNDER_WAY_ON_GPU, Encoded

log = logging.getLogger("clipreel")
_GRAPH_GAIN = 0.98  # a graph is kept when its seconds are less than this share of those without


class GpuPasses:
    """See `forward.Passes`. `compiled`: the encoder is, for passes of `batch_size` units."""

    def __init__(self, encoder: Encoder, batch_size: int, shape: tuple[int, ...], *, compiled: bool = False):
        self._encoder = encoder
        self._on = torch.get_device_module(encoder.device)
        self._copying, self._computing = self._stream(), self._stream()
        self._slots = [_Slot(self._on, encoder, (batch_size, *shape)) for _ in range(UNDER_WAY_ON_GPU + 1)]
        # What other streams loaded and blackened must be there before these copy and compute.
        self._on.synchronize(encoder.device)
        self._turn = 0
        self._graph: _Graph | None = None
        if compiled:
            self._warm_up()

    def begin(self, pixels: list[torch.Tensor]) -> Callable[[], Encoded]:
        slot = self._slots[self._turn]
        self._turn = (self._turn + 1) % len(self._slots)
        slot.finish()  # whoever waits for it has it then
        on_host = [place for place, one in enumerate(pixels) if not one.is_cuda]
        decoded_here = [place for place, one in enumerate(pixels) if one.is_cuda]
        order, count, first = [*on_host, *decoded_here], len(pixels), len(on_host)
        if on_host:
            torch.stack([pixels[place] for place in on_host], out=slot.pinned[:first])
        with self._on.stream(self._copying):
            slot.pixels[:first].copy_(slot.pinned[:first], non_blocking=True)
            if decoded_here:
                torch.stack([self._fetched(pixels[place]) for place in decoded_here], out=slot.pixels[first:count])
            slot.copied.record(self._copying)
        with self._on.stream(self._computing), torch.inference_mode():
            self._computing.wait_event(slot.copied)
            slot.began.record(self._computing)
            slot.features[:count].copy_(self._features(slot.pixels, count), non_blocking=True)
            slot.ended.record(self._computing)
        return slot.promise(order)

    def shrink(self) -> None:
        self._on.synchronize(self._encoder.device)  # the pass that failed may still be reading its pinned memory
        self._graph = None

    def _stream(self) -> Any:
        return self._on.Stream(self._encoder.device) if self._encoder.device.type == "cuda" else self._on.Stream()

    def _fetched(self, pixels: torch.Tensor) -> torch.Tensor:
        """A decoded crop on this device. Its memory must not be given to others before the copy has read it."""
        pixels.record_stream(self._copying)
        return pixels.to(self._encoder.device, non_blocking=True)

    def _features(self, pixels: torch.Tensor, count: int) -> torch.Tensor:
        if self._graph is not None and count == len(pixels):
            return self._graph.replay(pixels)
        return self._encoder.encode(pixels[:count])

    def _warm_up(self) -> None:
        """Compile now, and capture a graph. Whatever else the process does must not touch this device meanwhile."""
        pixels = self._slots[0].pixels.zero_()
        with self._on.stream(self._computing), torch.inference_mode():
            for _ in range(3):
                self._encoder.encode(pixels)
            self._on.synchronize(self._encoder.device)
        if self._encoder.device.type == "cuda":
            try:
                graph = _Graph(self._encoder, pixels, self._computing)
                without, within = (self._seconds(call) for call in (lambda: self._encoder.encode(pixels),
                                                                   lambda: graph.replay(pixels)))
            except RuntimeError as error:  # out of memory among them
                log.info("note: %s: no CUDA graph (%s)", self._encoder.device, str(error).splitlines()[0])
                self._computing = self._stream()
                return
            if within < _GRAPH_GAIN * without:
                self._graph = graph

    def _seconds(self, call: Callable[[], object]) -> float:
        with self._on.stream(self._computing), torch.inference_mode():
            self._on.synchronize(self._encoder.device)
            began = time.perf_counter()
            for _ in range(5):
                call()
            self._on.synchronize(self._encoder.device)
        return (time.perf_counter() - began) / 5


class _Slot:
    """The memory and the events of one pass, used again when its features are fetched."""

    def __init__(self, on: Any, encoder: Encoder, shape: tuple[int, ...]):
        is_gpu = encoder.device.type == "cuda"
        self.pinned = torch.empty(shape, dtype=torch.uint8, pin_memory=is_gpu)
        self.pixels = torch.zeros(shape, dtype=torch.uint8, device=encoder.device)
        self.features = torch.empty(shape[0], encoder.dim, pin_memory=is_gpu)
        # "blocking": who waits sleeps. Else it would spin, on a core that decodes.
        began, ended = ({"enable_timing": True}, {"enable_timing": True, "blocking": True}) if is_gpu else ({}, {})
        self.copied, self.began, self.ended = on.Event(), on.Event(**began), on.Event(**ended)
        self._promise: _Promise | None = None

    def promise(self, order: list[int]) -> Callable[[], Encoded]:
        self._promise = _Promise(self, order)
        return self._promise

    def finish(self) -> None:
        if self._promise is not None:
            self._promise()
            self._promise = None


class _Promise:
    """Waits once; keeps what came of it."""

    def __init__(self, slot: _Slot, order: list[int]):
        self._slot: _Slot | None = slot
        self._order = order
        self._encoded: Encoded | None = None

    def __call__(self) -> Encoded:
        if self._encoded is None:
            slot = self._slot
            assert slot is not None
            slot.ended.synchronize()
            features = np.empty((len(self._order), slot.features.shape[1]), dtype=np.float32)
            features[self._order] = slot.features[:len(self._order)].numpy()
            seconds = slot.began.elapsed_time(slot.ended) / 1000 if hasattr(slot.began, "elapsed_time") else 0.0
            self._encoded, self._slot = Encoded(features, seconds), None
        return self._encoded


class _Graph:
    """The forward pass of a full batch, recorded once: one launch instead of hundreds."""

    def __init__(self, encoder: Encoder, pixels: torch.Tensor, stream: torch.cuda.Stream):
        self._pixels = pixels.clone()
        self._graph = torch.cuda.CUDAGraph()
        # "thread_local": other threads may allocate and decode on the device meanwhile. The stream is named twice, because a
        # capture that fails does not put this thread's own one back.
        with torch.cuda.device(encoder.device), torch.cuda.stream(stream), torch.inference_mode(), \
                torch.cuda.graph(self._graph, stream=stream, capture_error_mode="thread_local"):
            self._features = encoder.encode(self._pixels)

    def replay(self, pixels: torch.Tensor) -> torch.Tensor:
        """float32 [batch, dim], which the next replay on the stream overwrites."""
        self._pixels.copy_(pixels, non_blocking=True)
        self._graph.replay()
        return self._features
