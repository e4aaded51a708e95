"""The best distinct moments of a curve, and a curve in few cells. Pure."""

from __future__ import annotations

import numpy as np

ALIKE = 0.995  # cosine of two frames that show the same picture


def best_moments(times_ms: np.ndarray, curve: np.ndarray, count: int, *, apart_ms: float,
                 features: np.ndarray | None = None) -> list[int]:
    """Rows of at most `count` moments, best first: no two nearer than `apart_ms`, and none that looks like a better one.

    Args:
        times_ms: float64 [n], increasing.
        curve: [n].
        features: unit rows [n, dim] by which two pictures are told to be the same.
    """
    chosen: list[int] = []
    for row in np.argsort(-curve, kind="stable").tolist():
        if len(chosen) >= count:
            break
        near = any(abs(times_ms[row] - times_ms[other]) < apart_ms for other in chosen)
        if near or (features is not None and chosen and float((features[chosen] @ features[row]).max()) > ALIKE):
            continue
        chosen.append(row)
    return chosen


def usual_distance_ms(duration_ms: float, count: int) -> float:
    """How far apart moments of a film strip should be: a quarter of an even spread, at most ten seconds."""
    return min(10_000.0, duration_ms / max(1, 4 * count))


def in_cells(times_ms: np.ndarray, curve: np.ndarray, duration_ms: float, cells: int) -> np.ndarray:
    """float32 [cells]: the highest score in each equal part of the video; a part without a row takes the one before it."""
    if not len(curve):
        return np.zeros(cells, dtype=np.float32)
    place = np.clip((times_ms / max(duration_ms, 1e-9) * cells).astype(np.int64), 0, cells - 1)
    strip = np.full(cells, -np.inf, dtype=np.float32)
    np.maximum.at(strip, place, curve.astype(np.float32))
    known = np.flatnonzero(np.isfinite(strip))
    return strip[known[np.clip(np.searchsorted(known, np.arange(cells), side="right") - 1, 0, None)]]
