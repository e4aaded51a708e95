"""What other programs read."""

import csv
import io
import json
import re

import numpy as np
import pytest
from clipreel.investigator.exports import (
    SEGMENT_FORMATS,
    ExportedVideo,
    QuerySegments,
    scores_csv,
    scores_json,
    segments_chapters,
    segments_csv,
    segments_edl,
    segments_json,
    segments_vtt,
)
from clipreel.investigator.segments import Segment
from hypothesis import given
from hypothesis import strategies as st

VIDEO = ExportedVideo("a b.mp4", 7_260_000.0, 25.0, {"model_name": "tiny"})
LONG = QuerySegments("a <b> & c", [Segment(3_661_250.0, 3_662_000.0, 3_661_500.0, 0.5, 0.4, "keep")])
SHORT = QuerySegments("=1+1", [Segment(1000.0, 2520.0, 2000.0, 0.3, 0.2, None)], {"threshold": 0.2})
LABELS = st.text(max_size=20)
SEGMENTS = st.lists(st.tuples(st.floats(0, 7e6), st.floats(0, 2e5)), max_size=6).map(
    lambda spans: [Segment(begin, begin + length, begin, 0.5, 0.4) for begin, length in sorted(spans)])


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_csv():
    rows = rows_of(segments_csv(VIDEO, [SHORT, LONG]))
    assert [row["begin_seconds"] for row in rows] == ["1.000", "3661.250"]
    assert [row["state"] for row in rows] == ["", "keep"]
    assert rows[0]["query"] == "'=1+1"  # no formula


@given(LABELS)
def test_no_cell_of_a_csv_is_a_formula(label):
    (row,) = rows_of(segments_csv(VIDEO, [QuerySegments(label, SHORT.segments)]))
    assert not re.match(r"[=@\t\r]", row["query"])
    if row["query"][:1] in ("+", "-"):
        float(row["query"])
    if label.isprintable():
        assert row["query"].removeprefix("'") == label.removeprefix("'")


def test_json():
    said = json.loads(segments_json(VIDEO, [SHORT]))
    assert said["made_with"] == {"model_name": "tiny"}
    assert said["queries"][0]["settings"] == {"threshold": 0.2}
    assert said["queries"][0]["segments"][0]["end_ms"] == 2520.0


def test_vtt():
    blocks = segments_vtt(VIDEO, [LONG, SHORT]).split("\n\n")
    assert blocks[0] == "WEBVTT"
    assert blocks[1].strip() == "00:00:01.000 --> 00:00:02.520\n=1+1"  # in order of time
    assert blocks[2].strip() == "01:01:01.250 --> 01:01:02.000\na &lt;b&gt; &amp; c"


@given(SEGMENTS, LABELS)
def test_every_cue_of_a_vtt_is_one_block(segments, label):
    blocks = segments_vtt(VIDEO, [QuerySegments(label, segments)]).strip().split("\n\n")
    assert len(blocks) == 1 + len(segments)
    for block in blocks[1:]:
        timing, text = block.split("\n")
        times = re.fullmatch(r"([\d:.]+) --> ([\d:.]+)", timing)
        assert times is not None and times[1] < times[2]
        assert text and "-->" not in text


def test_edl():
    lines = segments_edl(VIDEO, [SHORT, LONG]).splitlines()
    assert lines[0] == "TITLE: a b.mp4"
    assert lines[3] == "001  AX       V     C        00:00:01:00 00:00:02:13 00:00:00:00 00:00:01:13"
    assert lines[7] == "002  AX       V     C        01:01:01:06 01:01:02:00 00:00:01:13 00:00:02:07"
    assert "* COMMENT: a <b> & c" in lines
    ntsc = ExportedVideo("a.mp4", 7_260_000.0, 30000 / 1001, {})  # 108,000 frames are 3603.6 s of it
    hour = segments_edl(ntsc, [QuerySegments("x", [Segment(3_603_600.0, 3_604_601.0, 3_603_600.0, 0.5, 0.4)])]).splitlines()[3]
    assert "C        01:00:00:00 01:00:01:00 00:00:00:00 00:00:01:00" in hour


@given(SEGMENTS)
def test_edl_counts_frames_below_the_rate(segments):
    for line in segments_edl(VIDEO, [QuerySegments("x", segments)]).splitlines():
        for frames in re.findall(r"\d\d:\d\d:\d\d:(\d\d)", line):
            assert int(frames) < 25


def test_chapters():
    assert segments_chapters(VIDEO, [SHORT, LONG]) == "0:00 beginning\n0:01 =1+1\n1:01:01 a <b> & c\n"
    assert segments_chapters(VIDEO, []) == "0:00 beginning\n"


def test_scores():
    times, curves = np.array([0.0, 33.366700]), np.array([[0.25, -0.5]])
    assert scores_csv(times, ["a"], curves).splitlines() == ["timestamps_ms,a", "0.000,0.250000", "33.367,-0.500000"]
    said = json.loads(scores_json(VIDEO, times, ["a"], curves))
    assert said["timestamps_ms"] == [0.0, 33.3667]
    assert said["queries"] == [{"label": "a", "scores": [0.25, -0.5]}]


@pytest.mark.parametrize("name", SEGMENT_FORMATS)
def test_no_segments_and_no_rate_are_no_error(name):
    assert SEGMENT_FORMATS[name](ExportedVideo("x", 0.0, float("nan"), {}), [QuerySegments("q", [])])
