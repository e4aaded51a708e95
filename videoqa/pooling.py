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
    cosines, counts = rows @ texts.T, np.diff([*starts, len(rows)])  # [n, m], [v]
    scores = np.empty((len(starts), len(texts)), dtype=np.float32)
    for count in np.unique(counts).tolist():  # videos of equally many rows together: numpy's reduceat is 20 times slower
        same = np.flatnonzero(counts == count)
        of_video = cosines[starts[same, None] + np.arange(count)]  # [same, count, m]
        if pooling == "max":
            scores[same] = of_video.max(axis=1)
        else:
            weights = np.exp((of_video - 1) / ATTENTION_TEMPERATURE)  # cosines are at most 1: nothing overflows
            scores[same] = (weights * of_video).sum(axis=1) / weights.sum(axis=1)
    return scores


def total_scores(rows: np.ndarray, starts: np.ndarray, texts: np.ndarray, pooling: Pooling) -> np.ndarray:
    """The sums of `pooled_scores` over the videos, float64 [m]; for the mean without a product of every video and text."""
    if pooling == "mean":
        counts = np.diff([*starts, len(rows)])[:, None]
        return texts.astype(np.float64) @ unit(np.add.reduceat(rows, starts) / counts).sum(axis=0, dtype=np.float64)
    return np.concatenate([
        pooled_scores(rows, starts, texts[begin:begin + _TEXTS_AT_ONCE], pooling).sum(axis=0, dtype=np.float64)
        for begin in range(0, len(texts), _TEXTS_AT_ONCE)])
