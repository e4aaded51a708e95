"""Choosing frames where it counts: captioned events in a quarter of the frames, other videos' events in all others."""

import json

import numpy as np
import pytest
from clipreel import evaluate_retrieval, extract_features, train_retrieval
from clipreel.retrieval.annotations import read_annotations
from clipreel.retrieval.baselines import mean_vectors
from clipreel.retrieval.gallery import load_gallery
from clipreel.retrieval.metrics import retrieval_metrics
from clipreel.sample.events import draw_world, write_world

TRAIN, TEST, SEED = 120, 100, 3
K = 4  # of 16
UNLEARNT = {"uniform", "random", "centre", "best fixed"}


@pytest.fixture(scope="module")
def world(tmp_path_factory, tiny):
    folder = tmp_path_factory.mktemp("events")
    for _ in write_world(folder, draw_world(TRAIN, TEST, SEED)):
        pass
    extract_features(file_with_video_paths=folder / "videos.csv", encoder=tiny, on_extraction="save_numpy", output_path=folder,
                     batch_size=64)
    return folder


@pytest.fixture(scope="module")
def evaluated(world, tiny):
    trained = train_retrieval(features=world / "clip" / "tiny", annotations=world, texts=world, num_frm=16, top_k=K,
                              frame_agg="mlp", concat_captions="mean", num_epochs=6, device="cpu", output_path=world / "trained")
    return evaluate_retrieval(checkpoint=trained.checkpoint, annotations=world, features=world / "clip" / "tiny", texts=world,
                              encoder=tiny, output_path=world / "evaluated")


def oracle(world, tiny):
    """R@1 of the mean of exactly the captioned frames."""
    from clipreel.extract.text_features import CaptionFeatures
    from clipreel.retrieval.queries import query_features

    videos = read_annotations(world / "test.json")
    said = json.loads((world / "test.json").read_text())
    gallery = load_gallery(world / "clip" / "tiny", [video.video_id for video in videos], 16)
    queries = query_features(videos, "mean", CaptionFeatures(world / "texts", tiny.identity), lambda: tiny)
    choice = np.array([np.flatnonzero(said[video.video_id]["is_event"]) for video in videos])
    assert choice.shape == (TEST, K)
    similarity = queries.features @ mean_vectors(gallery.features, choice).T
    return retrieval_metrics(similarity, queries.video_of).text_to_video.recall[1]


def test_learned_frames_beat_every_choice_without_learning_and_come_near_the_oracle(evaluated, world, tiny):
    best = oracle(world, tiny)
    learned = evaluated.method.metrics.text_to_video.recall[1]
    others = {(one.line.choice, one.line.aggregation): one.metrics.text_to_video.recall[1] for one in evaluated.baselines
              if one.line.frames == K and one.line.choice in UNLEARNT}
    assert {choice for choice, _ in others} == UNLEARNT
    assert best > 60  # there is something to find
    assert learned >= 0.95 * best
    assert learned >= max(others.values()) + 10, others


def test_nothing_but_the_size_tells_which_frames_are_captioned():
    videos = draw_world(600, 500, 0)
    assert len({frozenset(video.captions) for video in videos}) == 1100
    assert {video.script.frame_count for video in videos} == {16}
    where = np.array([video.is_event for video in videos])
    assert (where.sum(axis=1) == 4).all()
    # positions are even: 1,100 videos, a deviation of 1.3 points
    assert np.abs(where.mean(axis=0) - 0.25).max() < 0.05
    for video in videos:
        shown = {scene.shape for scene in video.script.scenes}
        assert len(shown) >= 5 and None not in shown
        assert {shape.size for shape in shown if shape is not None} == {"large", "small"}
    own = {video.captions for video in videos if video.split == "test"}
    captions = [one for pair in own for one in pair]
    passing = [scene.shape for video in videos if video.split == "test" for scene in video.script.scenes
               if scene.shape is not None and scene.shape.size == "small"]
    # what passes through are captions of the same split
    assert {f"a {shape.colour} {shape.shape}" for shape in passing} <= {" ".join(one.split()[:3]) for one in captions}


def test_a_world_is_that_of_its_seed():
    assert draw_world(10, 5, 1) == draw_world(10, 5, 1)
    assert draw_world(10, 5, 1) != draw_world(10, 5, 2)
    coins = draw_world(50, 50, 1, size_tells=False)
    large = [(scene.shape.size == "large", is_event) for video in coins
             for scene, is_event in zip(video.script.scenes, video.is_event[::2], strict=True) if scene.shape is not None]
    events, others = ([size for size, is_event in large if is_event == which] for which in (True, False))
    assert abs(np.mean(events) - np.mean(others)) < 0.1
    with pytest.raises(ValueError, match="allowed"):
        draw_world(3, 50, 0)


