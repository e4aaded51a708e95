"""Similarities of a video's frames with queries, on three scales. Pure.

raw: the cosine. baseline: how much sooner the model would say this text of the frame than any of a bank of neutral ones, in
log-odds. share: softmax among the queries that are asked, at the model's own temperature.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Scale = Literal["raw", "baseline", "share"]
Word = Literal["strong", "weak", "within noise"]
STRONG_ODDS = float(np.log(9))  # 90 % for the query, 10 % for all neutral texts together
WEAK_ODDS = 0.0  # 50 %
DROP_ODDS = float(np.log(3))  # a segment goes on down to 25 %


@dataclass(frozen=True)
class Judgement:
    """One query's curve in numbers, on the scale asked for; `odds` are always the baseline scale's."""

    peak: float
    peak_row: int
    peak_raw: float
    peak_odds: float
    mean: float
    word: Word
    threshold: float
    drop: float  # a segment is left when the score falls below threshold - drop
    low: float
    high: float

    @property
    def stands_out(self) -> bool:
        return self.peak_odds >= WEAK_ODDS


def unit(rows: np.ndarray) -> np.ndarray:
    """float32 [n, dim] with rows of length 1 (rows of zeros stay)."""
    rows = np.asarray(rows, dtype=np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)


def cosines(frames: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """float32 [m, n] of unit rows [n, dim] and [m, dim]."""
    return np.clip(queries @ frames.T, -1.0, 1.0)


def rivals(query: np.ndarray, neutral: np.ndarray) -> np.ndarray:
    """bool [b]: the neutral texts that say something else than the query; those more than half way between its usual likeness
    to them and sameness are left out, for `a dog` is no background of `a dog`. At least one stays."""
    likeness = neutral @ query  # [b]
    others = likeness <= 0.5 * (1 + float(likeness.mean()))
    return others if others.any() else likeness <= likeness.min()


def log_odds(raw: np.ndarray, neutral: np.ndarray, logit_scale: float) -> np.ndarray:
    """float32 [n]: logit_scale * raw - log sum exp(logit_scale * neutral), of cosines [n] and [b, n].

    0: the model would as soon say the query of this frame as all neutral texts together.
    """
    scaled = logit_scale * neutral.astype(np.float64)
    highest = scaled.max(axis=0)
    total = highest + np.log(np.exp(scaled - highest).sum(axis=0))
    return (logit_scale * raw.astype(np.float64) - total).astype(np.float32)


def shares(raw: np.ndarray, logit_scale: float) -> np.ndarray:
    """float32 [m, n], columns summing to 1: softmax over the queries. Needs two queries at least, else it says nothing."""
    if len(raw) < 2:
        raise ValueError("a share among queries needs two of them")
    scaled = logit_scale * raw.astype(np.float64)
    weights = np.exp(scaled - scaled.max(axis=0))
    return (weights / weights.sum(axis=0)).astype(np.float32)


def word_of(peak_odds: float) -> Word:
    return "strong" if peak_odds >= STRONG_ODDS else "weak" if peak_odds >= WEAK_ODDS else "within noise"


def judge(scale: Scale, curve: np.ndarray, raw: np.ndarray, odds: np.ndarray) -> Judgement:
    """What is said of a curve [n] on its scale, with the same frames' cosines and log-odds beside it."""
    row = int(np.argmax(curve))
    threshold, drop = _threshold(scale, curve, raw, odds)
    low, high = float(curve.min()), float(max(curve.max(), threshold))
    if scale == "share":
        low, high = 0.0, 1.0
    return Judgement(float(curve[row]), row, float(raw.max()), float(odds.max()), float(curve.mean()), word_of(float(odds.max())),
                     threshold, drop, low, high)


def _threshold(scale: Scale, curve: np.ndarray, raw: np.ndarray, odds: np.ndarray) -> tuple[float, float]:
    """Where a segment begins by default, and how far below it ends: log-odds 0, and what is nearest to that on the raw scale."""
    if scale == "baseline":
        return WEAK_ODDS, DROP_ODDS
    if scale == "share":
        return 0.5, 0.25
    spread = max(float(raw.max() - raw.min()), 1e-3)
    over = raw[odds >= WEAK_ODDS]
    # nothing stands out: just above the best frame, so that nothing is claimed
    threshold = float(over.min()) if len(over) else float(raw.max()) + 0.05 * spread
    return threshold, 0.15 * spread
