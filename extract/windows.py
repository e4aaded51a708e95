"""A feature a window of frames: a window is the whole video, or so many seconds of it."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from .extractor import Units
from .frames import DeviceFrameBatch, FrameBatch
from .framewise import FramewiseExtractor
from .sampling import Samples

if TYPE_CHECKING:
    import torch

    from ..models.base import Encoder, WindowEncoder

_ROUNDING_MS = Fraction(1)  # containers round times to a millisecond: a window that ends so near the end has reached it
_FLOAT_SLACK_MS = 0.001


class WindowExtractor:
    """Windows [t, t + window) every `stride` seconds from the first frame on; the first to reach the video's end is the
    last. The encoder chooses num_frames of the rows inside each, and a frame is decoded once for all its windows.

    - A last window that is shorter is kept if a frame begins in it.
    - Another one in which no frame begins holds the frame on screen when it starts.
    - `timestamps_ms`: presentation time of the window's first frame. `intervals_ms`: the window, ending where the video
      (or the segment of it) ends at the latest.
    """

    def __init__(self, encoder: WindowEncoder, window_seconds: float | None = None, stride_seconds: float | None = None):
        self.encoder: Encoder = encoder
        self._choose_frames = encoder.choose_frames
        self._window_ms = _exact_ms(window_seconds) if window_seconds is not None else None
        self._stride_ms = _exact_ms(stride_seconds) if stride_seconds is not None else self._window_ms
        self._framewise = FramewiseExtractor(encoder)

    def units(self, samples: Samples) -> Units:
        intervals = self._intervals(samples)  # [n, 2]
        first, stop = np.searchsorted(samples.timestamps_ms, intervals - _FLOAT_SLACK_MS, side="left").T  # [n], [n]
        if len(intervals) > 1 and first[-1] == stop[-1] and np.ptp(intervals[-1]) < np.ptp(intervals[0]):
            intervals, first, stop = intervals[:-1], first[:-1], stop[:-1]
        first = np.where(first == stop, np.maximum(first - 1, 0), first)
        counts = np.maximum(stop - first, 1)
        chosen = [begin + self._choose_frames(count)
                  for begin, count in zip(first.tolist(), counts.tolist(), strict=True)]
        frames, rows = np.unique(samples.frames[np.stack(chosen)], axis=0, return_inverse=True)  # [u, T], [n]
        return Units(frames, rows.reshape(-1), samples.timestamps_ms[first], intervals)

    def prepare(self, batch: FrameBatch | DeviceFrameBatch) -> torch.Tensor:
        return self._framewise.prepare(batch)

    def encode(self, crops: torch.Tensor) -> np.ndarray:
        return self._framewise.encode(crops)

    def _intervals(self, samples: Samples) -> np.ndarray:
        """float64 [n, 2], before it is known which of them hold frames."""
        begin, end = Fraction(samples.begin_ms), Fraction(samples.end_ms)
        if self._window_ms is None or self._stride_ms is None:
            return np.array([[begin, end]], dtype=np.float64)
        length = end - begin - _ROUNDING_MS
        count = 1 + max(0, math.ceil((length - self._window_ms) / self._stride_ms))
        count = max(1, min(count, math.ceil(length / self._stride_ms)))
        starts = [begin + k * self._stride_ms for k in range(count)]
        ends = [start + self._window_ms for start in starts]
        if ends[-1] >= end - _ROUNDING_MS:
            ends[-1] = end
        return np.array([starts, ends], dtype=np.float64).T


def _exact_ms(seconds: float) -> Fraction:
    """As the user wrote it: 0.1 is 1/10."""
    return 1000 * Fraction(str(seconds))
