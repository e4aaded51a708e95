"""The features of one video while they come in: keyframes first, then the plan's, then what is stored."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

from ..extract.features import Features
from .scores import unit


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What is known at one moment. `revision` grows with every row."""

    revision: int
    times_ms: np.ndarray  # float64 [n], strictly increasing
    features: np.ndarray  # float32 [n, dim], rows of length 1
    fine: np.ndarray  # bool [n], of the plan (not keyframes)
    planned_ms: np.ndarray  # float64 [p], every time of the plan; empty while it is not known
    complete: bool

    def __len__(self) -> int:
        return len(self.times_ms)

    def sampled_ms(self, end_ms: float) -> list[tuple[float, float]]:
        """The stretches that are analysed finely, half open."""
        if self.complete:
            return [(float(min(self.times_ms[0], 0.0)), end_ms)] if len(self) else []
        if not len(self.planned_ms):
            return []
        known = np.isin(self.planned_ms, self.times_ms[self.fine])
        ends = np.append(self.planned_ms[1:], end_ms)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]]).astype(np.int8)))
        return [(float(self.planned_ms[first]), float(ends[stop - 1]))
                for first, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)]


class Rows:
    """Added to from the extractor's threads, read from the server's."""

    def __init__(self):
        self._lock = threading.Lock()
        self._fine: dict[float, np.ndarray] = {}
        self._coarse: dict[float, np.ndarray] = {}
        self._planned = np.empty(0)
        self._revision = 0
        self._snapshot = _nothing(0)

    @property
    def revision(self) -> int:
        return self._revision

    def plan(self, times_ms: np.ndarray) -> None:
        with self._lock:
            self._planned = np.unique(times_ms)
            self._revision += 1

    def add(self, time_ms: float, feature: np.ndarray, *, fine: bool) -> None:
        with self._lock:
            (self._fine if fine else self._coarse)[time_ms] = feature
            self._revision += 1

    def known(self) -> dict[float, np.ndarray]:
        """The plan's features so far, by time."""
        with self._lock:
            return dict(self._fine)

    def coarse(self) -> dict[float, np.ndarray]:
        with self._lock:
            return dict(self._coarse)

    def finish(self, features: Features) -> None:
        """Nothing but what is stored counts from here on."""
        times = features.timestamps_ms if features.intervals_ms is None else features.intervals_ms[:, 0]
        times, first = np.unique(times, return_index=True)
        rows = unit(features.features[first])
        with self._lock:
            self._fine, self._coarse, self._planned = {}, {}, np.empty(0)
            self._revision += 1
            self._snapshot = Snapshot(self._revision, times, rows, np.ones(len(times), bool), np.empty(0), True)

    def forget(self) -> None:
        with self._lock:
            self._fine, self._coarse, self._planned = {}, {}, np.empty(0)
            self._revision += 1
            self._snapshot = _nothing(self._revision)

    def snapshot(self) -> Snapshot:
        with self._lock:
            if self._snapshot.revision == self._revision or self._snapshot.complete:
                return self._snapshot
            merged = {**self._coarse, **self._fine}
            times = np.array(sorted(merged))
            features = unit(np.stack([merged[time] for time in times.tolist()])) if merged else np.empty((0, 0), np.float32)
            fine = np.array([time in self._fine for time in times.tolist()], dtype=bool)
            self._snapshot = Snapshot(self._revision, times, features, fine, self._planned, False)
            return self._snapshot


def _nothing(revision: int) -> Snapshot:
    return Snapshot(revision, np.empty(0), np.empty((0, 0), np.float32), np.empty(0, bool), np.empty(0), False)
