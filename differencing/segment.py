"""Where each stage of an action lies in a clip: from similarities of frames and texts to segments.

Source: VidDiff (ICLR 2025), its retriever. `viterbi` is its ordered alignment as dynamic programming in one vector pass a
stage; `window` and `uniform` are its two simpler modes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np

Segmenter = Literal["viterbi", "uniform", "window"]
Segments = tuple[tuple[int, int], ...]  # [begin, end) a stage, each with one frame at least
_FLOOR = 1e-5  # the published stand-in for a probability of 0
_WINDOW = 1.3  # of an even share of the clip


def segment(similarities: Sequence[np.ndarray], mode: Segmenter) -> Segments:
    """Segments of all stages.

    Args:
        similarities: for each stage the cosines of its strings with every frame, [strings, n]; n is the same for all.

    `viterbi`: the stages follow each other in their order and share out all frames, at least one each. With more stages than
    frames, stage i has frame i, and those beyond the last frame have the last one. `uniform` looks at no similarity;
    `window` places each stage by itself, so that segments may overlap.

    Raises ValueError for no stage, no frame, or lengths that differ.
    """
    if not similarities or len({rows.shape[-1] for rows in similarities}) != 1 or similarities[0].shape[-1] == 0:
        raise ValueError(f"stages with frames of one clip are needed, not {[rows.shape for rows in similarities]}")
    return SEGMENTERS[mode](similarities)


def stage_curves(similarities: Sequence[np.ndarray]) -> np.ndarray:
    """Each stage's mean over its strings, float64 [stages, n]."""
    return np.stack([rows.astype(np.float64).mean(axis=0) for rows in similarities])


def stage_costs(curves: np.ndarray) -> np.ndarray:
    """-ln of every curve stretched to 0..1 over its own clip, [stages, n]; a flat curve and its lowest point cost -ln 1e-5."""
    low, high = curves.min(axis=1, keepdims=True), curves.max(axis=1, keepdims=True)
    spread = np.where(high > low, high - low, 1.0)
    shares = (curves - low) / spread
    return -np.log(np.where(shares == 0, _FLOOR, shares))


def align(costs: np.ndarray) -> np.ndarray:
    """The cheapest boundaries 0 = b0 < b1 < … < bS = n, int64 [stages + 1]; of equals, each boundary as late as can be.

    Stage s costs the sum of costs[s] over [b_s, b_(s+1)). Needs as many frames as stages at least.
    """
    stages, n = costs.shape
    sums = np.concatenate([np.zeros((stages, 1)), np.cumsum(costs, axis=1)], axis=1)  # [stages, n + 1]
    total = sums[0].copy()  # [n + 1], of the best way to end stages 0..s before frame t
    begins = np.zeros((stages, n + 1), dtype=np.int64)
    places = np.arange(n + 1)
    for stage in range(1, stages):
        before = np.where(places >= stage, total - sums[stage], np.inf)  # stage begins at this place
        best = np.minimum.accumulate(before)
        latest = np.maximum.accumulate(np.where(before <= best, places, 0))
        begins[stage, 1:] = latest[:-1]  # a stage that ends before t begins before t
        total = np.full(n + 1, np.inf)
        total[1:] = sums[stage, 1:] + best[:-1]
    bounds = np.empty(stages + 1, dtype=np.int64)
    bounds[stages] = n
    for stage in range(stages - 1, -1, -1):
        bounds[stage] = begins[stage, bounds[stage + 1]]
    return bounds


def _viterbi(similarities: Sequence[np.ndarray]) -> Segments:
    stages, n = len(similarities), similarities[0].shape[-1]
    if stages >= n:
        return tuple((min(stage, n - 1), min(stage, n - 1) + 1) for stage in range(stages))
    bounds = align(stage_costs(stage_curves(similarities))).tolist()
    return tuple(pairwise(bounds))


def _uniform(similarities: Sequence[np.ndarray]) -> Segments:
    """Even shares, what is over to the first, each grown by a frame towards its neighbours."""
    stages, n = len(similarities), similarities[0].shape[-1]
    share, over = divmod(n, stages)
    segments = []
    for stage in range(stages):
        begin, end = (0 if stage == 0 else over + stage * share), over + (stage + 1) * share
        begin, end = max(0, begin - (stage > 0)), min(n, end + (stage < stages - 1))
        begin = min(begin, n - 1)
        segments.append((begin, max(end, begin + 1)))
    return tuple(segments)


def _window(similarities: Sequence[np.ndarray]) -> Segments:
    """Of each stage the window of 1.3 even shares whose frames match its first string best."""
    stages, n = len(similarities), similarities[0].shape[-1]
    length = max(1, int(_WINDOW * n / stages))
    length = min(length + (length % 2 == 0), n)
    segments = []
    for rows in similarities:
        padded = np.pad(rows[0].astype(np.float64), length // 2, mode="edge")
        sums = np.convolve(padded, np.ones(length), mode="valid")  # around each frame
        begin = min(max(int(np.argmax(sums)) - length // 2, 0), n - length)
        segments.append((begin, begin + length))
    return tuple(segments)


SEGMENTERS: dict[str, Callable[[Sequence[np.ndarray]], Segments]] = {
    "viterbi": _viterbi, "uniform": _uniform, "window": _window,
}
