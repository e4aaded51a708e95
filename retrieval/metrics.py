"""How well texts find their videos and videos their texts: the field's metrics, with intervals.

Ties are decided against the method (what scores as high as the right one ranks before it), so that a model that tells nothing
apart finds nothing. A missing video is a miss in a gallery of unchanged size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

RECALLS = (1, 5, 10, 50)
INTERVAL_PERCENT = 95
BLOCK_VALUES = 1 << 24  # of a similarity matrix, looked at in one go


@dataclass(frozen=True)
class DirectionMetrics:
    """Of one direction. `recall`: K -> percent of the ranks at or below K; `intervals`: 95 % by bootstrap, by the names of
    `figures`."""

    recall: Mapping[int, float]
    median_rank: float
    mean_rank: float
    count: int
    intervals: Mapping[str, tuple[float, float]]

    @property
    def figures(self) -> dict[str, float]:
        """R@1 … MeanR, as they are printed and stored."""
        return {**{f"R@{k}": value for k, value in self.recall.items()}, "MedR": self.median_rank, "MeanR": self.mean_rank}


@dataclass(frozen=True)
class RetrievalMetrics:
    """Both directions over the whole gallery, and over the videos that are there (None where all are)."""

    text_to_video: DirectionMetrics
    video_to_text: DirectionMetrics
    gallery_size: int
    query_count: int
    missing_count: int
    available_text_to_video: DirectionMetrics | None = None
    available_video_to_text: DirectionMetrics | None = None


def retrieval_metrics(
    similarity: np.ndarray, video_of: np.ndarray, *, available: np.ndarray | None = None, resamples: int = 1000, seed: int = 0,
    tolerance: float = 0.0,
) -> RetrievalMetrics:
    """Metrics of a similarity matrix.

    Args:
        similarity: [Q, V], higher is more alike.
        video_of: int [Q], the column that is right for each row; several rows may have one.
        available: bool [V], false for videos without features: their column counts as -inf.
        resamples: of the bootstrap over videos (all captions of a video are drawn together); 0 gives no intervals.
        tolerance: similarities that are no farther apart count as equal. Matrix products round the same vector differently
            in different columns.

    Raises: ValueError for NaN, or sizes that do not match.
    """
    video_of = np.asarray(video_of)
    if similarity.ndim != 2 or video_of.shape != similarity.shape[:1] or not similarity.size:
        raise ValueError(f"a similarity {similarity.shape} and video_of {video_of.shape} are not [Q, V] and [Q]")
    if video_of.min() < 0 or video_of.max() >= similarity.shape[1]:
        raise ValueError(f"video_of runs from {video_of.min()} to {video_of.max()}, for {similarity.shape[1]} videos")
    if np.isnan(similarity).any():
        raise ValueError("the similarity holds NaN, which has no rank")
    there = np.ones(similarity.shape[1], dtype=bool) if available is None else np.asarray(available, dtype=bool)
    missing = int((~there).sum())
    if missing:
        similarity = np.where(there, similarity, -np.inf)
    to_video, to_text = _both(similarity, video_of, resamples, seed, tolerance)
    if not missing or not there[video_of].any():
        return RetrievalMetrics(to_video, to_text, len(there), len(video_of), missing)
    rows = there[video_of]
    column = np.cumsum(there) - 1
    some = _both(similarity[rows][:, there], column[video_of[rows]], resamples, seed, tolerance)
    return RetrievalMetrics(to_video, to_text, len(there), len(video_of), missing, *some)


def ranks_of_videos(similarity: np.ndarray, video_of: np.ndarray, tolerance: float = 0.0) -> np.ndarray:
    """The rank of each text's video among all, from 1 [Q]."""
    right = np.take_along_axis(similarity, video_of[:, None], axis=1) - tolerance  # [Q, 1]
    return np.concatenate([(similarity[rows] >= right[rows]).sum(axis=1) for rows in _blocks(similarity)])


