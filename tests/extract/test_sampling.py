"""Which frames are taken: golden cases, the other tool's filter itself, and properties."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import av.error
import av.filter
import numpy as np
import pytest
from clipreel.errors import EmptyVideoError, VideoError
from clipreel.extract.decode.index import index_video
from clipreel.extract.frames import VideoIndex
from clipreel.extract.sampling import RULES, SamplingRequest, frames_on_screen, sample
from hypothesis import given, settings
from hypothesis import strategies as st

Zoo = Callable[[str], Path]
MATROSKA, MPEG = Fraction(1, 1000), Fraction(1, 90_000)


def video(pts: Sequence[int], base: Fraction, last: int, start: Fraction = Fraction(0)) -> VideoIndex:
    ticks = np.array(pts, dtype=np.int64)
    end = int(ticks[-1]) + last if len(ticks) else 0
    return VideoIndex(Path("clip.mp4"), 96, 64, base, start, None, ticks, end, None)


def steady(rate: Fraction | int, seconds: float, base: Fraction = MPEG) -> VideoIndex:
    """Frames at a constant rate, their times rounded to the time base."""
    count = round(seconds * rate)
    pts = [round(Fraction(number) / rate / base) for number in range(count + 1)]
    return video(pts[:-1], base, pts[-1] - pts[-2])


def frames(index: VideoIndex, **request) -> list[int]:
    return sample(index, SamplingRequest(**request)).frames.tolist()


def times(index: VideoIndex, **request) -> list[float]:
    return sample(index, SamplingRequest(**request)).timestamps_ms.tolist()


# --- played_at


def test_every_frame() -> None:
    index = steady(25, 2)
    assert frames(index) == list(range(50))
    assert times(index) == [40.0 * number for number in range(50)]


@pytest.mark.parametrize(("rate", "seconds", "fps", "expected"), [
    (25, 4, 1, [0, 25, 50, 75]),
    (25, 4.04, 1, [0, 25, 50, 75, 100]),  # one frame more is on screen at 4 s
    (25, 3.96, 1, [0, 25, 50, 75]),
    (25, 1, 5, [0, 5, 10, 15, 20]),
    (25, 1, 4, [0, 6, 12, 18]),  # 250 ms is inside frame 6 (240..280)
    (25, 0.04, 1, [0]),
    (25, 4, 0.5, [0, 50]),
    (25, 4, 0.01, [0]),
    (30, 2, 1, [0, 30]),
    (10, 0.4, 25, [0, 0, 0, 1, 1, 2, 2, 2, 3, 3]),  # a source slower than the grid repeats
    (Fraction(30000, 1001), 1.001, 29.97, list(range(30))),
])
@pytest.mark.parametrize("base", [MPEG, Fraction(1, 12800), MATROSKA])
def test_the_frame_on_screen_at_each_instant(rate: Fraction, seconds: float, fps: float, expected: list[int],
                                             base: Fraction) -> None:
    assert frames(steady(rate, seconds, base), fps=fps) == expected


def test_timestamps_are_the_frames_own_not_the_grids() -> None:
    assert times(steady(25, 1), fps=4) == [0, 240, 480, 720]
    assert times(steady(10, 0.4), fps=25) == [0, 0, 0, 100, 100, 200, 200, 200, 300, 300]


def test_matroskas_rounding_neither_loses_nor_adds() -> None:
    index = steady(Fraction(15), 1, MATROSKA)  # 0, 67, 133, 200 for 0, 66.667, 133.333, 200
    assert index.pts[:4].tolist() == [0, 67, 133, 200]
    assert frames(index, fps=15) == list(range(15))
    assert frames(steady(30, 3, MATROSKA), fps=30) == list(range(90))


def test_ntsc_and_the_tolerance_of_one_tick() -> None:
    """Frame 30 comes at 1001 ms: one tick of Matroska after the instant, which counts as on screen, and many of MPEG."""
    for base, first in ((MPEG, 29), (Fraction(1, 12800), 29), (MATROSKA, 30)):
        assert frames(steady(Fraction(30000, 1001), 4.004, base), fps=1) == [0, first, 59, 89, 119]
    for base, first in ((MPEG, [11, 23]), (MATROSKA, [12, 24])):
        assert frames(steady(Fraction(24000, 1001), 2.002, base), fps=2) == [0, *first, 35, 47]


def test_variable_rate() -> None:
    index = video([0, 33, 47, 400, 401, 900], MATROSKA, 40)
    assert frames(index, fps=10) == [0, 2, 2, 2, 4, 4, 4, 4, 4, 5]
    assert times(index, fps=10) == [0, 47, 47, 47, 401, 401, 401, 401, 401, 900]
    assert frames(index, fps=1) == [0]
    assert frames(index) == [0, 1, 2, 3, 4, 5]


def test_a_long_last_frame_fills_the_grid_to_its_end() -> None:
    index = video([0, 1000], MATROSKA, 3000)
    assert frames(index, fps=1) == [0, 1, 1, 1]
    assert times(index, fps=1) == [0, 1000, 1000, 1000]


def test_the_grid_begins_with_the_first_frame_of_a_late_video() -> None:
    index = video(range(2000, 4000, 40), MATROSKA, 40)
    assert times(index, fps=1) == [2000, 3000]
    late = video(range(10_020, 12_020, 40), MATROSKA, 40, start=Fraction(10))  # sound began 20 ms before
    assert times(late, fps=1) == [20, 1020]
    early = video(range(-200, 800, 40), MATROSKA, 40, start=Fraction(-1, 5))
    assert times(early, fps=2) == [0, 480]


@pytest.mark.parametrize("total", [1, 2, 3, 7, 50, 51, 137])
@pytest.mark.parametrize("rule", RULES)
def test_a_total_is_exact(total: int, rule: str) -> None:
    for index in (steady(25, 2), steady(Fraction(30000, 1001), 7.3, MATROSKA), video([0, 33, 900], MATROSKA, 40)):
        assert len(frames(index, total=total, rule=rule)) == total


def test_a_total_takes_the_middles_of_equal_parts() -> None:
    assert frames(steady(25, 4), total=4) == [12, 37, 62, 87]
    assert frames(steady(25, 4), total=1) == [50]
    assert frames(steady(10, 0.3), total=6) == [0, 0, 1, 1, 2, 2]
    assert frames(steady(25, 4), total=1, start_seconds=1, end_seconds=2) == [37]
    assert frames(video([0, 10, 1999, 2000, 2001], MATROSKA, 1), total=1, end_seconds=2) == [1]


def test_segments_are_half_open() -> None:
    index = steady(25, 4)
    assert frames(index, start_seconds=1, end_seconds=1.2) == [25, 26, 27, 28, 29]
    assert frames(index, start_seconds=1.2, end_seconds=1.32) == [30, 31, 32]
    assert frames(index, start_seconds=3.9) == [98, 99]
    assert frames(index, end_seconds=0.05) == [0, 1]
    assert frames(index, fps=2, start_seconds=1, end_seconds=2) == [25, 37]
    assert frames(index, fps=2, start_seconds=1, end_seconds=2.01) == [25, 37, 50]
    assert times(index, fps=2, start_seconds=1.01, end_seconds=2) == [1040, 1520]  # from the first frame inside
    assert frames(index, fps=1, start_seconds=0, end_seconds=400) == [0, 25, 50, 75]


def test_a_frames_own_time_bounds_a_segment() -> None:
    """However it was printed: 1001/30 ms is no decimal number."""
    index = steady(Fraction(30000, 1001), 1)
    stamps = index.times_ms(index.pts)
    for first, last in ((1, 2), (7, 9), (10, 26)):
        assert frames(index, start_seconds=stamps[first] / 1000, end_seconds=stamps[last] / 1000) == list(
            range(first, last))
    close = video([0, 400, 401, 900], MATROSKA, 40)
    assert frames(close, start_seconds=0.401, end_seconds=0.9) == [2]
    assert frames(close, end_seconds=0.401) == [0, 1]


@pytest.mark.parametrize("rule", RULES)
def test_a_standing_picture_fills_a_segment_without_a_frame_of_its_own(rule: str) -> None:
    index = video([0, 10_000, 20_000], MATROSKA, 10_000)
    part: dict = {"start_seconds": 12, "end_seconds": 15, "rule": rule}
    assert frames(index, **part) == [1]
    assert frames(index, fps=1, **part) == [1, 1, 1]
    assert frames(index, total=5, **part) == [1] * 5
    assert frames(index, fps=0.1, **part) == [1]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("start", "end"), [(4, None), (100, None), (5, 6), (None, 0), (2, 2), (None, -1)])
def test_an_empty_segment_is_an_error_that_names_the_video(rule: str, start: float | None, end: float | None) -> None:
    with pytest.raises(EmptyVideoError, match=rf"clip\.mp4: nothing between start={start} and end={end}; "
                                              r"the video runs from 0\.000 to 4\.000 s"):
        sample(steady(25, 4), SamplingRequest(fps=1, rule=rule, start_seconds=start, end_seconds=end))


def test_a_video_without_frames() -> None:
    with pytest.raises(EmptyVideoError, match="has no frame"):
        sample(video([], MATROSKA, 0), SamplingRequest())


@pytest.mark.parametrize("rule", RULES)
def test_one_short_frame_is_one_row(rule: str) -> None:
    for base in (MPEG, MATROSKA, Fraction(1, 25)):
        for request in ({}, {"fps": 1}, {"fps": 0.001}, {"total": 1}):
            assert frames(video([7], base, 1), rule=rule, **request) == [0]


def test_samples_name_each_frame_once() -> None:
    assert sample(steady(10, 0.4), SamplingRequest(fps=25)).wanted.tolist() == [0, 1, 2, 3]


def test_instants_see_the_frame_on_screen() -> None:
    index = video([0, 33, 47, 400, 401, 900], MATROSKA, 40)
    instants = np.array([-9, 0, 32, 33, 46.7, 399, 400, 401, 899, 5000, 66.667])
    assert frames_on_screen(index, instants).tolist() == [0, 0, 1, 1, 2, 3, 3, 4, 5, 5, 2]
    stamps = index.times_ms(index.pts)
    assert frames_on_screen(index, stamps).tolist() == list(range(6))


def test_real_files(zoo: Zoo) -> None:
    for name in ("h264.mp4", "h264.mkv", "h264.ts", "h264.avi", "raw.h264", "mpeg2.ts", "vp9.webm", "fragmented.mp4"):
        index = index_video(zoo(name))
        assert frames(index, fps=5) == [0, 5, 10, 15, 20, 25, 30, 35], name
        assert frames(index, fps=25) == list(range(36)), name
        assert frames(index, fps=5, rule="video_features") == [2, 7, 12, 17, 22, 27, 32], name
    for name in ("ntsc.mp4", "ntsc.mkv"):
        assert frames(index_video(zoo(name)), fps=1) == [0, 29 if name == "ntsc.mp4" else 30], name
        assert frames(index_video(zoo(name)), fps=29.97) == list(range(36)), name


# --- video_features: what FFmpeg's filter does


def filtered(index: VideoIndex, fps: str) -> list[int]:
    """The frames that FFmpeg's own fps filter lets through, read from their grey levels."""
    graph = av.filter.Graph()
    source = graph.add_buffer(width=16, height=16, format=av.VideoFormat("gray"), time_base=index.time_base)
    rate, sink = graph.add("fps", f"fps={fps}"), graph.add("buffersink")
    source.link_to(rate)
    rate.link_to(sink)
    graph.configure()
    found: list[int] = []

    def drain() -> None:
        while True:
            try:
                frame = sink.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            found.append(frame.to_ndarray()[:2, 0].astype(int) @ (256, 1))  # pyright: ignore[reportAttributeAccessIssue]

    origin = math.floor(index.start_seconds / index.time_base + Fraction(1, 2))  # ffmpeg shifts by whole ticks
    ends = [*index.pts[1:].tolist(), index.said_end_pts or index.end_pts]
    for number, (pts, end) in enumerate(zip(index.pts.tolist(), ends, strict=True)):
        levels = np.zeros((16, 16), np.uint8)
        levels[0], levels[1] = divmod(number, 256)
        frame = av.VideoFrame.from_ndarray(levels, format="gray")
        frame.pts, frame.time_base, frame.duration = pts - origin, index.time_base, end - pts
        source.push(frame)
        drain()
    source.push(None)
    drain()
    return found


