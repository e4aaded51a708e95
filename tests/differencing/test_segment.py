"""Segments: the original's alignments, brute force, and what must hold for any clip."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from clipreel.differencing.segment import SEGMENTERS, align, segment, stage_costs, stage_curves
from hypothesis import given, settings
from hypothesis import strategies as st

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "viddiff_segmentation_3.json").read_text())


def alignment(segments, n):
    stages = np.zeros(n, dtype=int)
    for stage, (begin, end) in enumerate(segments):
        stages[begin:end] = stage
    return stages.tolist()


def cost(costs, stages):
    return sum(costs[stage, frame] for frame, stage in enumerate(stages))


@pytest.mark.parametrize("case", range(len(GOLDEN)))
def test_is_the_original_s_alignment(case):
    similarities = [np.array(rows) for rows in GOLDEN[case]["similarities"]]
    expected, n = GOLDEN[case]["alignment"], similarities[0].shape[1]
    segments = segment(similarities, "viterbi")
    if len(similarities) > n:
        assert [segments[stage][0] for stage in range(n)] == expected
        return
    ours = alignment(segments, n)
    costs = stage_costs(stage_curves(similarities))
    assert ours == expected or cost(costs, ours) == pytest.approx(cost(costs, expected), rel=1e-12)


def test_flat_scores_end_each_stage_as_late_as_can_be():
    flat = [np.full((1, 8), 0.2)] * 3
    assert alignment(segment(flat, "viterbi"), 8) == [0] * 6 + [1, 2]
    assert segment([np.full((1, 3), 0.2)] * 3, "viterbi") == ((0, 1), (1, 2), (2, 3))
    assert segment([np.full((1, 2), 0.2)] * 4, "viterbi") == ((0, 1), (1, 2), (1, 2), (1, 2))


@settings(max_examples=200, deadline=None)
@given(stages=st.integers(1, 5), more=st.integers(0, 5), seed=st.integers(0, 10_000), coarse=st.booleans())
def test_no_boundaries_are_cheaper(stages, more, seed, coarse):
    n = stages + more
    costs = np.random.default_rng(seed).random((stages, n)) * 5
    costs = np.round(costs) if coarse else costs  # whole numbers tie often
    bounds = align(costs).tolist()
    assert bounds[0] == 0
    assert bounds[-1] == n
    assert all(a < b for a, b in itertools.pairwise(bounds))

    def total(inner):
        edges = [0, *inner, n]
        return sum(costs[stage, edges[stage]:edges[stage + 1]].sum() for stage in range(stages))

    everything = [(total(inner), inner) for inner in itertools.combinations(range(1, n), stages - 1)]
    cheapest = min(value for value, _ in everything)
    assert total(bounds[1:-1]) == pytest.approx(cheapest)
    if coarse:  # exact: the latest of the cheapest
        assert tuple(bounds[1:-1]) == max((inner for value, inner in everything if value == cheapest),
                                          key=lambda inner: inner[::-1])


@settings(max_examples=200, deadline=None)
@given(stages=st.integers(1, 9), n=st.integers(1, 30), strings=st.integers(1, 4), seed=st.integers(0, 999),
       mode=st.sampled_from(sorted(SEGMENTERS)))
def test_every_stage_has_frames_of_the_clip(stages, n, strings, seed, mode):
    generator = np.random.default_rng(seed)
    segments = segment([generator.random((strings, n)) for _ in range(stages)], mode)
    assert len(segments) == stages
    assert all(0 <= begin < end <= n for begin, end in segments)
    if mode == "viterbi":
        assert sorted(segments) == list(segments)
        assert {frame for begin, end in segments for frame in range(begin, end)} == set(range(n)) or stages > n


def test_a_window_finds_its_frames_and_uniform_looks_at_none():
    rows = np.zeros((1, 20))
    rows[0, 12:16] = 1
    (_, _), (begin, end) = segment([np.zeros((1, 20)), rows], "window")
    assert begin <= 12
    assert end >= 16
    assert segment([rows] * 3, "uniform") == ((0, 9), (7, 15), (13, 20))


@pytest.mark.parametrize("similarities", [[], [np.zeros((1, 0))], [np.zeros((1, 3)), np.zeros((1, 4))]])
def test_what_cannot_be_segmented_is_refused(similarities):
    with pytest.raises(ValueError, match="frames of one clip"):
        segment(similarities, "viterbi")
