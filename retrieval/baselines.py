"""Frames chosen without learning, to be beaten: evenly spread, drawn, from the centre, at fixed positions, and medoids.

A choice is int64 [V, k]: places among a video's N frames in time order, -1 behind them where a video has fewer than k.
"""

from __future__ import annotations

import numpy as np

NO_FRAME = -1
MOST_VIDEOS = 512  # of the training videos, to choose fixed positions by
_SCALE = 100.0  # of cosines, CLIP's own
_BLOCK_VALUES = 1 << 24
_MOST_ROUNDS = 20


def every_frame(mask: np.ndarray) -> np.ndarray:
    """All N, so [V, N]."""
    return _in_time_order(np.where(mask, np.arange(mask.shape[1]), NO_FRAME))


def uniform(mask: np.ndarray, k: int) -> np.ndarray:
    """The first of each of k equal parts of a video's frames."""
    return _nth(mask, k, lambda counts: np.floor(np.arange(k) * (counts / np.minimum(counts, k).clip(1))))


def centre(mask: np.ndarray, k: int) -> np.ndarray:
    """The k in the middle."""
    return _nth(mask, k, lambda counts: np.maximum(counts - k, 0) // 2 + np.arange(k))


def drawn(mask: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Any k of a video's frames, each choice as likely as another."""
    lots = np.where(mask, np.random.default_rng(seed).random(mask.shape), np.inf)
    first = np.argsort(lots, axis=1, kind="stable")[:, :k]
    return _in_time_order(np.where(np.take_along_axis(mask, first, axis=1), first, NO_FRAME))


def at_positions(mask: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """The same positions [k] of N in every video; where there is no frame of its own, the one before."""
    before = np.maximum.accumulate(np.where(mask, np.arange(mask.shape[1]), NO_FRAME), axis=1)
    found = before[:, np.sort(positions)]  # [V, k]
    again = np.diff(found, axis=1, prepend=NO_FRAME) == 0
    return _in_time_order(np.where(again, NO_FRAME, found))


def best_positions(texts: np.ndarray, features: np.ndarray, mask: np.ndarray, k: int, seed: int = 0) -> np.ndarray:
    """The k of N positions whose mean frames tell the training videos best apart, int64 [k], by their texts' contrastive loss.

    One position after the other is added, each time the best; trying every set would take too long.

    Args:
        texts: [V, D], unit rows, one a video. features: [V, N, D]. mask: bool [V, N].
    """
    there = np.flatnonzero(mask.any(axis=1))
    if len(there) > MOST_VIDEOS:
        there = np.sort(np.random.default_rng(seed).permutation(there)[:MOST_VIDEOS])
    before = np.maximum.accumulate(np.where(mask[there], np.arange(mask.shape[1]), 0), axis=1)
    frames = unit(np.take_along_axis(features[there], before[..., None], axis=1))  # [V, N, D]
    likeness = np.einsum("qd,vnd->nqv", texts[there], frames, optimize=True)  # [N, Q, V]
    chosen: list[int] = []
    sums, along = np.zeros_like(frames[:, 0]), np.zeros_like(likeness[0])
    for _ in range(k):
        losses = {place: _loss((along + likeness[place]) / _lengths(sums + frames[:, place]))
                  for place in range(frames.shape[1]) if place not in chosen}
        best = min(losses, key=losses.__getitem__)
        chosen.append(best)
        sums, along = sums + frames[:, best], along + likeness[best]
    return np.sort(np.array(chosen))


def medoids(features: np.ndarray, mask: np.ndarray, k: int) -> np.ndarray:
    """k-medoids of each video's frames [V, N, D] by their cosines: one after the other is added where it helps most, then
    frames go to the nearest and each group chooses anew, until nothing changes (PAM's BUILD, then Voronoi iteration)."""
    found = np.full((len(features), k), NO_FRAME)
    at_once = max(1, _BLOCK_VALUES // (features.shape[1] * max(features.shape[1], features.shape[2])))
    for begin in range(0, len(features), at_once):
        rows = slice(begin, begin + at_once)
        found[rows] = _medoids(unit(features[rows]), mask[rows], k)
    return found


def k_medoids(features: np.ndarray, k: int) -> np.ndarray:
    """Which k of one video's frames [n, D] stand for all of them, int64 [min(k, n)] in time order. See `medoids`."""
    found = medoids(features[None], np.ones((1, len(features)), dtype=bool), k)[0]
    return found[found != NO_FRAME]


def mean_vectors(features: np.ndarray, choice: np.ndarray) -> np.ndarray:
    """The mean direction of the chosen frames, unit rows [V, D]; zero for a video without frames."""
    vectors = np.empty((len(features), features.shape[2]), dtype=np.float32)
    at_once = max(1, _BLOCK_VALUES // (choice.shape[1] * features.shape[2]))
    for begin in range(0, len(features), at_once):
        rows = slice(begin, begin + at_once)
        frames = np.take_along_axis(features[rows], choice[rows].clip(0)[..., None], axis=1)
        vectors[rows] = (unit(frames) * (choice[rows] != NO_FRAME)[..., None]).sum(axis=1)
    return unit(vectors)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows of length 1; zeros stay zeros."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def _medoids(frames: np.ndarray, mask: np.ndarray, k: int) -> np.ndarray:
    distances = 1 - frames @ frames.transpose(0, 2, 1)  # [V, N, N]
    distances = np.where(mask[:, None] & mask[:, :, None], distances, 0)
    closed = np.where(mask, 0, np.inf)  # [V, N]: what is no frame is never a medoid
    count = min(k, frames.shape[1])
    nearest = np.where(mask, 3.0, 0.0)  # [V, N]: farther than any cosine's distance
    found = np.full((len(frames), k), NO_FRAME)
    for place in range(count):
        costs = np.minimum(nearest[:, None], distances).sum(axis=2) + closed  # [V, N], of adding each
        best = costs.argmin(axis=1)
        open_ = np.isfinite(costs.min(axis=1))
        found[open_, place] = best[open_]
        closed[np.arange(len(frames)), best] = np.inf
        nearest = np.minimum(nearest, np.take_along_axis(distances, best[:, None, None], axis=1)[:, 0])
    for _ in range(_MOST_ROUNDS):
        to_medoids = np.take_along_axis(distances, found[:, :count].clip(0)[:, :, None], axis=1)  # [V, count, N]
        to_medoids = np.where(found[:, :count, None] == NO_FRAME, np.inf, to_medoids)
        # A medoid stays in its own group, whatever else is as near.
        np.put_along_axis(to_medoids, found[:, :count].clip(0)[:, :, None], np.where(
            found[:, :count, None] == NO_FRAME, np.inf, -1.0), axis=2)
        group = (to_medoids.argmin(axis=1)[:, None] == np.arange(count)[:, None]) & mask[:, None]  # [V, count, N]
        costs = np.where(group, group.astype(distances.dtype) @ distances, np.inf)  # [V, count, N]
        again = np.where(found[:, :count] == NO_FRAME, NO_FRAME, costs.argmin(axis=2))
        if (again == found[:, :count]).all():
            break
        found[:, :count] = again
    return _in_time_order(found)


def _nth(mask: np.ndarray, k: int, places) -> np.ndarray:
    """The frames whose numbers among a video's own `places(counts [V, 1])` gives, [V, k]."""
    counts = mask.sum(axis=1, keepdims=True)
    wanted = np.broadcast_to(places(counts), (len(mask), k)).astype(np.int64)
    order = np.argsort(~mask, axis=1, kind="stable")  # the frames that are there first
    found = np.take_along_axis(order, wanted.clip(0, mask.shape[1] - 1), axis=1)
    return np.where(np.arange(k) < np.minimum(counts, k), found, NO_FRAME)


def _in_time_order(choice: np.ndarray) -> np.ndarray:
    last = np.iinfo(np.int64).max
    ordered = np.sort(np.where(choice == NO_FRAME, last, choice), axis=1)
    return np.where(ordered == last, NO_FRAME, ordered)


def _lengths(sums: np.ndarray) -> np.ndarray:
    return np.maximum(np.linalg.norm(sums, axis=1), 1e-12)


def _loss(cosines: np.ndarray) -> float:
    """Symmetric InfoNCE of a square matrix whose diagonal is right."""
    logits = _SCALE * cosines
    right = np.diagonal(logits)
    sides = []
    for axis in (0, 1):
        highest = logits.max(axis=axis, keepdims=True)
        sides.append(np.log(np.exp(logits - highest).sum(axis=axis)) + highest.squeeze(axis) - right)
    return float(np.mean(sides))
