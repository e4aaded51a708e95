"""By how much one video is behind another, told by their frames' features. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_LEAST_OVERLAP = 0.3  # of the shorter video
_MOST_STEPS = 4000


@dataclass(frozen=True)
class Offset:
    """What is seen at t in A is seen at t + offset_ms in B. `confidence` 0 to 1: how far it stands above all other offsets."""

    offset_ms: float
    confidence: float


def estimate_offset(times_a_ms: np.ndarray, a: np.ndarray, times_b_ms: np.ndarray, b: np.ndarray) -> Offset:
    """Where the mean likeness of frames seen together is highest, of unit features [n, dim] and [m, dim] at increasing times.

    Features are taken relative to both videos' mean, so that what both always show says nothing.
    """
    if len(a) < 2 or len(b) < 2:
        return Offset(0.0, 0.0)
    step = float(max(np.median(np.diff(times_a_ms)), np.median(np.diff(times_b_ms)),
                     (np.ptp(times_a_ms) + np.ptp(times_b_ms)) / _MOST_STEPS))
    mean = (a.mean(axis=0) + b.mean(axis=0)) / 2
    first, second = _on_grid(times_a_ms, a - mean, step), _on_grid(times_b_ms, b - mean, step)
    likeness = first @ second.T  # [n, m]
    least = max(1, int(_LEAST_OVERLAP * min(likeness.shape)))
    lags = np.arange(-(likeness.shape[0] - least), likeness.shape[1] - least + 1)
    scores = np.array([float(np.diagonal(likeness, lag).mean()) for lag in lags])
    best = int(np.argmax(scores))
    shift = 0.0
    if 0 < best < len(scores) - 1:
        before, here, after = scores[best - 1:best + 2]
        curvature = before - 2 * here + after
        shift = 0.5 * (before - after) / curvature if curvature < 0 else 0.0
    others = np.delete(scores, slice(max(0, best - 2), best + 3))
    spread = float(scores.std())
    confidence = (scores[best] - others.max()) / (4 * spread) if len(others) and spread > 1e-6 else 0.0
    offset = (lags[best] + float(np.clip(shift, -0.5, 0.5))) * step + float(times_b_ms[0] - times_a_ms[0])
    return Offset(float(offset), float(np.clip(confidence + 0.25, 0.0, 1.0)) if spread > 1e-6 else 0.0)


def _on_grid(times_ms: np.ndarray, features: np.ndarray, step_ms: float) -> np.ndarray:
    """The row last seen at each step from the first one on."""
    instants = np.arange(times_ms[0], times_ms[-1] + step_ms / 2, step_ms)
    return features[np.clip(np.searchsorted(times_ms, instants + 0.5, side="right") - 1, 0, None)]
