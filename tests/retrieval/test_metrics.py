"""Metrics: cases done by hand, ties, several captions a video, missing videos, intervals, and a slow rewriting of it all."""

import numpy as np
import pytest
from clipreel.retrieval.metrics import RECALLS, ranks_of_texts, ranks_of_videos, retrieval_metrics
from hypothesis import given, settings
from hypothesis import strategies as st


def slow_ranks(similarity, video_of):
    """Both directions' ranks, one comparison at a time."""
    to_video = [1 + sum(row[v] >= row[right] for v in range(len(row)) if v != right)
                for row, right in zip(similarity, video_of, strict=True)]
    to_text = []
    for video in sorted(set(video_of.tolist())):
        best = max(similarity[q][video] for q in range(len(video_of)) if video_of[q] == video)
        to_text.append(1 + sum(similarity[q][video] >= best for q in range(len(video_of)) if video_of[q] != video))
    return to_video, to_text


@st.composite
def problems(draw):
    videos = draw(st.integers(1, 8))
    video_of = draw(st.lists(st.integers(0, videos - 1), min_size=1, max_size=12))
    levels = draw(st.sampled_from([1, 2, 3, 50]))  # few levels: many ties
    seed = draw(st.integers(0, 1 << 30))
    similarity = np.random.default_rng(seed).integers(levels, size=(len(video_of), videos)).astype(np.float32)
    return similarity, np.array(video_of)


def test_a_matrix_by_hand():
    similarity = np.array([
        [0.9, 0.1, 0.2, 0.3],  # right is 0: rank 1
        [0.8, 0.5, 0.6, 0.1],  # right is 1: rank 3
        [0.3, 0.2, 0.4, 0.4],  # right is 2, and 3 is as good: rank 2
        [0.7, 0.6, 0.5, 0.4],  # right is 3: rank 4
    ])
    found = retrieval_metrics(similarity, np.arange(4))
    assert found.text_to_video.recall == {1: 25.0, 5: 100.0, 10: 100.0, 50: 100.0}
    assert (found.text_to_video.median_rank, found.text_to_video.mean_rank) == (2.5, 2.5)
    # columns: 0.9 first; 0.5 behind 0.6; 0.4 behind 0.6 and 0.5; 0.4 with 0.4
    assert ranks_of_texts(similarity, np.arange(4)).tolist() == [1, 2, 3, 2]
    assert found.video_to_text.recall[1] == 25.0
    assert (found.video_to_text.median_rank, found.video_to_text.mean_rank) == (2.0, 2.0)
    assert (found.gallery_size, found.query_count, found.missing_count) == (4, 4, 0)


def test_several_captions_a_video_by_hand():
    video_of = np.array([0, 0, 1])
    similarity = np.array([[0.1, 0.5], [0.9, 0.2], [0.3, 0.4]])
    assert ranks_of_videos(similarity, video_of).tolist() == [2, 1, 1]
    # Video 0's best text is the second, its first is no rival; video 1's 0.4 is behind 0.5.
    assert ranks_of_texts(similarity, video_of).tolist() == [1, 2]
    found = retrieval_metrics(similarity, video_of)
    assert (found.text_to_video.count, found.video_to_text.count) == (3, 2)


@pytest.mark.parametrize("value", [0.0, 1.0, -np.inf, np.inf])
def test_a_model_that_tells_nothing_apart_finds_nothing(value):
    found = retrieval_metrics(np.full((60, 60), value), np.arange(60))
    for direction in (found.text_to_video, found.video_to_text):
        assert direction.recall == dict.fromkeys(RECALLS, 0.0)
        assert (direction.median_rank, direction.mean_rank) == (60, 60)


@settings(deadline=None, max_examples=200)
@given(problems())
def test_ranks_are_those_of_one_comparison_at_a_time(problem):
    similarity, video_of = problem
    to_video, to_text = slow_ranks(similarity, video_of)
    assert ranks_of_videos(similarity, video_of).tolist() == to_video
    assert ranks_of_texts(similarity, video_of).tolist() == to_text


@settings(deadline=None, max_examples=50)
@given(problems(), st.integers(0, 1000))
def test_the_order_of_videos_and_of_texts_changes_nothing(problem, seed):
    similarity, video_of = problem
    generator = np.random.default_rng(seed)
    columns, rows = generator.permutation(similarity.shape[1]), generator.permutation(len(video_of))
    place = np.argsort(columns)
    one = retrieval_metrics(similarity, video_of, resamples=0)
    other = retrieval_metrics(similarity[rows][:, columns], place[video_of[rows]], resamples=0)
    assert one.text_to_video == other.text_to_video
    assert one.video_to_text == other.video_to_text


