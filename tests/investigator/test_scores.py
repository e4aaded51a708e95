"""Curves, segments and moments by their properties."""

from itertools import pairwise

import numpy as np
import pytest
from clipreel.investigator.moments import best_moments, in_cells
from clipreel.investigator.offset import estimate_offset
from clipreel.investigator.scores import judge, log_odds, rivals, shares, unit
from clipreel.investigator.segments import SegmentRule, TimedMark, find_segments, precision, total_ms
from hypothesis import given
from hypothesis import strategies as st

CURVES = st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=60).map(lambda values: np.array(values, np.float32))


@st.composite
def timed(draw):
    """(times, curve, end)."""
    curve = draw(CURVES)
    steps = draw(st.lists(st.integers(1, 5000), min_size=len(curve), max_size=len(curve)))
    times = np.cumsum(steps).astype(float) - steps[0]
    return times, curve, float(times[-1] + draw(st.integers(1, 5000)))


RULES = st.builds(SegmentRule, st.floats(-1, 1), st.floats(0, 1), st.sampled_from([0.0, 500.0, 4000.0]),
                  st.sampled_from([0.0, 700.0, 6000.0]), st.sampled_from([0.0, 300.0, 9000.0]))


@given(timed(), RULES)
def test_segments_are_in_order_apart_and_inside(video, rule):
    times, curve, end = video
    found = find_segments(times, curve, end, rule)
    for one in found:
        assert 0 <= one.begin_ms < one.end_ms <= end
        assert one.begin_ms <= one.peak_ms < one.end_ms
        assert one.peak >= rule.threshold
        assert one.peak == curve[times.tolist().index(one.peak_ms)]
        assert one.end_ms - one.begin_ms >= min(rule.minimum_ms, end)
    for before, after in pairwise(found):
        assert before.end_ms <= after.begin_ms + 1e-6
    assert total_ms(found) <= end + 1e-6


@given(timed(), st.floats(-1, 1), st.floats(0, 1))
def test_hysteresis_against_walking_along_the_curve(video, threshold, drop):
    times, curve, end = video
    inside, spans, begin = False, [], 0.0
    for time, score in zip(times.tolist(), curve.tolist(), strict=True):
        if not inside and score >= threshold:
            inside, begin = True, time
        elif inside and score < threshold - drop:
            inside = False
            spans.append((begin, time))
    if inside:
        spans.append((begin, end))
    found = find_segments(times, curve, end, SegmentRule(threshold, drop))
    assert [(one.begin_ms, one.end_ms) for one in found] == spans


@given(timed(), RULES, st.data())
def test_blocked_rows_are_in_no_segment(video, rule, data):
    times, curve, end = video
    blocked = np.array(data.draw(st.lists(st.booleans(), min_size=len(curve), max_size=len(curve))))
    bare = SegmentRule(rule.threshold, rule.drop, rule.minimum_ms, rule.gap_ms)
    for one in find_segments(times, curve, end, bare, blocked):
        assert not blocked[(times >= one.begin_ms) & (times < one.end_ms)].any()


@given(timed())
def test_a_lower_threshold_never_finds_less(video):
    times, curve, end = video
    shares_of = [total_ms(find_segments(times, curve, end, SegmentRule(threshold))) for threshold in (0.5, 0.0, -0.5, -1.0)]
    assert shares_of == sorted(shares_of)
    assert shares_of[-1] == pytest.approx(end)


def test_marks_belong_to_the_segment_around_them():
    times, curve = np.arange(6) * 1000.0, np.array([0, 1, 0, 0, 1, 1])
    marks = [TimedMark(1000, "reject"), TimedMark(4500, "reject"), TimedMark(4000, "keep"), TimedMark(2500, "keep")]
    found = find_segments(times, curve, 6000, SegmentRule(0.5), marks=marks)
    assert [(one.begin_ms, one.end_ms, one.state) for one in found] == [(1000, 2000, "reject"), (4000, 6000, "keep")]
    assert precision(found) == 0.5
    assert precision(find_segments(times, curve, 6000, SegmentRule(0.5))) is None


@pytest.mark.parametrize("wrong", [{"threshold": float("nan")}, {"threshold": 0, "drop": -1},
                                   {"threshold": 0, "gap_ms": float("inf")}])
def test_rules_that_cannot_be(wrong):
    with pytest.raises(ValueError, match="allowed"):
        SegmentRule(**wrong)