@pytest.mark.parametrize("fps", ["1", "2", "5", "0.5", "7.3", "24", "29.97", "60"])
@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30), Fraction(30000, 1001), Fraction(10), Fraction(24000, 1001)])
@pytest.mark.parametrize("seconds", [5.4, 5.6, 2.0, 7.123])
def test_rule_video_features_is_ffmpegs_filter(rate: Fraction, fps: str, seconds: float) -> None:
    for base in (MPEG, Fraction(1, 12800)):
        index = steady(rate, seconds, base)
        assert frames(index, fps=float(fps), rule="video_features") == filtered(index, fps)


@settings(max_examples=100, deadline=None)
@given(gaps=st.lists(st.integers(1, 400), min_size=1, max_size=40), late=st.integers(0, 3000),
       start=st.sampled_from([Fraction(0), Fraction(7, 5), Fraction(-21, 1000)]), fps=st.sampled_from(["1", "3", "12.5", "30"]))
def test_rule_video_features_is_ffmpegs_filter_at_variable_rates(gaps: list[int], late: int, start: Fraction, fps: str) -> None:
    """`late`: the picture begins after the file's timeline does, as where sound comes first."""
    first = late + int(start * 1000)
    index = video((first + np.cumsum([0, *gaps[:-1]])).tolist(), MATROSKA, gaps[-1], start)
    assert_as_filtered(index, fps)


