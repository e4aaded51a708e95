"""From a video's rows (frames or windows) and texts to one score a text."""

from __future__ import annotations

import numpy as np

from ..configs.videoqa_schema import Pooling

ATTENTION_TEMPERATURE = 0.05  # of the softmax over a video's rows: 0.05 of cosine is a factor e in weight
_TEXTS_AT_ONCE = 512  # bounds the product's memory, [rows, texts]


def unit(rows: np.ndarray) -> np.ndarray:
    """float32 [n, dim], each row divided by its length."""
    rows = rows.astype(np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def pooled_scores(rows: np.ndarray, starts: np.ndarray, texts: np.ndarray, pooling: Pooling) -> np.ndarray:
    """Scores of every video for every text, cosines or weighted means of cosines: float32 [v, m].

    Args:
        rows: unit features of all videos one behind the other, float32 [n, dim]
        starts: int64 [v], where each video's rows begin, increasing from 0; each has at least one
        texts: unit features, float32 [m, dim]
        pooling: mean: the cosine of the mean row; max: the best row's, for each text; attention: the mean over rows, weighted
            by their softmax at ATTENTION_TEMPERATURE, for each text.
    """
    if pooling == "mean":
        counts = np.diff([*starts, len(rows)])[:, None]
        return unit(np.add.reduceat(rows, starts) / counts) @ texts.T
    scores = np.empty((len(starts), len(texts)), dtype=np.float32)
    for begin in range(0, len(texts), _TEXTS_AT_ONCE):
        block = slice(begin, begin + _TEXTS_AT_ONCE)
        cosines = rows @ texts[block].T  # [n, block]
        if pooling == "max":
            scores[:, block] = np.maximum.reduceat(cosines, starts)
        else:  # cosines are at most 1, so that nothing overflows
            weights = np.exp((cosines - 1) / ATTENTION_TEMPERATURE)
            scores[:, block] = np.add.reduceat(weights * cosines, starts) / np.add.reduceat(weights, starts)
    return scores
