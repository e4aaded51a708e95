"""encoders=[…]: one decoding for several models, and the same files as runs of their own."""

import json

import pytest
from clipreel import cli, extract_features, extract_models
from clipreel.errors import ConfigError
from clipreel.extract import framewise
from clipreel.extract.decode.pyav import PyavReader
from clipreel.tests.media import make_clip
from clipreel.tests.viclip_small import write_small

FPS = 2


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def videos(tmp_path_factory, sample_videos):
    """The samples, one that breaks off and one that is no video."""
    folder = tmp_path_factory.mktemp("videos")
    for path in sample_videos:
        (folder / path.name).write_bytes(path.read_bytes())
    make_clip("cut.mp4", folder)
    (folder / "text.mp4").write_text("no video")
    return folder


ENCODERS = ({"model_name": "tiny", "extraction_fps": FPS}, {"model_name": "tiny", "extraction_fps": 5, "output_path": "other"},
            {"model_name": "tiny", "crop": "pad", "extraction_fps": 1, "output_path": "padded", "batch_size": 4})


def given(encoder, folder):
    return {**encoder, "output_path": str(folder / encoder.get("output_path", "first"))}


@pytest.fixture(scope="module")
def apart(videos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("apart")
    reports = [extract_features(videos, on_extraction="save_numpy", device="cpu", **given(encoder, folder)) for encoder in ENCODERS]
    return folder, reports


def test_the_files_are_those_of_runs_apart(videos, apart, tmp_path):
    reports = extract_models(videos, [given(encoder, tmp_path) for encoder in ENCODERS], on_extraction="save_numpy", device="cpu")
    folder, separate = apart
    for one, other in zip(reports, separate, strict=True):
        assert sorted(one.done) == sorted(other.done)
        assert {row.path: row.reason for row in one.failed} == {row.path: row.reason for row in other.failed}
        assert len(one.failed) == 2
        assert one.frames == other.frames
    ours, theirs = files(tmp_path), files(folder)
    assert {name for name in ours if "failures" not in name} == {name for name in theirs if "failures" not in name}
    for name in ours:
        if "failures" not in name and not name.startswith("padded/clip"):  # whose batches fill in another order
            assert ours[name] == theirs[name], name


def test_each_frame_is_decoded_and_cropped_once(videos, tmp_path, monkeypatch, sample_videos):
    decoded, cropped = [], []
    frames, prepare = PyavReader.frames, framewise.FramewiseExtractor.prepare

    def count(self, index, wanted, **keys):
        decoded.extend((index.path.name, int(place)) for place in wanted)
        return frames(self, index, wanted, **keys)

    def crop(self, batch):
        cropped.extend(batch.frames.tolist())
        return prepare(self, batch)

    monkeypatch.setattr(PyavReader, "frames", count)
    monkeypatch.setattr(framewise.FramewiseExtractor, "prepare", crop)
    video = sample_videos[0]
    reports = extract_models(video, [given(encoder, tmp_path) for encoder in ENCODERS[:2]], device="cpu", on_extraction="save_hdf5")
    assert len(decoded) == len(set(decoded))
    assert len(cropped) == len(decoded)
    assert len(decoded) < sum(report.frames for report in reports)  # both rates want some frames in common


def test_a_second_run_does_what_is_lacking(videos, tmp_path, sample_videos):
    encoders = [given(encoder, tmp_path) for encoder in ENCODERS]
    extract_features(videos, on_extraction="save_numpy", device="cpu", **encoders[0])
    reports = extract_models(videos, encoders, on_extraction="save_numpy", device="cpu")
    assert [len(report.skipped) for report in reports] == [len(sample_videos), 0, 0]
    assert [len(report.done) for report in reports] == [0, len(sample_videos), len(sample_videos)]


def test_from_the_command_line_and_from_a_file(sample_videos, tmp_path, capsys):
    common = [f"video_paths={sample_videos[0]}", "on_extraction=save_numpy", "extraction_fps=1", "device=cpu"]
    word = (f"[{{model_name: tiny, output_path: {tmp_path}/a}}, {{model_name: tiny, 'crop': pad, output_path: '{tmp_path}/b', "
            "extraction_fps: 3}]")
    assert cli.main([*common, f"encoders={word}"]) == 0
    said = capsys.readouterr().err
    assert said.count("done 1") == 2
    job = tmp_path / "job.yml"
    job.write_text(f"on_extraction: save_numpy\ndevice: cpu\nextraction_fps: 1\nencoders:\n  - model_name: tiny\n"
                   f"    output_path: {tmp_path}/c\n  - model_name: tiny\n    crop: pad\n    extraction_fps: 3\n"
                   f"    output_path: {tmp_path}/d\n")
    assert cli.main([f"config={job}", f"video_paths={sample_videos[0]}"]) == 0
    for one, other in ("ac", "bd"):
        assert files(tmp_path / one) == files(tmp_path / other)
    settings = [json.loads(next((tmp_path / name).rglob("*_meta.json")).read_text())["settings"] for name in "ab"]
    assert [one["extraction_fps"] for one in settings] == [1.0, 3.0]
    assert [one["crop"] for one in settings] == ["center", "pad"]


@pytest.mark.parametrize(("word", "problem"), [
    ("[]", "list of mappings"), ("tiny", "list of mappings"), ("[tiny]", "list of mappings"), ("[{}]", "list of mappings"),
    ("[{model_name: tiny, reader: decord}]", "reader cannot differ"), ("[{model_nam: tiny}]", "model_nam cannot differ"),
    ("[{model_name: tiny", "YAML"), ("[{feature_type: nothing}]", "feature_type=nothing"),
    ("[{model_name: tiny}, {model_name: tiny, extraction_fps: 2}]", "would write to"),
])
def test_lists_that_are_none(word, problem, sample_videos, tmp_path, capsys):
    code = cli.main([f"video_paths={sample_videos[0]}", "on_extraction=save_numpy", f"output_path={tmp_path}", "device=cpu",
                     f"encoders={word}"])
    assert code == 2
    assert problem in capsys.readouterr().err


def test_several_models_are_not_printed(sample_videos, capsys):
    assert cli.main([f"video_paths={sample_videos[0]}", "encoders=[{model_name: tiny}, {model_name: tiny, crop: pad}]"]) == 2
    assert "on_extraction" in capsys.readouterr().err


def test_encoders_of_frames_and_of_windows(sample_videos, tmp_path):
    encoders = [{"model_name": "tiny", "extraction_fps": 4}, {
        "feature_type": "viclip", "model_name": "custom", "checkpoint": str(write_small(tmp_path / "small.pth")),
        "window_seconds": 2}]
    reports = extract_models(sample_videos[:2], encoders, on_extraction="save_numpy", device="cpu", output_path=tmp_path / "both")
    assert [report.failed for report in reports] == [[], []]
    for encoder in encoders:
        extract_features(sample_videos[:2], on_extraction="save_numpy", device="cpu", output_path=tmp_path / "apart", **encoder)
    assert files(tmp_path / "both") == files(tmp_path / "apart")
    with pytest.raises(ConfigError, match="window_seconds"):
        extract_models(sample_videos[0], [{"model_name": "tiny", "window_seconds": 1}], device="cpu")