def assert_as_filtered(index: VideoIndex, fps: str) -> None:
    found = filtered(index, fps)
    ours = frames(index, fps=float(fps), rule="video_features")
    assert ours == found or (not found and len(ours) == 1)  # of too short a video that tool makes nothing


@pytest.mark.parametrize("name", [
    "h264.mp4", "h264.mkv", "ntsc.mp4", "ntsc.mkv", "vp9.webm", "mpeg2.ts", "raw.h264", "h264.avi", "irregular.mp4",
    "irregular.mkv", "one_frame.mp4", "late_video.mp4", "late_video.mkv", "late_video.ts", "sound.webm",
    "negative_start.mkv", "edit_list.mp4",
])
def test_rule_video_features_is_ffmpegs_filter_on_files(zoo: Zoo, name: str) -> None:
    index = index_video(zoo(name))
    for fps in ("0.2", "0.5", "1", "2", "5", "12.5", "29.97", "40"):
        assert_as_filtered(index, fps)


def test_that_tool_ends_where_the_file_says_even_in_mid_frame() -> None:
    """ActivityNet's mp4s: the last sample lasts one tick, whatever FFmpeg's demuxer makes of it."""
    index = replace(steady(25, 2, Fraction(1, 1000)), said_end_pts=1961)
    assert len(frames(index, fps=40, rule="video_features")) == 78
    assert len(frames(replace(index, said_end_pts=None), fps=40, rule="video_features")) == 80


