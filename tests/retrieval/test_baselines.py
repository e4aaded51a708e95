"""Choices without learning: what every one of them must hold to, and what each is for."""

from itertools import combinations

import numpy as np
import pytest
from clipreel.retrieval.baselines import (
    NO_FRAME,
    at_positions,
    best_positions,
    centre,
    drawn,
    every_frame,
    k_medoids,
    mean_vectors,
    medoids,
    uniform,
    unit,
)
from clipreel.retrieval.gallery import thinned
from hypothesis import given, settings
from hypothesis import strategies as st

CHOICES = {
    "uniform": lambda features, mask, k: uniform(mask, k),
    "centre": lambda features, mask, k: centre(mask, k),
    "drawn": lambda features, mask, k: drawn(mask, k, 3),
    "medoids": medoids,
}


@st.composite
def galleries(draw):
    videos, frames = draw(st.integers(1, 5)), draw(st.integers(1, 9))
    generator = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    counts = draw(st.lists(st.integers(0, frames), min_size=videos, max_size=videos))
    mask = np.stack([generator.permutation(np.arange(frames) < count) for count in counts])
    return generator.standard_normal((videos, frames, 4)).astype(np.float32), mask, draw(st.integers(1, frames))


@pytest.mark.parametrize("name", CHOICES)
@settings(deadline=None, max_examples=60)
@given(gallery=galleries())
def test_chosen_are_k_distinct_frames_in_time_order_or_all_there_are(name, gallery):
    features, mask, k = gallery
    for row, there in zip(CHOICES[name](features, mask, k), mask, strict=True):
        chosen = row[row != NO_FRAME]
        assert len(row) == k
        assert len(chosen) == min(k, there.sum())
        assert (np.diff(chosen) > 0).all()
        assert there[chosen].all()
        assert (row[len(chosen):] == NO_FRAME).all()


@settings(deadline=None, max_examples=60)
@given(gallery=galleries())
def test_fixed_positions_take_a_frame_that_is_there_and_none_twice(gallery):
    _, mask, k = gallery
    for row, there in zip(at_positions(mask, np.arange(mask.shape[1])[-k:]), mask, strict=True):
        chosen = row[row != NO_FRAME]
        assert (np.diff(chosen) > 0).all()
        assert there[chosen].all()


@pytest.mark.parametrize(("frames", "k"), [(16, 4), (16, 12), (10, 3), (64, 32), (7, 7)])
def test_uniform_is_the_rule_by_which_frames_are_thinned(frames, k):
    assert uniform(np.ones((1, frames), dtype=bool), k)[0].tolist() == thinned(frames, k).tolist()


def test_centre_by_hand():
    mask = np.ones((2, 9), dtype=bool)
    mask[1, [0, 8]] = False
    assert centre(mask, 3).tolist() == [[3, 4, 5], [3, 4, 5]]
    assert centre(mask, 8)[1].tolist() == [1, 2, 3, 4, 5, 6, 7, NO_FRAME]


def test_drawn_frames_are_all_as_likely_and_follow_the_seed():
    mask = np.ones((8000, 8), dtype=bool)
    mask[:, 2] = False
    counts = np.bincount(drawn(mask, 3, 0).ravel(), minlength=8) / 8000
    assert counts[2] == 0
    assert np.abs(np.delete(counts, 2) - 3 / 7).max() < 0.03
    assert (drawn(mask, 3, 0) == drawn(mask, 3, 0)).all()
    assert (drawn(mask, 3, 0) != drawn(mask, 3, 1)).any()


def cost(frames, chosen):
    return (1 - unit(frames) @ unit(frames)[list(chosen)].T).min(axis=1).sum()


def test_medoids_find_groups_and_are_near_the_best_of_all_choices():
    generator = np.random.default_rng(0)
    groups = generator.standard_normal((3, 16))
    order = generator.permutation(12)
    frames = (groups[np.arange(12) % 3] + 0.05 * generator.standard_normal((12, 16)))[order].astype(np.float32)
    assert sorted((order[k_medoids(frames, 3)] % 3).tolist()) == [0, 1, 2]
    costs = []
    for _ in range(30):
        frames = generator.standard_normal((9, 5)).astype(np.float32)
        best = min(cost(frames, chosen) for chosen in combinations(range(9), 3))
        costs.append((cost(frames, k_medoids(frames, 3)), cost(frames, generator.permutation(9)[:3]), best))
    found, any_three, best = np.array(costs).T
    assert (found >= best - 1e-5).all()
    assert found.mean() < best.mean() + 0.25 * (any_three.mean() - best.mean())


def test_medoids_of_many_videos_are_those_of_each():
    generator = np.random.default_rng(2)
    features = generator.standard_normal((40, 10, 6)).astype(np.float32)
    mask = generator.random((40, 10)) < 0.8
    together = medoids(features, mask, 4)
    for video in range(40):
        alone = np.flatnonzero(mask[video])[k_medoids(features[video][mask[video]], 4)]
        assert together[video][together[video] != NO_FRAME].tolist() == alone.tolist()


def test_equal_frames_are_no_trouble_for_medoids():
    assert len(set(k_medoids(np.ones((6, 4), dtype=np.float32), 3).tolist())) == 3


def test_best_positions_are_those_that_hold_what_the_texts_say():
    generator = np.random.default_rng(1)
    texts = unit(generator.standard_normal((300, 32)))
    features = generator.standard_normal((300, 10, 32)).astype(np.float32)
    for place in (2, 7):
        features[:, place] = texts + 0.3 * generator.standard_normal((300, 32))
    mask = np.ones((300, 10), dtype=bool)
    mask[5] = False  # a video that is missing
    assert best_positions(texts, features, mask, 2).tolist() == [2, 7]


def test_mean_vectors_weigh_directions_not_lengths():
    features = np.array([[[3.0, 0], [0, 1], [5, 5]], [[1, 0], [0, 1], [1, 1]]], dtype=np.float32)
    vectors = mean_vectors(features, np.array([[0, 1], [1, NO_FRAME]]))
    assert np.allclose(vectors, [[0.5 ** 0.5, 0.5 ** 0.5], [0, 1]])
    mask = np.array([[True, True, False], [False, False, False]])
    assert np.allclose(mean_vectors(features, every_frame(mask)), [[0.5 ** 0.5, 0.5 ** 0.5], [0, 0]])