@settings(deadline=None, max_examples=50)
@given(problems())
def test_recall_grows_with_k_and_ranks_stay_in_the_gallery(problem):
    similarity, video_of = problem
    found = retrieval_metrics(similarity, video_of, resamples=20).text_to_video
    values = [found.recall[k] for k in RECALLS]
    assert values == sorted(values)
    assert 1 <= found.median_rank <= similarity.shape[1]
    assert all(low <= high for low, high in found.intervals.values())


def test_a_missing_video_is_a_miss_and_the_gallery_keeps_its_size():
    similarity = np.eye(4)
    similarity[:, 2] = 5.0  # whatever a row without features scores
    found = retrieval_metrics(similarity, np.arange(4), available=np.array([True, True, False, True]))
    assert (found.gallery_size, found.missing_count) == (4, 1)
    assert found.text_to_video.recall[1] == found.video_to_text.recall[1] == 75.0
    assert found.text_to_video.mean_rank == (1 + 1 + 4 + 1) / 4
    assert found.available_text_to_video is not None and found.available_video_to_text is not None
    assert found.available_text_to_video.recall[1] == found.available_video_to_text.recall[1] == 100.0
    assert found.available_text_to_video.count == 3


def test_blocks_change_nothing(monkeypatch):
    generator = np.random.default_rng(0)
    similarity, video_of = generator.integers(20, size=(200, 50)).astype(np.float32), generator.integers(50, size=200)
    whole = retrieval_metrics(similarity, video_of, resamples=50)
    monkeypatch.setattr("clipreel.retrieval.metrics.BLOCK_VALUES", 600)
    assert retrieval_metrics(similarity, video_of, resamples=50) == whole


def test_intervals_are_those_of_the_binomial_and_follow_the_seed():
    generator = np.random.default_rng(1)
    hit = generator.random(1000) < 0.45
    similarity = np.where(hit, 1.0, -1.0)[:, None] * np.eye(1000)
    one, same, other = (retrieval_metrics(similarity, np.arange(1000), seed=seed).text_to_video for seed in (3, 3, 4))
    low, high = one.intervals["R@1"]
    error = 100 * np.sqrt(0.45 * 0.55 / 1000)
    assert low < one.recall[1] < high
    assert abs((high - low) / 2 - 1.96 * error) < 0.4
    assert one.intervals == same.intervals != other.intervals


def test_captions_of_a_video_are_drawn_together():
    # 20 captions a video, all right or all wrong: the interval is that of 40 videos, not of 800 texts.
    right = np.arange(40) % 2 == 0
    video_of = np.repeat(np.arange(40), 20)
    similarity = np.where(right[video_of], 1.0, -1.0)[:, None] * np.eye(40)[video_of]
    low, high = retrieval_metrics(similarity, video_of).text_to_video.intervals["R@1"]
    assert high - low > 25


def test_the_median_of_an_even_number_is_between_the_two():
    similarity = np.array([[1.0, 0.0, 0.0], [1.0, 0.5, 0.6]])
    assert retrieval_metrics(similarity, np.array([0, 1]), resamples=0).text_to_video.median_rank == 2.0


def test_what_has_no_rank_is_refused():
    with pytest.raises(ValueError, match="NaN"):
        retrieval_metrics(np.array([[np.nan, 1.0], [0.0, 1.0]]), np.arange(2))
    with pytest.raises(ValueError, match="video_of"):
        retrieval_metrics(np.eye(2), np.array([0, 2]))
    with pytest.raises(ValueError, match="not"):
        retrieval_metrics(np.eye(2), np.array([0, 1, 1]))


def test_what_differs_by_rounding_alone_is_equal():
    similarity = np.eye(20, dtype=np.float32)
    similarity[:, 7] = similarity.diagonal() - 5e-7  # a copy of the right video, rounded otherwise
    assert retrieval_metrics(similarity, np.arange(20), resamples=0).text_to_video.recall[1] == 100
    near = retrieval_metrics(similarity, np.arange(20), resamples=0, tolerance=1e-6)
    assert near.text_to_video.recall[1] == 5
    assert near.text_to_video.median_rank == 2
