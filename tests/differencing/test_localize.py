"""Frames for a difference: the published rule to the frame, the better one by what it promises."""

import numpy as np
import pytest
from clipreel.differencing.choose import CHOICES, SEPARATION_SECONDS, Place, choose, is_about_time
from clipreel.differencing.localize import HIT_SECONDS, localize, score_localization, summarize
from clipreel.differencing.records import Clip, Difference, Pair, Proposal, Stage, Track
from hypothesis import given, settings
from hypothesis import strategies as st

ONE = Difference("0", "height", "the shape is higher")
SEVERAL = Difference("1", "lean", "the shape leans more", span="several")
SPEED = Difference("2", "speed", "the shape moves faster", span="several")


def place(n, fps, segments, curves=None, key="k"):
    curves = np.zeros((len(segments), n)) if curves is None else np.asarray(curves, dtype=float)
    return Place(key, np.arange(n) / fps, segments, curves)


@pytest.mark.parametrize(("fps", "step"), [(1, 0), (2, 1), (4, 1), (5, 2), (6, 2), (8, 3), (30, 10)])
def test_the_published_distance(fps, step):
    assert choose(place(100, fps, [(40, 61)]), SEVERAL, "reference") == (50 - step, 50, 50 + step)


def test_the_published_rule_in_the_middle_and_at_both_ends():
    assert choose(place(30, 8, [(4, 8), (20, 30)]), ONE, "reference") == (5,)  # the first linked stage alone
    assert choose(place(30, 8, [(4, 8), (20, 30)]), SEVERAL, "reference") == (13, 16, 19)  # all linked stages
    assert choose(place(30, 8, [(28, 30)]), SEVERAL, "reference") == (23, 26, 29)
    assert choose(place(30, 8, [(0, 2)]), SEVERAL, "reference") == (0, 3, 6)
    assert choose(place(4, 8, [(0, 2)]), SEVERAL, "reference") == (0, 3, 3)  # too short for the rule


def test_the_best_match_inside_the_stage():
    curve = np.linspace(0, 1, 20)
    assert choose(place(20, 8, [(4, 10)], [curve]), ONE, "spaced") == (9,)
    assert choose(place(20, 8, [(4, 10)], [curve]), SEVERAL, "spaced") == (6, 8, 9)  # 0.35 s is 2.8 frames; then any
    assert choose(place(20, 8, [(4, 11), (12, 14)], [curve, 2 - curve]), SPEED, "spaced") == (4, 8, 13)


@settings(max_examples=200, deadline=None)
@given(n=st.integers(1, 40), fps=st.sampled_from([1, 2, 5, 8, 30]), seed=st.integers(0, 999),
       rule=st.sampled_from(["spaced", "uniform", "random"]), difference=st.sampled_from([ONE, SEVERAL, SPEED]))
def test_frames_are_distinct_in_order_and_inside(n, fps, seed, rule, difference):
    generator = np.random.default_rng(seed)
    begin = int(generator.integers(n))
    end = int(generator.integers(begin, n)) + 1
    where = place(n, fps, [(begin, end)], generator.random((1, n)))
    frames = choose(where, difference, rule)
    assert list(frames) == sorted(set(frames))
    low, high = (begin, end) if rule == "spaced" else (0, n)
    assert all(low <= frame < high for frame in frames)
    assert len(frames) == min(high - low, 1 if difference.span == "frame" else 3) or (difference is SPEED and len(frames) >= 1)


def test_frames_keep_their_distance_where_there_is_room():
    generator = np.random.default_rng(0)
    for _ in range(50):
        frames = choose(place(60, 30, [(5, 55)], generator.random((1, 60))), SEVERAL, "spaced")
        assert np.diff(frames).min() >= SEPARATION_SECONDS * 30 - 1e-6


def test_drawn_frames_differ_by_clip_and_never_by_run():
    drawn = [choose(place(200, 8, [(0, 200)], key=key), SEVERAL, "random") for key in "abcdefgh"]
    assert len(set(drawn)) == 8
    assert drawn == [choose(place(200, 8, [(0, 200)], key=key), SEVERAL, "random") for key in "abcdefgh"]


@pytest.mark.parametrize(("statement", "about"), [("squats faster", True), ("holds the pose for a longer time", True),
                                                  ("the feet are wider apart", False), ("arms more bent", False)])
def test_statements_about_time(statement, about):
    assert is_about_time(Difference("0", "x", statement, span="several")) is about
    assert not is_about_time(Difference("0", "x", statement, span="frame"))


def clip_of(parts, fps, dim=6):
    """A track that shows text i for parts[i] frames."""
    features = np.repeat(np.eye(dim, dtype=np.float32)[:len(parts)], parts, axis=0)
    times = np.arange(len(features)) / fps
    return Track(times, times * 1000, features, fps)


def test_stages_are_found_and_frames_scored_by_seconds_even_at_two_rates():
    stages = tuple(Stage(str(number), f"s{number}", "", (f"text {number}",), (("0",), ("1",), ())[number]) for number in range(3))
    proposal = Proposal("act", (ONE, SEVERAL), stages)
    texts = [row[None] for row in np.eye(6, dtype=np.float32)[:3]]
    tracks = [clip_of([4, 8, 4], 4), clip_of([16, 32, 16], 16)]
    found = [localize(proposal, track, texts) for track in tracks]
    assert found[0].segmentation.segments == ((0, 4), (4, 12), (12, 16))
    assert found[1].segmentation.segments == ((0, 16), (16, 48), (48, 64))
    clips = (Clip(__file__, 4), Clip(__file__, 16))  # pyright: ignore[reportArgumentType]
    truth = ({"0": (0,), "1": (6, 10)}, {"0": (60,), "1": None})
    pair = Pair("p", "act", "acting", clips, retrieval_frames=truth)
    errors = score_localization(pair, tracks, found, [np.arange(16) / 4, np.arange(64) / 16])
    first = [abs(found[0].chosen["0"].frames[0] / 4 - 0)]
    ours = np.array(found[0].chosen["1"].frames) / 4
    assert errors == pytest.approx([*first, np.mean([np.abs(ours - t).min() for t in (1.5, 2.5)]),
                                    abs(found[1].chosen["0"].frames[0] / 16 - 60 / 16)])
    summary = summarize(errors)
    assert summary.clips == 3
    assert summary.hit_rate == pytest.approx(sum(error <= HIT_SECONDS for error in errors) / 3)
    assert summarize([]).hit_rate is None


def test_every_rule_is_known():
    assert set(CHOICES) == {"spaced", "reference", "uniform", "random"}