@given(timed(), st.integers(1, 12), st.sampled_from([0.0, 1000.0, 7000.0]))
def test_moments_are_apart_and_the_best_comes_first(video, count, apart):
    times, curve, _ = video
    rows = best_moments(times, curve, count, apart_ms=apart)
    assert rows[0] == int(np.argmax(curve))
    assert len(rows) <= count
    assert [curve[row] for row in rows] == sorted((curve[row] for row in rows), reverse=True)
    assert all(abs(times[one] - times[other]) >= apart for place, one in enumerate(rows) for other in rows[:place])
    for row in range(len(curve)):  # what was left out is near a better one, or there was no more room
        assert row in rows or len(rows) == count or any(abs(times[row] - times[one]) < apart for one in rows)


def test_the_same_picture_is_one_moment():
    features = unit(np.array([[1, 0], [1, 0.001], [0, 1]]))
    rows = best_moments(np.arange(3) * 1e5, np.array([0.9, 0.8, 0.7]), 3, apart_ms=0, features=features)
    assert rows == [0, 2]


@given(timed(), st.integers(1, 50))
def test_cells_hold_the_peak(video, cells):
    times, curve, end = video
    strip = in_cells(times, curve, end, cells)
    assert strip.shape == (cells,)
    assert strip.max() == curve.max()
    assert set(strip.tolist()) <= set(curve.tolist())


@given(st.integers(1, 8), st.integers(1, 20), st.integers(0, 1000))
def test_log_odds_are_those_of_a_softmax(texts, frames, seed):
    random = np.random.default_rng(seed)
    raw, neutral = random.uniform(-1, 1, frames), random.uniform(-1, 1, (texts, frames))
    scale = 30.0
    weights = np.exp(scale * np.vstack([raw, neutral]) - scale)
    chance = weights[0] / weights.sum(axis=0)
    np.testing.assert_allclose(1 / (1 + np.exp(-log_odds(raw, neutral, scale))), chance, atol=1e-5)


@given(st.integers(2, 8), st.integers(1, 20), st.integers(0, 1000))
def test_shares_sum_to_one_and_keep_the_order(queries, frames, seed):
    raw = np.random.default_rng(seed).uniform(-1, 1, (queries, frames)).astype(np.float32)
    found = shares(raw, 20.0)
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)
    assert (found.argmax(axis=0) == raw.argmax(axis=0)).all()


def test_a_text_is_no_rival_of_itself():
    neutral = unit(np.array([[1, 0.05, 0], [0, 1, 0], [0, 0.9, 1], [0.1, 0, 1]]))
    assert rivals(unit(np.array([[1, 0, 0]]))[0], neutral).tolist() == [False, True, True, True]
    assert rivals(neutral[0], neutral[:1]).any()


def test_what_stands_out_and_what_does_not():
    raw, quiet = np.array([0.1, 0.1, 0.6], np.float32), np.array([0.1, 0.12, 0.11], np.float32)
    said = judge("raw", raw, raw, np.array([-5, -5, 4], np.float32))
    assert (said.word, said.stands_out, said.peak_row) == ("strong", True, 2)
    assert said.threshold == pytest.approx(0.6)
    said = judge("raw", quiet, quiet, np.array([-5, -4, -3], np.float32))
    assert (said.word, said.stands_out) == ("within noise", False)
    assert said.threshold > quiet.max()  # by default nothing is claimed
    assert judge("baseline", quiet, quiet, np.array([-5, 0.5, -3], np.float32)).word == "weak"


@given(st.integers(-12, 12), st.integers(0, 100))
def test_an_offset_is_found_again(lag, seed):
    scene = unit(np.random.default_rng(seed).normal(size=(60, 16)))
    first = slice(max(0, -lag), 60 + min(0, -lag))
    second = slice(max(0, lag), 60 + min(0, lag))
    # what is at row i of A is at row i + lag of B when B begins that much earlier
    a, b = scene[second][:40], scene[first][:40]
    found = estimate_offset(np.arange(len(a)) * 500.0, a, np.arange(len(b)) * 500.0, b)
    assert found.offset_ms == pytest.approx((second.start - first.start) * 500.0, abs=30)
    assert found.confidence > 0.5


def test_two_videos_that_never_change_have_no_offset():
    same = unit(np.ones((10, 4)))
    assert estimate_offset(np.arange(10.0), same, np.arange(10.0), same).confidence == 0
