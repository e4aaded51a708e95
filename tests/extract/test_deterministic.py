"""`deterministic=true`: features equal to the bit, whatever happened on the way to them."""

import random

import numpy as np
import pytest
import torch
from clipreel import extract_features
from clipreel.errors import ClipreelError, ConfigError
from clipreel.extract.framewise import FramewiseExtractor
from clipreel.tests.extract.test_choosing import write_selection
from clipreel.tests.media import Recipe
from clipreel.tests.viclip_small import write_small

KEYS = {"deterministic": True, "batch_size": 8, "extraction_fps": 5}


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Of 3 to 40 frames."""
    folder = tmp_path_factory.mktemp("videos")
    for number in range(6):
        Recipe(frames=15 + 37 * number, size=(96, 64), first_number=number).write(folder / f"{number}.mp4")
    return sorted(folder.glob("*.mp4"))


@pytest.fixture(scope="module")
def alone(tiny, videos):
    """Every video in a run of its own, decoded by one thread."""
    return {path.stem: extract_features(path, encoder=tiny, workers=1, **KEYS).features[path.stem].features for path in videos}


def same(found, wanted):
    return found.keys() == wanted.keys() and all(np.array_equal(found[key].features, wanted[key]) for key in wanted)


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("seed", [1, 2])
def test_order_company_and_threads_change_no_bit(tiny, videos, alone, workers, seed):
    shuffled = random.Random(seed).sample(videos, len(videos))
    report = extract_features(shuffled, encoder=tiny, workers=workers, **KEYS)
    assert same(report.features, alone)
    assert report.frames == sum(len(rows) for rows in alone.values())


def test_two_workers_on_one_queue_change_no_bit(videos, alone):
    report = extract_features(videos, model_name="tiny", device_ids="[cpu, cpu]", workers=4, **KEYS)
    assert len(report.batch_sizes) == 2
    assert same(report.features, alone)


def test_without_it_the_number_of_companions_can_be_seen(tiny, videos):
    """Why it is there: float32 rows of the demonstration model differ by rounding between batches of one and of eight."""
    one, eight = (extract_features(videos[5], encoder=tiny, batch_size=size, extraction_fps=5).features["5"].features
                  for size in (1, 8))
    assert np.allclose(one, eight, atol=1e-3)
    if np.array_equal(one, eight):
        pytest.skip("on this CPU they do not")


def test_every_batch_has_the_same_shape_and_one_video(tiny, videos, monkeypatch):
    shapes, encode = [], FramewiseExtractor.encode
    monkeypatch.setattr(FramewiseExtractor, "encode", lambda self, crops: (shapes.append(crops.shape), encode(self, crops))[1])
    report = extract_features(videos, encoder=tiny, workers=2, **KEYS)
    assert {shape[0] for shape in shapes} == {8}
    assert len(shapes) == sum(-(-len(features) // 8) for features in report.features.values())


def test_what_does_not_decode_leaves_the_rest_whole(tiny, zoo):
    keys = {**KEYS, "encoder": tiny, "allow_truncated": True, "extraction_fps": None}
    reports = [extract_features(zoo("cut.mp4"), workers=workers, **keys) for workers in (1, 3)]
    a, b = (report.features["cut"].features for report in reports)
    assert np.array_equal(a, b)
    assert reports[0].features["cut"].provenance.source.damage is not None


def test_windows_too(videos, tmp_path):
    model = {"feature_type": "viclip", "model_name": "custom", "checkpoint": write_small(tmp_path / "small.pth"), "device": "cpu"}
    keys = {**KEYS, **model, "batch_size": 4, "window_seconds": 0.5, "stride_seconds": 0.2}
    one, many = (extract_features(some, workers=workers, **keys).features for some, workers in ((videos[::-1], 1), (videos, 4)))
    assert len(one["5"]) > 30
    assert same(many, {key: features.features for key, features in one.items()})


def test_chosen_frames_too(tiny, videos, tmp_path):
    keys = {**KEYS, "encoder": tiny, "batch_size": 2, "select": str(write_selection(tmp_path / "random.safetensors", tiny=tiny))}
    one, many = (extract_features(some, workers=workers, **keys).features for some, workers in ((videos[::-1], 1), (videos, 4)))
    assert {len(features) for features in one.values()} == {3}
    assert same(many, {key: features.features for key, features in one.items()})


def test_memory_that_runs_out_is_an_error_not_a_smaller_batch(tiny, videos, monkeypatch):
    def encode(self, crops):
        raise torch.OutOfMemoryError("no memory left")

    monkeypatch.setattr(FramewiseExtractor, "encode", encode)
    with pytest.raises(ClipreelError, match=r"out of memory with batch_size=8, .* give a smaller batch_size"):
        extract_features(videos[0], encoder=tiny, **KEYS)


def test_a_server_cannot_promise_it():
    with pytest.raises(ConfigError, match="deterministic=true cannot be promised with feature_type=remote"):
        extract_features("a.mp4", feature_type="remote", url="http://127.0.0.1:1", **KEYS)
