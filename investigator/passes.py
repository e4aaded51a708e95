"""The two passes of an analysis as extractors for Foundation's pipeline: keyframes, then what of the plan is not there yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..extract.extractor import Extractor, Units
from ..extract.frames import DeviceFrameBatch, FrameBatch, VideoIndex
from ..extract.sampling import Samples
from .control import Control

if TYPE_CHECKING:
    import torch

MOST_KEYFRAMES = 150


class WatchedExtractor:
    """Another extractor that can be held and ended between frames, and shows every decoded picture to `see`. `choose` takes
    the units to do of all units."""

    def __init__(self, inner: Extractor, control: Control, see: Callable[[float, np.ndarray], object],
                 choose: Callable[[Units], Units]):
        self.encoder = inner.encoder
        self._inner, self._control, self._see, self._choose = inner, control, see, choose

    def units(self, samples: Samples) -> Units:
        return self._choose(self._inner.units(samples))

    def prepare(self, batch: FrameBatch | DeviceFrameBatch) -> Iterable[Any]:
        seen = batch if isinstance(batch, FrameBatch) else batch.on_cpu()
        self._control.check()
        for time_ms, picture in zip(batch.timestamps_ms.tolist(), seen.pixels, strict=True):
            self._see(time_ms, picture)
        return self._inner.prepare(batch)

    def encode(self, crops: torch.Tensor) -> np.ndarray:
        return self._inner.encode(crops)


def keyframes(index: VideoIndex, most: int = MOST_KEYFRAMES) -> np.ndarray:
    """Places of at most `most` keyframes, the nearest to an even spread; none where packets do not tell."""
    if index.packets is None:
        return np.empty(0, dtype=np.int64)
    places = np.unique(index.packets.shows[index.packets.entry & (index.packets.shows >= 0)])
    if len(places) <= most:
        return places
    ticks = index.pts[places]
    wanted = np.linspace(ticks[0], ticks[-1], most)
    after = np.clip(np.searchsorted(ticks, wanted), 1, len(ticks) - 1)
    nearest = np.where(wanted - ticks[after - 1] <= ticks[after] - wanted, after - 1, after)
    return places[np.unique(nearest)]


def units_at(places: np.ndarray) -> Callable[[Units], Units]:
    """From the units of every frame to those of some frames."""
    def choose(units: Units) -> Units:
        there = places[places < len(units.frames)]
        return Units(units.frames[there], np.arange(len(there)), units.timestamps_ms[there])

    return choose


def unit_times(units: Units) -> np.ndarray:
    """float64 [u]: the time by which each unit is known again: of its first row (of windows: where the row's begins)."""
    _, first = np.unique(units.rows, return_index=True)
    return (units.timestamps_ms if units.intervals_ms is None else units.intervals_ms[:, 0])[first]


def without(units: Units, known: Mapping[float, np.ndarray]) -> tuple[Units, np.ndarray]:
    """The units that are not known by their time, a row each, and which they are, bool [u]."""
    times = unit_times(units)
    lacking = np.array([time not in known for time in times.tolist()], dtype=bool)
    return Units(units.frames[lacking], np.arange(int(lacking.sum())), times[lacking]), lacking