def ranks_of_texts(similarity: np.ndarray, video_of: np.ndarray, tolerance: float = 0.0) -> np.ndarray:
    """The rank of each captioned video's best text among its own and all of the others', from 1 [videos with a text]. Its own
    other texts stand before no text of its own."""
    own = np.take_along_axis(similarity, video_of[:, None], axis=1)[:, 0]  # [Q]
    best = np.full(similarity.shape[1], -np.inf, dtype=similarity.dtype)
    np.maximum.at(best, video_of, own)
    best -= tolerance
    as_good = np.zeros(similarity.shape[1], dtype=np.int64)
    for rows in _blocks(similarity):
        as_good += (similarity[rows] >= best).sum(axis=0)
    own_as_good = np.bincount(video_of, own >= best[video_of], len(best)).astype(np.int64)
    return (as_good - own_as_good + 1)[np.unique(video_of)]


def _both(similarity: np.ndarray, video_of: np.ndarray, resamples: int, seed: int,
          tolerance: float) -> tuple[DirectionMetrics, DirectionMetrics]:
    captioned, cluster = np.unique(video_of, return_inverse=True)
    return (_direction(ranks_of_videos(similarity, video_of, tolerance), cluster, resamples, seed),
            _direction(ranks_of_texts(similarity, video_of, tolerance), np.arange(len(captioned)), resamples, seed))


def _direction(ranks: np.ndarray, cluster: np.ndarray, resamples: int, seed: int) -> DirectionMetrics:
    found = _figures(np.sort(ranks), np.ones((1, len(ranks))))
    intervals: dict[str, tuple[float, float]] = {}
    if resamples:
        drawn = _resampled(ranks, cluster, resamples, seed)
        tail = (100 - INTERVAL_PERCENT) / 2
        for name, values in drawn.items():
            low, high = np.percentile(values, (tail, 100 - tail))
            intervals[name] = (float(low), float(high))
    single = {name: float(values[0]) for name, values in found.items()}
    return DirectionMetrics({k: single[f"R@{k}"] for k in RECALLS}, single["MedR"], single["MeanR"], len(ranks), intervals)


def _resampled(ranks: np.ndarray, cluster: np.ndarray, resamples: int, seed: int) -> dict[str, np.ndarray]:
    """The figures of each resample of videos, [resamples] each."""
    generator = np.random.default_rng(seed)
    count = int(cluster.max()) + 1
    order = np.argsort(ranks, kind="stable")
    at_once = max(1, BLOCK_VALUES // max(count, len(ranks)))
    parts = []
    for begin in range(0, resamples, at_once):
        some = min(at_once, resamples - begin)
        drawn = generator.integers(count, size=(some, count)) + count * np.arange(some)[:, None]
        times = np.bincount(drawn.ravel(), minlength=some * count).reshape(some, count)  # how often each video was drawn
        parts.append(_figures(ranks[order], times[:, cluster[order]]))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _figures(ranks: np.ndarray, times: np.ndarray) -> dict[str, np.ndarray]:
    """Figures of ascending ranks [n] that each count `times` [m, n], for each of the m."""
    up_to = np.cumsum(times, axis=1)  # [m, n]
    total = up_to[:, -1]
    figures = {f"R@{k}": 100 * (times * (ranks <= k)).sum(axis=1) / total for k in RECALLS}
    # The median of an even number is the mean of the two in the middle.
    lower = ranks[(up_to >= (total / 2)[:, None]).argmax(axis=1)]
    upper = ranks[(up_to > (total / 2)[:, None]).argmax(axis=1)]
    return {**figures, "MedR": (lower + upper) / 2, "MeanR": times @ ranks / total}


def _blocks(similarity: np.ndarray) -> list[slice]:
    rows = max(1, BLOCK_VALUES // similarity.shape[1])
    return [slice(begin, begin + rows) for begin in range(0, len(similarity), rows)]
