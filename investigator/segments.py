"""From a curve to stretches of time: hysteresis, gaps, shortest length, padding. Pure.

A row stands for the time from its own instant to the next row's; the last one up to the video's end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Mark = Literal["keep", "reject"]


@dataclass(frozen=True)
class SegmentRule:
    """Entered at `threshold`, left below `threshold - drop`. Milliseconds otherwise."""

    threshold: float
    drop: float = 0.0
    minimum_ms: float = 0.0
    gap_ms: float = 0.0  # shorter pauses are closed
    padding_ms: float = 0.0  # added on both sides, last of all

    def __post_init__(self):
        if not math.isfinite(self.threshold):
            raise ValueError(f"threshold={self.threshold}: allowed is a number")
        for name in ("drop", "minimum_ms", "gap_ms", "padding_ms"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name}={value}: allowed is a number from 0 up")


@dataclass(frozen=True)
class Segment:
    """[begin, end) in milliseconds; `peak_ms` is the row's own time, never inside the padding."""

    begin_ms: float
    end_ms: float
    peak_ms: float
    peak: float
    mean: float
    state: Mark | None = None


@dataclass(frozen=True)
class TimedMark:
    """What a person said of a moment; it holds for the segment around it."""

    time_ms: float
    state: Mark


def find_segments(times_ms: np.ndarray, curve: np.ndarray, end_ms: float, rule: SegmentRule,
                  blocked: np.ndarray | None = None, marks: Sequence[TimedMark] = ()) -> list[Segment]:
    """Segments in order of time, never overlapping.

    Args:
        times_ms: float64 [n], increasing.
        curve: [n].
        end_ms: where the last row's time ends.
        blocked: bool [n], rows that no segment may hold (another query says not here).
    """
    curve = np.asarray(curve, dtype=np.float64)  # else NumPy would round the threshold to float32
    runs = _runs(curve, rule, blocked)
    ends = np.append(times_ms[1:], max(end_ms, float(times_ms[-1]) if len(times_ms) else 0.0))
    runs = _closed(runs, times_ms, ends, rule.gap_ms, blocked)
    runs = [(first, last) for first, last in runs if ends[last] - times_ms[first] >= rule.minimum_ms]
    found = []
    for number, (first, last) in enumerate(runs):
        begin, end = float(times_ms[first]), float(ends[last])
        said: list[Mark] = [mark.state for mark in marks if begin <= mark.time_ms < end]
        state = said[-1] if said else None  # the last word
        before = float(ends[runs[number - 1][1]]) if number else min(0.0, begin)
        after = float(times_ms[runs[number + 1][0]]) if number + 1 < len(runs) else max(end_ms, end)
        # neighbours share the room between them
        begin = max(begin - rule.padding_ms, (before + begin) / 2 if number else before)
        end = min(end + rule.padding_ms, (after + end) / 2 if number + 1 < len(runs) else after)
        peak = first + int(np.argmax(curve[first:last + 1]))
        found.append(Segment(begin, end, float(times_ms[peak]), float(curve[peak]), float(np.mean(curve[first:last + 1])), state))
    return found


def precision(segments: Sequence[Segment]) -> float | None:
    """Of the segments that were looked at, how many were kept; None before any was."""
    said = [segment.state for segment in segments if segment.state is not None]
    return said.count("keep") / len(said) if said else None


def total_ms(segments: Sequence[Segment]) -> float:
    return float(sum(segment.end_ms - segment.begin_ms for segment in segments))


def _runs(curve: np.ndarray, rule: SegmentRule, blocked: np.ndarray | None) -> list[tuple[int, int]]:
    """First and last row of every stretch that stays at or above threshold - drop and reaches the threshold."""
    held = curve >= rule.threshold - rule.drop
    if blocked is not None:
        held = held & ~blocked
    edges = np.flatnonzero(np.diff(np.concatenate([[False], held, [False]]).astype(np.int8)))
    runs = []
    for first, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        above = np.flatnonzero(curve[first:stop] >= rule.threshold)
        if len(above):
            runs.append((first + int(above[0]), stop - 1))  # it begins where the threshold is reached
    return runs


def _closed(runs: list[tuple[int, int]], times_ms: np.ndarray, ends: np.ndarray, gap_ms: float,
            blocked: np.ndarray | None) -> list[tuple[int, int]]:
    """Runs with short pauses closed, but for pauses that hold a blocked row."""
    closed: list[tuple[int, int]] = []
    for first, last in runs:
        if closed and times_ms[first] - ends[closed[-1][1]] < gap_ms and not (
                blocked is not None and blocked[closed[-1][1] + 1:first].any()):
            closed[-1] = (closed[-1][0], last)
        else:
            closed.append((first, last))
    return closed
