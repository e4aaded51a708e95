"""Features of windows of frames: which windows, which frames of each, and runs from the user's side."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from clipreel import cli, extract_features, load_encoder, load_features
from clipreel.errors import ConfigError, StoreConflictError
from clipreel.extract.decode.pyav import PyavReader
from clipreel.extract.framewise import FramewiseExtractor
from clipreel.extract.registry import EXTRACTORS, make_extractor
from clipreel.extract.sampling import Samples, SamplingRequest, sample
from clipreel.extract.windows import WindowExtractor
from clipreel.models.preprocess import preprocess_frames
from clipreel.models.viclip.recipes import RECIPES
from clipreel.tests.media import Recipe, make_long_video, plain_decode
from clipreel.tests.viclip_small import write_small


class Chooses:
    """As much of an encoder as the choice of frames needs."""

    def __init__(self, recipe="train"):
        self._recipe = RECIPES[recipe]

    def choose_frames(self, count):
        return self._recipe.choose_frames(count, 8)


def samples(times_ms, end_ms=None, frames=None):
    times = np.array(times_ms, dtype=np.float64)
    frames = np.arange(len(times)) if frames is None else np.array(frames)
    return Samples(frames, times, float(times[0]), float(end_ms if end_ms is not None else times[-1] + 40))


def units(rows, window=None, stride=None, recipe="train"):
    return WindowExtractor(Chooses(recipe), window, stride).units(rows)  # pyright: ignore[reportArgumentType]


EVERY_40_MS = [40.0 * number for number in range(36)]  # 1440 ms


# which windows


@pytest.mark.parametrize(("window", "stride", "intervals", "begins"), [
    (None, None, [[0, 1440]], [0]),
    (0.5, None, [[0, 500], [500, 1000], [1000, 1440]], [0, 13, 25]),
    (0.5, 0.5, [[0, 500], [500, 1000], [1000, 1440]], [0, 13, 25]),
    (0.5, 0.25, [[0, 500], [250, 750], [500, 1000], [750, 1250], [1000, 1440]], [0, 7, 13, 19, 25]),
    (0.2, 0.5, [[0, 200], [500, 700], [1000, 1200]], [0, 13, 25]),
    (0.48, None, [[0, 480], [480, 960], [960, 1440]], [0, 12, 24]),
    (1.44, None, [[0, 1440]], [0]),
    (1.4, None, [[0, 1400], [1400, 1440]], [0, 35]),
    (9, None, [[0, 1440]], [0]),
    (9, 1, [[0, 1440]], [0]),
    (0.04, 1.4, [[0, 40], [1400, 1440]], [0, 35]),
])
def test_windows(window, stride, intervals, begins):
    made = units(samples(EVERY_40_MS), window, stride)
    assert made.intervals_ms is not None
    assert made.intervals_ms.tolist() == intervals
    assert made.timestamps_ms.tolist() == [40.0 * begin for begin in begins]
    for (begin, end), chosen in zip(intervals, made.frames[made.rows].tolist(), strict=True):
        inside = [number for number, time in enumerate(EVERY_40_MS) if begin <= time < end]
        assert chosen == [inside[place] for place in RECIPES["train"].choose_frames(len(inside), 8)]


def test_recipes_choose():
    assert units(samples(EVERY_40_MS), recipe="demo").frames.tolist() == [[0, 4, 8, 12, 16, 20, 24, 28]]
    assert units(samples(EVERY_40_MS)).frames.tolist() == [[1, 6, 10, 15, 19, 24, 28, 33]]


def test_windows_begin_with_the_video():
    made = units(samples([time + 1400 for time in EVERY_40_MS]), 1)
    assert made.intervals_ms is not None
    assert made.intervals_ms.tolist() == [[1400, 2400], [2400, 2840]]


@pytest.mark.parametrize("end", [1439.5, 1440.4, 1441])
def test_a_containers_rounding_adds_no_window(end):
    made = units(samples(EVERY_40_MS, end), 0.48)
    assert made.intervals_ms is not None
    assert made.intervals_ms.tolist() == [[0, 480], [480, 960], [960, end]]


def test_a_standing_picture_fills_its_windows():
    """Frames to 400 ms; the last stands on screen to the end."""
    times = EVERY_40_MS[:11]
    whole = units(samples(times, 2000), 0.5)
    assert whole.intervals_ms is not None
    assert whole.intervals_ms.tolist() == [[0, 500], [500, 1000], [1000, 1500], [1500, 2000]]
    assert whole.timestamps_ms.tolist() == [0, 400, 400, 400]
    assert whole.rows.tolist() == [0, 1, 1, 1]  # encoded once
    assert whole.frames[1].tolist() == [10] * 8
    shorter = units(samples(times, 1900), 0.5)  # and a shorter last window without a frame of its own is left out
    assert shorter.intervals_ms is not None
    assert shorter.intervals_ms.tolist() == [[0, 500], [500, 1000], [1000, 1500]]


def test_windows_of_rows_that_repeat():
    """extraction_fps above the source's rate: rows repeat frames, windows are those of the frames' true times."""
    made = units(samples([0, 0, 0, 1000, 1000, 2000], 2500, frames=[0, 0, 0, 1, 1, 2]), 1)
    assert made.intervals_ms is not None
    assert made.intervals_ms.tolist() == [[0, 1000], [1000, 2000], [2000, 2500]]
    assert made.frames.tolist() == [[0] * 8, [1] * 8, [2] * 8]


def test_many_windows_have_exact_starts():
    made = units(samples([100.0 * number for number in range(36_000)], 3_600_000), 0.3, 0.1)
    assert made.intervals_ms is not None
    assert made.intervals_ms[:, 0].tolist() == [100.0 * number for number in range(35_998)]
    assert (made.timestamps_ms == made.intervals_ms[:, 0]).all()


@pytest.mark.parametrize("name", ["h264.mp4", "vp9.webm"])
def test_the_true_clock_of_a_file(zoo, name):
    index = PyavReader().index(zoo(name))
    rows = sample(index, SamplingRequest())
    assert (rows.begin_ms, rows.end_ms) == pytest.approx((0, 1440), abs=1.001)
    part = sample(index, SamplingRequest(start_seconds=0.4, end_seconds=1))
    assert (part.begin_ms, part.end_ms) == (400, 1000)
    stamped = sample(index, SamplingRequest(fps=5, rule="video_features", start_seconds=0.4, end_seconds=1))
    assert (stamped.begin_ms, stamped.end_ms) == (0, 600)


# runs


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_small(tmp_path_factory.mktemp("viclip") / "small.pth")


@pytest.fixture(scope="module")
def encoder(checkpoint):
    return load_encoder("viclip", "custom", checkpoint=str(checkpoint), device="cpu")


@pytest.fixture
def keys(checkpoint, tmp_path):
    return {"feature_type": "viclip", "model_name": "custom", "checkpoint": str(checkpoint), "device": "cpu",
            "on_extraction": "save_numpy", "output_path": tmp_path / "out"}


def by_hand(encoder, path, places):
    """Decode everything, take the frames, encode: [dim]."""
    pictures = [rgb for _, rgb in plain_decode(path, upright=True)]
    crops = torch.cat([preprocess_frames(pictures[place], encoder.preprocess) for place in places])
    return encoder.encode(crops[None])[0].numpy()


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_feature_a_video_is_that_of_a_plain_flow(recipe, checkpoint, zoo):
    encoder: Any = load_encoder("viclip", "custom", checkpoint=str(checkpoint), recipe=recipe, device="cpu")
    features = extract_features(zoo("h264.mp4"), encoder=encoder).features["h264"]
    assert features.features.shape == (1, 32)
    assert features.timestamps_ms.tolist() == [0]
    assert features.intervals_ms is not None and features.intervals_ms.tolist() == [[0, 1440]]
    expected = by_hand(encoder, zoo("h264.mp4"), encoder.choose_frames(36))
    assert np.abs(features.features[0] - expected).max() < 1e-5


def test_windows_of_many_videos_in_full_batches(encoder, zoo):
    report = extract_features([zoo("h264.mp4"), zoo("vp9.webm")], encoder=encoder, window_seconds=0.5, stride_seconds=0.25,
                              batch_size=4, workers=2)
    assert [size for sizes in report.batch_sizes.values() for size in sizes] == [4, 4, 2]
    features = report.features["h264"]
    assert features.timestamps_ms.tolist() == [0, 280, 520, 760, 1000]
    for row, (begin, count) in enumerate([(0, 13), (7, 12), (13, 12), (19, 13), (25, 11)]):
        expected = by_hand(encoder, zoo("h264.mp4"), begin + encoder.choose_frames(count))
        assert np.abs(features.features[row] - expected).max() < 1e-5


@pytest.mark.parametrize(("asked", "places"), [
    ({"extraction_fps": 5}, [0, 5, 10, 15, 20, 25, 30, 35]),
    ({"extraction_fps": 10}, [0, 2, 7, 12, 17, 22, 27, 32]),
    ({"extraction_total": 4}, [4, 13, 22, 31, 31, 31, 31, 31]),
    ({"start": 0.4, "end": 0.72}, range(10, 18)),
    ({"start": 1.4}, [35] * 8),
])
def test_the_rule_runs_over_the_rows_when_they_are_asked_for(asked, places, encoder, zoo):
    features = extract_features(zoo("h264.mp4"), encoder=encoder, **asked).features["h264"]
    assert np.abs(features.features[0] - by_hand(encoder, zoo("h264.mp4"), places)).max() < 1e-5


def test_only_wanted_frames_are_decoded(encoder, zoo, monkeypatch):
    asked, prepared = [], []
    frames, prepare = PyavReader.frames, FramewiseExtractor.prepare
    monkeypatch.setattr(PyavReader, "frames", lambda self, index, wanted, **how: (
        asked.extend(wanted.tolist()), frames(self, index, wanted, **how))[1])
    monkeypatch.setattr(FramewiseExtractor, "prepare", lambda self, batch: (
        prepared.extend(batch.frames.tolist()), prepare(self, batch))[1])
    extract_features(zoo("h264.mp4"), encoder=encoder)
    assert sorted(asked) == sorted(prepared) == [1, 6, 10, 15, 19, 24, 28, 33]
    asked.clear()
    prepared.clear()
    extract_features(zoo("h264.mp4"), encoder=encoder, window_seconds=1, stride_seconds=0.04)
    assert sorted(asked) == sorted(prepared) == sorted(set(prepared)), "a frame of many windows is decoded once"


def test_a_long_video_needs_eight_frames(encoder, tmp_path):
    make_long_video(tmp_path / "long.mp4", 3600)
    report = extract_features(tmp_path / "long.mp4", encoder=encoder, workers=2)
    features = report.features["long"]
    assert features.intervals_ms is not None
    assert features.intervals_ms.tolist() == [[0, 3_600_000]]
    assert report.decode_seconds < 10


def test_a_video_of_one_frame(encoder, zoo):
    for window in (None, 0.01, 5):
        features = extract_features(zoo("one_frame.mp4"), encoder=encoder, window_seconds=window).features["one_frame"]
        assert features.intervals_ms is not None
        assert features.intervals_ms[0].tolist() == [0, 10 if window == 0.01 else 40]
        assert (features.timestamps_ms == 0).all()
        assert np.abs(features.features[0] - by_hand(encoder, zoo("one_frame.mp4"), [0] * 8)).max() < 1e-5


def test_fewer_than_eight_frames(encoder, tmp_path):
    Recipe(frames=3).write(tmp_path / "three.mp4")
    features = extract_features(tmp_path / "three.mp4", encoder=encoder).features["three"]
    assert np.abs(features.features[0] - by_hand(encoder, tmp_path / "three.mp4", [0, 1, 2, 2, 2, 2, 2, 2])).max() < 1e-5


def test_variable_frame_rate(encoder, tmp_path):
    """Frames at 0, 40, 80 ms and at 2000, 2040 ms."""
    Recipe(ticks=(0, 40, 80, 2000, 2040), tick=Fraction(1, 1000)).write(tmp_path / "vfr.mkv")
    features = extract_features(tmp_path / "vfr.mkv", encoder=encoder, window_seconds=1).features["vfr"]
    assert features.intervals_ms is not None
    assert features.intervals_ms[:, 0].tolist() == [0, 1000, 2000]
    assert features.timestamps_ms.tolist() == [0, 80, 2000]
    assert np.abs(features.features[1] - by_hand(encoder, tmp_path / "vfr.mkv", [2] * 8)).max() < 1e-5


# stored


@pytest.mark.parametrize("on_extraction", ["save_numpy", "save_pickle", "save_hdf5"])
def test_stored_and_skipped(keys, zoo, tmp_path, on_extraction, monkeypatch):
    keys |= {"on_extraction": on_extraction, "window_seconds": 0.5}
    first = extract_features(zoo("h264.mp4"), **keys)
    stored = load_features(tmp_path / "out" / "viclip" / "custom", "h264")
    assert stored.features.shape == (3, 32)
    assert stored.intervals_ms is not None
    assert stored.intervals_ms.tolist() == [[0, 500], [500, 1000], [1000, 1440]]
    settings = stored.provenance.settings
    assert (settings.encoder.recipe, settings.window_seconds, settings.stride_seconds) == ("train", 0.5, 0.5)
    monkeypatch.setattr("clipreel.extract.model_run.load_encoder", lambda **_: pytest.fail("nothing to do, yet a model loads"))
    again: list[dict[str, Any]] = [{}, {"recipe": "train"}, {"stride_seconds": 0.5}]
    for same in again:
        assert extract_features(zoo("h264.mp4"), **keys, **same).skipped == first.done


@pytest.mark.parametrize(("change", "named"), [
    ({"recipe": "demo"}, "recipe: train there, demo now"),
    ({"window_seconds": 1}, "window_seconds: 0.5 there, 1.0 now"),
    ({"window_seconds": None}, "window_seconds: 0.5 there, None now; stride_seconds"),
    ({"stride_seconds": 0.1}, "stride_seconds: 0.5 there, 0.1 now"),
    ({"crop": "center"}, "crop: squash there, center now"),
])
def test_other_windows_and_recipes_are_other_features(change, named, keys, zoo):
    keys["window_seconds"] = 0.5
    extract_features(zoo("h264.mp4"), **keys)
    with pytest.raises(StoreConflictError, match=named):
        extract_features(zoo("h264.mp4"), **{**keys, **change})
    keys |= change
    report = extract_features(zoo("h264.mp4"), overwrite=True, **keys)
    assert report.done == ["h264"]


def test_fingerprints_of_features_without_windows_stay(tiny, zoo):
    settings = extract_features(zoo("one_frame.mp4"), encoder=tiny).features["one_frame"].provenance.settings
    assert settings.encoder.recipe is settings.window_seconds is settings.stride_seconds is None
    chosen = {name for name, value in settings.flat().items() if value is not None}
    assert not chosen & {"recipe", "window_seconds", "stride_seconds"}


def test_features_stored_before_there_were_windows_are_read(keys, zoo, tmp_path, tiny):
    import json

    extract_features(zoo("one_frame.mp4"), encoder=tiny, on_extraction="save_numpy", output_path=tmp_path)
    (mark,) = tmp_path.rglob("*_meta.json")
    content = json.loads(mark.read_text())
    for name in ("recipe", "window_seconds", "stride_seconds"):
        del content["settings"][name]
    mark.write_text(json.dumps(content))
    again = extract_features(zoo("one_frame.mp4"), encoder=tiny, on_extraction="save_numpy", output_path=tmp_path)
    assert again.skipped == ["one_frame"]
    assert again.features["one_frame"].provenance.settings.window_seconds is None


def test_on_the_command_line(checkpoint, zoo, tmp_path, capsys):
    words = ["feature_type=viclip", "model_name=custom", f"checkpoint={checkpoint}", f"video_paths={zoo('h264.mp4')}",
             "window_seconds=0.5", "device=cpu", f"output_path={tmp_path}", "--show_pred", "--pred_texts", "['a', 'b c']"]
    assert cli.main(words) == 0
    said = capsys.readouterr()
    assert "viclip\n[[" in said.out and "intervals_ms\n[[" in said.out
    assert "Video #0: a | b c\nframe 0: [" in said.out and "frame 2: [" in said.out
    assert cli.main([*words, "on_extraction=save_hdf5"]) == 0
    table = (tmp_path / "viclip" / "custom" / "h264_pred.csv").read_text().splitlines()
    assert len(table) == 4
    capsys.readouterr()
    assert cli.main(["inspect", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    for part in ("viclip [3, 32] float32", "intervals_ms [3, 2] float64", "recipe=train", "window_seconds=0.5"):
        assert part in text
    assert cli.main([*words, "dry_run=true"]) == 0
    assert "3 " in capsys.readouterr().out


def test_probabilities_are_of_a_hundred_times_the_cosine(encoder, zoo):
    report = extract_features(zoo("h264.mp4"), encoder=encoder, window_seconds=0.5, show_pred=True, pred_texts=["a", "b c"])
    video = torch.from_numpy(report.features["h264"].features)
    texts = encoder.encode_text(["a", "b c"])
    cosines = torch.nn.functional.normalize(video) @ torch.nn.functional.normalize(texts).T
    assert np.allclose(report.probabilities["h264"], (100 * cosines).softmax(-1), atol=1e-4)


@pytest.mark.parametrize(("words", "message"), [
    (["window_seconds=0"], "window_seconds=0.0: allowed is a number of seconds above 0"),
    (["window_seconds=nan"], "window_seconds=nan"),
    (["stride_seconds=-1", "window_seconds=1"], "stride_seconds=-1.0"),
    (["stride_seconds=1"], "stride_seconds=1 needs window_seconds"),
    (["window_seconds=1", "feature_type=clip", "model_name=tiny"], "window_seconds=1 does not go with feature_type=clip"),
    (["recipe=demo", "feature_type=clip", "model_name=tiny"], "recipe=demo does not go with feature_type=clip"),
    (["recipe=vbench"], "recipe=vbench: allowed is"),
    (["checkpoint=nowhere.pth"], "there is no checkpoint nowhere.pth"),
    ([], "checkpoint=hf-hub:OpenGVLab/ViCLIP"),
])
@pytest.mark.parametrize("more", [[], ["dry_run=true"]], ids=["run", "dry"])
def test_wrong_words(words, message, more, zoo, capsys):
    assert cli.main(["feature_type=viclip", "device=cpu", f"video_paths={zoo('one_frame.mp4')}", *words, *more]) == 2
    assert message in capsys.readouterr().err


def test_the_registry_says_who_takes_windows(tiny, encoder):
    assert isinstance(make_extractor(tiny), FramewiseExtractor)
    assert isinstance(make_extractor(encoder, 2, 1), WindowExtractor)
    assert EXTRACTORS["viclip"] is WindowExtractor
    with pytest.raises(ConfigError, match="use feature_type=viclip"):
        make_extractor(tiny, 2)