@pytest.mark.parametrize("request_", [{"fps": 1e6}, {"fps": 1e6, "rule": "video_features"}, {"total": 10_000_001}])
def test_more_rows_than_can_be_held_are_refused_at_once(request_: dict) -> None:
    began = time.perf_counter()
    with pytest.raises(VideoError, match=r"extraction_(fps|total)=.* rows of its 3,600 s; at most 10,000,000"):
        sample(video([0, 3_599_000], MATROSKA, 1000), SamplingRequest(**request_))
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize(("rate", "fps", "expected"), [
    (25, 1, [12, 37, 62, 87]), (30, 1, [14, 44, 74, 104]), (30, 2, [7, 22, 37, 52]), (25, 5, [2, 7, 12, 17]),
])
def test_the_figures_that_tool_is_known_for(rate: int, fps: float, expected: list[int]) -> None:
    samples = sample(steady(rate, 10), SamplingRequest(fps=fps, rule="video_features"))
    assert samples.frames.tolist()[:4] == expected
    assert samples.timestamps_ms.tolist()[:4] == [1000 * number / fps for number in range(4)]


@pytest.mark.parametrize(("seconds", "rows"), [(5.4, 5), (5.6, 6), (5.0, 5)])
def test_that_tools_count_is_the_rounded_duration(seconds: float, rows: int) -> None:
    assert len(frames(steady(25, seconds), fps=1, rule="video_features")) == rows


