"""Which frames of a clip show a difference, given where the stages lie.

`reference` is the published rule (VidDiff, its retriever) with its fixed distances in frames; `spaced` picks by score and by
true times; `random` and `uniform` look at no stage: baselines.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .records import Difference

Choice = Literal["spaced", "reference", "uniform", "random"]
SEVERAL = 3  # frames for a difference that one frame cannot show
SEPARATION_SECONDS = 0.35  # between them, as published
# Statements about time need the whole stage, others the frames that match it best.
_ABOUT_TIME = re.compile(r"\b(fast|quick|slow|speed|rapid|sudden|gradual|tempo|pace|longer|shorter|long|duration|time|pause|hold"
                         r"|wait|linger|brief|delay|before|after|first|order)\w*", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Place:
    """What is known about a clip when frames for one difference are chosen."""

    key: str  # the clip's and the difference's, for the baseline that draws
    timestamps_seconds: np.ndarray  # float64 [n]
    segments: Sequence[tuple[int, int]]  # [begin, end) of the stages the difference is linked to, in stage order
    curves: np.ndarray  # [those stages, n]

    def __len__(self) -> int:
        return len(self.timestamps_seconds)

    @property
    def fps(self) -> float:
        """Of the sampled frames; 1 where there is one frame."""
        return round(1 / float(np.median(np.diff(self.timestamps_seconds))), 6) if len(self) > 1 else 1.0


def choose(place: Place, difference: Difference, rule: Choice) -> tuple[int, ...]:
    """Places of the frames in time order, distinct but for `reference` in clips that are too short for its rule."""
    return CHOICES[rule](place, difference)


def is_about_time(difference: Difference) -> bool:
    return difference.span == "several" and _ABOUT_TIME.search(f"{difference.name} {difference.statement}") is not None


def _reference(place: Place, difference: Difference) -> tuple[int, ...]:
    """One frame: the middle of the first linked stage. Several: the middle of all linked stages, and 0.35 s (rounded to frames,
    which may be none) to either side, moved into the clip; what still does not fit takes its first or last frame."""
    if difference.span == "frame":
        begin, end = place.segments[0]
        return ((begin + end - 1) // 2,)
    low, high = min(begin for begin, _ in place.segments), max(end for _, end in place.segments) - 1
    step = round(SEPARATION_SECONDS * place.fps)
    frames = np.array([-step, 0, step]) + (low + high) // 2
    frames -= max(0, int(frames[-1]) - (len(place) - 1))
    frames -= min(0, int(frames[0]))
    return tuple(np.clip(frames, 0, len(place) - 1).tolist())


def _spaced(place: Place, difference: Difference) -> tuple[int, ...]:
    """One frame: the best match in the first linked stage. Several: about time, the first, middle and last of the linked
    stages; else the best match and those at least 0.35 s and one frame away from it and each other, best first."""
    if difference.span == "frame":
        begin, end = place.segments[0]
        return (begin + int(np.argmax(place.curves[0, begin:end])),)
    low, high = min(begin for begin, _ in place.segments), max(end for _, end in place.segments)
    inside = np.arange(low, high)
    if is_about_time(difference):
        wanted = np.linspace(place.timestamps_seconds[low], place.timestamps_seconds[high - 1], SEVERAL)
        nearest = np.abs(place.timestamps_seconds[inside, None] - wanted).argmin(axis=0)
        return tuple(dict.fromkeys(inside[nearest].tolist()))
    score = np.full(len(place), -np.inf)
    for (begin, end), curve in zip(place.segments, place.curves, strict=True):
        score[begin:end] = np.maximum(score[begin:end], curve[begin:end])
    chosen: list[int] = []
    for apart in (SEPARATION_SECONDS, 0.0):  # a short stage has fewer that are so far apart: then any others
        for frame in inside[np.argsort(-score[inside], kind="stable")].tolist():
            gaps = [abs(place.timestamps_seconds[frame] - place.timestamps_seconds[other]) for other in chosen]
            if len(chosen) < SEVERAL and frame not in chosen and all(gap >= apart - 1e-6 for gap in gaps):
                chosen.append(frame)
    return tuple(sorted(chosen))


def _uniform(place: Place, difference: Difference) -> tuple[int, ...]:
    """The middles of equal parts of the whole clip."""
    count = min(len(place), 1 if difference.span == "frame" else SEVERAL)
    return tuple(int((part + 0.5) * len(place) / count) for part in range(count))


def _random(place: Place, difference: Difference) -> tuple[int, ...]:
    """Drawn from the whole clip, the same in every run."""
    count = min(len(place), 1 if difference.span == "frame" else SEVERAL)
    generator = np.random.default_rng(zlib.crc32(place.key.encode()))
    return tuple(sorted(generator.choice(len(place), count, replace=False).tolist()))


CHOICES: dict[str, Callable[[Place, Difference], tuple[int, ...]]] = {
    "spaced": _spaced, "reference": _reference, "uniform": _uniform, "random": _random,
}
