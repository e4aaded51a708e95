"""Which frames of a video are wanted: pure functions from an index and a rule to frames and their times.

`played_at` (default): the frame on screen at each instant t0 + k/fps, true presentation times, exact rational
arithmetic. `video_features`: what ffmpeg's fps filter picks, stamped k/fps, to reproduce features published with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ..errors import EmptyVideoError, VideoError
from .frames import VideoIndex

# More is a slip of the pen: every frame of 46 hours at 60 fps is as many. A row of ViT-B/32's features takes 2 kB of memory
# until its video is written.
MOST_ROWS = 10_000_000


@dataclass(frozen=True)
class SamplingRequest:
    """Which frames: every one (neither fps nor total), `fps` a second, or exactly `total`; within [start, end)."""

    fps: float | None = None
    total: int | None = None
    rule: str = "played_at"
    start_seconds: float | None = None
    end_seconds: float | None = None


@dataclass(frozen=True, eq=False)
class Samples:
    """The rows to come: the frame of each and its time. A frame may stand in several rows; it is decoded once."""

    frames: np.ndarray  # int64 [n], places in presentation order, never decreasing
    timestamps_ms: np.ndarray  # float64 [n]
    begin_ms: float  # the stretch of video that the rows stand for, in the clock of the times
    end_ms: float

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def wanted(self) -> np.ndarray:
        """The distinct frames, increasing."""
        return np.unique(self.frames)


@dataclass(frozen=True)
class _Span:
    """The part of the video asked for, in ticks: its frames [first, last) and the instants [begin, end)."""

    first: int
    last: int
    begin: Fraction
    end: Fraction
    grid_end: Fraction  # as `end`, but a container's rounding of the video's own end must not add an instant


def sample(index: VideoIndex, request: SamplingRequest) -> Samples:
    """The rows that `request` takes of the video. Raises EmptyVideoError when there is none."""
    if len(index) == 0:
        raise EmptyVideoError(f"{index.path}: has no frame")
    span = _span(index, request)
    if request.fps is None and request.total is None:
        frames = np.arange(span.first, span.last, dtype=np.int64)
        return Samples(frames, index.times_ms(index.pts[frames]), *_stretch_ms(index, span))
    return RULES[request.rule](index, request, span)


def thinned(rows: int, count: int) -> np.ndarray:
    """Which of `rows` rows stand for all of them: the first of each of `count` equal parts, int64 [count]; fewer rows repeat.

    Source: AdaCLIP's uniform sampling, floor(linspace(0, rows, count, endpoint=False)), rounding of floats and all.
    """
    return np.floor(np.linspace(0, rows, count, endpoint=False)).astype(np.int64)


def frames_on_screen(index: VideoIndex, timestamps_ms: np.ndarray) -> np.ndarray:
    """The frame on screen at each instant, int64 [n]; instants before the first frame see the first."""
    instants = [index.ticks(_exact(time) / 1000) for time in np.asarray(timestamps_ms).tolist()]
    return np.array([_on_screen(index, instant) for instant in instants], dtype=np.int64)


def _span(index: VideoIndex, request: SamplingRequest) -> _Span:
    """Instants begin at the first frame inside the segment and end where the last one leaves the screen."""
    pts = index.pts
    slack = _FLOAT_SLACK / index.time_base
    end = Fraction(index.end_pts)
    grid_end = end - _tolerance(index)
    first, last = 0, len(pts)
    if request.end_seconds is not None:
        asked = index.ticks(_exact(request.end_seconds))
        end, grid_end = min(end, asked), min(grid_end, asked)
        last = int(np.searchsorted(pts, math.ceil(asked - slack), side="left"))
    begin = Fraction(int(pts[0]))
    if request.start_seconds is not None and index.ticks(_exact(request.start_seconds)) > begin:
        begin = index.ticks(_exact(request.start_seconds))
        first = int(np.searchsorted(pts, math.ceil(begin - slack), side="left"))
        if first < last:
            begin = Fraction(int(pts[first]))
    if begin >= end:
        whole = index.times_ms(np.array([pts[0], index.end_pts])) / 1000
        raise EmptyVideoError(f"{index.path}: nothing between start={request.start_seconds} and "
                              f"end={request.end_seconds}; the video runs from {whole[0]:.3f} to {whole[1]:.3f} s")
    if first >= last:  # a long-standing picture fills the whole segment
        first = _on_screen(index, begin)
        last = first + 1
    return _Span(first, last, begin, end, grid_end)


def _played_at(index: VideoIndex, request: SamplingRequest, span: _Span) -> Samples:
    if request.total is not None:
        part = (span.end - span.begin) / request.total
        instants, step, count = span.begin + part / 2, part, request.total
    else:
        step = 1 / (_exact(request.fps) * index.time_base)
        instants, count = span.begin, max(1, math.ceil((span.grid_end - span.begin) / step))
    _check_count(index, count, request)
    first_tick = instants + _tolerance(index)
    # floor(first_tick + k * step) in whole numbers: exact for any length and any time base
    divisor = first_tick.denominator * step.denominator
    offset, stride = first_tick.numerator * step.denominator, step.numerator * first_tick.denominator
    ticks = np.array([(offset + k * stride) // divisor for k in range(count)], dtype=np.int64)
    frames = np.maximum(np.searchsorted(index.pts, ticks, side="right") - 1, 0).astype(np.int64)
    return Samples(frames, index.times_ms(index.pts[frames]), *_stretch_ms(index, span))


def _video_features(index: VideoIndex, request: SamplingRequest, span: _Span) -> Samples:
    """ffmpeg's `-filter:v fps=`: on the file's clock in whole ticks, every time rounds to the nearest 1/fps, halves up. The
    rows run from the first frame's to the end's, and row k shows the last frame that rounds to k or before it.

    They are stamped 0, 1/fps, 2/fps, …, as in a file that ffmpeg writes so. Where ffmpeg would give no row at all (a video
    shorter than half of 1/fps) there is one. A segment, and a count of frames, are counted from their own beginning.
    """
    begin, end = span.begin, min(span.end, Fraction(index.said_end_pts or span.end))
    if request.total is not None:
        # that tool turns a count into a rate: total * source fps / source frames
        origin, fps = begin, Fraction(request.total) / ((end - begin) * index.time_base)
    else:
        origin, fps = begin, _exact(request.fps)
        if request.start_seconds is None:
            origin = Fraction(math.floor(index.start_seconds / index.time_base + Fraction(1, 2)))
    step = 1 / (fps * index.time_base)  # in ticks
    half = Fraction(1, 2)
    row, stop = (math.floor((tick - origin) / step + half) for tick in (begin, end))
    rows = range(row, max(stop, row + 1))
    _check_count(index, len(rows), request)
    ticks = np.array([math.ceil(origin + (k + half) * step) for k in rows], dtype=np.int64)
    frames = np.clip(np.searchsorted(index.pts, ticks, side="left") - 1, span.first, span.last - 1).astype(np.int64)
    times = np.array([float(k * 1000 / fps) for k in range(len(rows))])
    return Samples(frames, times, 0.0, float(1000 * (end - begin) * index.time_base))


def _check_count(index: VideoIndex, count: int, request: SamplingRequest) -> None:
    if count > MOST_ROWS:
        asked = f"extraction_fps={request.fps:g}" if request.fps is not None else f"extraction_total={request.total}"
        raise VideoError(f"{index.path}: {asked} would take {count:,} rows of its {index.duration_seconds:,.0f} s; at most "
                         f"{MOST_ROWS:,} a video can be made: ask for fewer")


def _stretch_ms(index: VideoIndex, span: _Span) -> tuple[float, float]:
    begin, end = (float(1000 * (tick * index.time_base - index.start_seconds)) for tick in (span.begin, span.end))
    return begin, end


def _on_screen(index: VideoIndex, tick: Fraction) -> int:
    place = max(int(np.searchsorted(index.pts, math.floor(tick + _tolerance(index)), side="right")) - 1, 0)
    if place > 0 and abs(int(index.pts[place - 1]) - tick) * index.time_base <= _FLOAT_SLACK:
        return place - 1  # a frame's own time finds it, even with the next one tick later
    return place


def _tolerance(index: VideoIndex) -> Fraction:
    """In ticks: one tick, at most 1 ms (Matroska stores 66.667 ms as 67: that frame is on screen at 66.667)."""
    return min(Fraction(1), Fraction(1, 1000) / index.time_base)


def _exact(number: float | None) -> Fraction:
    """The number as the user wrote it: 29.97 is 2997/100."""
    return Fraction(str(number))


_FLOAT_SLACK = Fraction(1, 1_000_000)  # seconds; a time that was printed or a float still means its frame

RULES: dict[str, Callable[[VideoIndex, SamplingRequest, _Span], Samples]] = {
    "played_at": _played_at,
    "video_features": _video_features,
}