def test_that_rule_stays_inside_a_short_segment() -> None:
    assert frames(steady(25, 4), fps=1, rule="video_features", start_seconds=1, end_seconds=1.2) == [29]


def test_that_tool_repeats_frames_of_a_slow_source() -> None:
    assert frames(steady(10, 0.4), fps=25, rule="video_features") == filtered(steady(10, 0.4), "25")
    assert len(frames(steady(10, 0.4), fps=25, rule="video_features")) == 10


# --- properties


@st.composite
def videos(draw: st.DrawFn) -> VideoIndex:
    base = draw(st.sampled_from([MATROSKA, MPEG, Fraction(1, 25), Fraction(1, 12800), Fraction(1001, 30000)]))
    gaps = draw(st.lists(st.integers(1, 2000), min_size=1, max_size=60))
    first = draw(st.integers(-5000, 5000))
    return video((first + np.cumsum([0, *gaps[:-1]])).tolist(), base, gaps[-1], draw(st.fractions(-2, 2)))


RATES = st.floats(0.05, 120).map(lambda fps: round(fps, 3))


@settings(max_examples=200, deadline=None)
@given(index=videos(), fps=RATES)
def test_played_at_by_its_definition(index: VideoIndex, fps: float) -> None:
    samples = sample(index, SamplingRequest(fps=fps))
    tolerance = min(Fraction(1), Fraction(1, 1000) / index.time_base)
    step = 1 / (Fraction(str(fps)) * index.time_base)
    begin, end = int(index.pts[0]), index.end_pts - tolerance
    for row, frame in enumerate(samples.frames.tolist()[:200]):
        instant = begin + row * step + tolerance
        assert index.pts[frame] <= instant
        assert frame + 1 == len(index) or index.pts[frame + 1] > instant
    assert len(samples) == max(1, math.ceil((end - begin) / step))


@settings(max_examples=200, deadline=None)
@given(index=videos(), rule=st.sampled_from(list(RULES)), fps=st.none() | RATES, total=st.none() | st.integers(1, 200),
       start=st.none() | st.floats(-1, 5), length=st.none() | st.floats(0.001, 5))
def test_rows_are_ordered_counted_and_inside(index: VideoIndex, rule: str, fps: float | None, total: int | None,
                                             start: float | None, length: float | None) -> None:
    end = None if length is None else (start or 0) + length
    if total is not None:
        fps = None
    try:
        samples = sample(index, SamplingRequest(fps, total, rule, start, end))
    except EmptyVideoError:
        whole = index.times_ms(np.array([index.pts[0], index.end_pts])) / 1000
        assert (start is not None and start >= whole[1] - 1e-9) or (end is not None and end <= whole[0] + 1e-9)
        return
    assert len(samples) >= 1
    assert (np.diff(samples.frames) >= 0).all()
    assert 0 <= samples.frames.min() <= samples.frames.max() < len(index)
    assert (np.diff(samples.wanted) > 0).all()
    if total is not None:
        assert len(samples) == total
    if rule == "played_at" or (fps is None and total is None):
        assert samples.timestamps_ms.tolist() == index.times_ms(index.pts[samples.frames]).tolist()
    else:
        assert (np.diff(samples.timestamps_ms) > 0).all()
    if end is not None:
        assert (index.times_ms(index.pts[samples.frames]) <= end * 1000 + 1.001).all()


def test_hours_are_sampled_without_delay_and_without_drift() -> None:
    index = steady(Fraction(30000, 1001), 7200)
    found = sample(index, SamplingRequest(fps=1)).timestamps_ms
    assert len(found) == 7200
    drift = np.arange(7200) * 1000 - found
    assert drift.min() >= -0.02
    assert drift.max() <= 33.4
