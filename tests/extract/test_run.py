"""Runs from the user's side: stored, resumed, refused, failed, retried, printed."""

import json
import shutil

import numpy as np
import pytest
from clipreel import cli, extract_features, load_features
from clipreel.errors import ConfigError, InputError, StoreConflictError

FORMATS = ["save_numpy", "save_pickle", "save_hdf5", "save_h5"]


def snapshot(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("on_extraction", FORMATS)
def test_saved_equals_held(tiny, sample_videos, tmp_path, on_extraction):
    held = extract_features(sample_videos, encoder=tiny, extraction_fps=2)
    saved = extract_features(sample_videos, encoder=tiny, extraction_fps=2, on_extraction=on_extraction,
                             output_path=tmp_path)
    assert saved.done == held.done == [video.stem for video in sample_videos]
    assert not saved.failed
    for key, one in held.features.items():
        for other in (saved.features[key], load_features(tmp_path / "clip" / "tiny", key)):
            assert (one.features == other.features).all()
            assert (one.timestamps_ms == other.timestamps_ms).all()
            assert (one.fps, one.provenance) == (other.fps, other.provenance)
    suffix = {"save_numpy": ".npy", "save_pickle": ".pkl"}.get(on_extraction, ".h5")
    names = {path.name for path in (tmp_path / "clip" / "tiny").iterdir()}
    assert ("three_scenes.h5" if suffix == ".h5" else f"three_scenes_timestamps_ms{suffix}") in names


def test_upstream_file_names_and_dtypes(tiny, sample_videos, tmp_path):
    extract_features(sample_videos[0], encoder=tiny, on_extraction="save_numpy", output_path=tmp_path)
    stem = f"{tmp_path}/clip/tiny/{sample_videos[0].stem}"
    features, times, fps = (np.load(f"{stem}_{name}.npy") for name in ("clip", "timestamps_ms", "fps"))
    assert features.dtype == np.float32
    assert times.dtype == fps.dtype == np.float64
    assert fps.shape == ()
    assert len(features) == len(times)


def test_second_run_skips_and_changes_nothing(sample_videos, tmp_path, monkeypatch):
    keys = {"model_name": "tiny", "extraction_fps": 1, "on_extraction": "save_numpy", "output_path": tmp_path}
    first = extract_features(sample_videos, **keys)
    before = snapshot(tmp_path)
    monkeypatch.setattr("clipreel.extract.model_run.load_encoder", lambda **_: pytest.fail("nothing to do, yet a model loads"))
    second = extract_features(sample_videos, batch_size=7, workers=1, **keys)  # how it runs does not count
    assert second.skipped == first.done
    assert not second.done
    assert snapshot(tmp_path) == before
    assert len(second.features[first.done[0]]) > 0


@pytest.mark.parametrize("damage", ["meta gone", "array gone", "array cut", "meta cut"])
def test_half_written_is_redone(tiny, sample_videos, tmp_path, damage):
    keys = {"encoder": tiny, "extraction_fps": 1, "on_extraction": "save_numpy", "output_path": tmp_path}
    extract_features(sample_videos, **keys)
    before = snapshot(tmp_path)
    name = f"{sample_videos[1].stem}_{'meta.json' if 'meta' in damage else 'clip.npy'}"
    path = tmp_path / "clip" / "tiny" / name
    if "gone" in damage:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-5])
    report = extract_features(sample_videos, **keys)
    assert report.done == [sample_videos[1].stem]
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(("change", "named"), [
    ({"extraction_fps": 2}, "extraction_fps: 1.0 there, 2.0 now"),
    ({"extraction_fps": None, "extraction_total": 3}, "extraction_total: None there, 3 now"),
    ({"dtype": "float16"}, "dtype: float32 there, float16 now"),
    ({"normalize": True}, "normalize"), ({"sampling": "video_features"}, "sampling"), ({"start": 1}, "start"),
    ({"preprocess": "pil"}, "preprocess: tensor there, pil now"), ({"crop": "squash"}, "crop"),
    ({"precision": "bfloat16"}, "precision: float32 there, bfloat16 now"),
])
def test_other_settings_are_refused_by_name(sample_videos, tmp_path, change, named):
    keys = {"model_name": "tiny", "extraction_fps": 1, "on_extraction": "save_numpy", "output_path": tmp_path,
            "device": "cpu"}
    extract_features(sample_videos[:1], **keys)
    before = snapshot(tmp_path)
    with pytest.raises(StoreConflictError, match=named):
        extract_features(sample_videos, **{**keys, **change})
    assert snapshot(tmp_path) == before  # nothing was started
    report = extract_features(sample_videos[:1], **{**keys, **change, "overwrite": True})
    assert report.done == [sample_videos[0].stem]
    assert extract_features(sample_videos[:1], **{**keys, **change}).skipped == report.done


def test_refusal_is_exit_2_on_the_command_line(sample_videos, tmp_path, capsys):
    words = ["model_name=tiny", f"video_paths={sample_videos[0]}", "on_extraction=save_numpy", f"output_path={tmp_path}"]
    assert cli.main([*words, "extraction_fps=1"]) == 0
    assert cli.main([*words, "extraction_fps=3"]) == 2
    assert "overwrite=true" in capsys.readouterr().err


def test_same_stem_in_two_folders(tiny, sample_videos, tmp_path):
    for folder, video in zip("ab", sample_videos[:2], strict=False):
        (tmp_path / folder).mkdir()
        shutil.copy(video, tmp_path / folder / f"same{video.suffix}")
    keys = {"encoder": tiny, "extraction_fps": 1, "on_extraction": "save_numpy", "output_path": tmp_path / "out"}
    first = extract_features(tmp_path / "b", **keys)
    both = extract_features([tmp_path / "a", tmp_path / "b"], **keys)
    assert first.done == ["same"]
    assert both.skipped == ["same"]
    assert len(both.done) == 1
    assert both.done[0].startswith("same-")
    assert len(both.done[0]) == len("same-") + 8
    assert both.features["same"].provenance.source.path == str(tmp_path / "b" / f"same{sample_videos[1].suffix}")
    again = extract_features([tmp_path / "b", tmp_path / "a"], **keys)
    assert sorted(again.skipped) == sorted(["same", *both.done])


def test_csv_segments_and_metadata(tiny, sample_videos, tmp_path):
    (tmp_path / "list.csv").write_text(
        "video_path,id,start,end,caption\n"
        f"{sample_videos[-1]},early,0,2,\"first, part\"\n{sample_videos[-1]},late,2,5.5,second\n")
    report = extract_features(file_with_video_paths=tmp_path / "list.csv", encoder=tiny, extraction_fps=2,
                              on_extraction="save_hdf5", output_path=tmp_path / "out")
    assert report.done == ["early", "late"]
    early, late = report.features["early"], report.features["late"]
    assert early.timestamps_ms.tolist() == [0.0, 500.0, 1000.0, 1500.0]
    assert late.timestamps_ms.tolist() == [2000.0 + 500 * k for k in range(7)]
    assert early.provenance.metadata == {"caption": "first, part"}
    assert (late.provenance.source.start_seconds, late.provenance.source.end_seconds) == (2.0, 5.5)


def test_segments_without_ids_get_keys_of_their_own(tiny, sample_videos, tmp_path):
    (tmp_path / "list.csv").write_text("path,start,end\n" + "".join(f"{sample_videos[0]},{k},{k + 1}\n" for k in range(3)))
    keys = {"file_with_video_paths": tmp_path / "list.csv", "encoder": tiny, "extraction_total": 2,
            "on_extraction": "save_numpy", "output_path": tmp_path / "out"}
    report = extract_features(**keys)
    assert len(set(report.done)) == 3
    assert all(key.startswith(sample_videos[0].stem) for key in report.done)
    assert extract_features(**keys).skipped == report.done


def test_folder_of_pictures(tiny, tmp_path):
    from clipreel.tests.media import picture
    from PIL import Image

    (tmp_path / "my clip").mkdir()
    for number in range(12):
        Image.fromarray(picture(number, 96, 64)).save(tmp_path / "my clip" / f"{number}.png")
    report = extract_features(tmp_path, encoder=tiny, fps=4, extraction_fps=1)
    features = report.features["my clip"]
    assert features.timestamps_ms.tolist() == [0.0, 1000.0, 2000.0]
    assert features.fps == 4.0
    assert features.provenance.settings.reader == "images"
    failed = extract_features(tmp_path, encoder=tiny).failed
    assert "fps=" in failed[0].reason


def test_float16_and_normalize(tiny, sample_videos):
    report = extract_features(sample_videos[0], encoder=tiny, extraction_fps=1, dtype="float16", normalize=True)
    features = report.features[sample_videos[0].stem].features
    assert features.dtype == np.float16
    assert np.allclose(np.linalg.norm(features.astype(np.float32), axis=1), 1, atol=2e-3)


def test_failures_are_listed_and_retried(tiny, sample_videos, zoo, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(zoo("text.mp4"), folder / "broken.mp4")
    shutil.copy(sample_videos[0], folder / "good.mp4")
    keys = {"encoder": tiny, "extraction_fps": 1, "on_extraction": "save_numpy", "output_path": tmp_path / "out"}
    report = extract_features([folder, tmp_path / "gone.mp4"], **keys)
    assert report.done == ["good"]
    assert report.exit_code == 1
    rows = [json.loads(line) for line in (tmp_path / "out" / "failures.jsonl").read_text().splitlines()]
    assert {row["key"] for row in rows} == {"broken", "gone"}
    assert all(row["reason"] and row["error"] == "UnreadableVideoError" for row in rows)
    shutil.copy(sample_videos[1], folder / "broken.mp4")  # mended
    retried = extract_features(**keys, retry_failed=True)
    assert retried.done == ["broken"]
    assert [failure.key for failure in retried.failed] == ["gone"]
    assert len((tmp_path / "out" / "failures.jsonl").read_text().splitlines()) == 1
    finished = extract_features(folder, **keys)
    assert not finished.failed
    assert (tmp_path / "out" / "failures.jsonl").read_text() == ""


def test_retry_without_a_list(tiny, sample_videos, tmp_path):
    with pytest.raises(InputError, match=r"failures\.jsonl"):
        extract_features(sample_videos, encoder=tiny, retry_failed=True, output_path=tmp_path)


def test_truncated_video(tiny, zoo):
    report = extract_features(zoo("cut.mp4"), encoder=tiny, extraction_fps=25)
    assert "allow_truncated=true" in report.failed[0].reason
    kept = extract_features(zoo("cut.mp4"), encoder=tiny, extraction_fps=25, allow_truncated=True)
    assert not kept.failed
    assert 0 < len(kept.features["cut"]) < 36


def test_printing_is_in_order_and_in_the_seed_s_form(sample_videos, zoo, capsys):
    words = ["model_name=tiny", "extraction_fps=1", "show_pred=true", "pred_texts=['a red circle', \"a blue, square\"]"]
    paths = f"video_paths=[{sample_videos[-1]}, {zoo('text.mp4')}, {sample_videos[0]}]"
    assert cli.main([*words, paths, "workers=3"]) == 1
    out, err = capsys.readouterr()
    blocks = out.split("Video #")[1:]
    assert [block.splitlines()[0] for block in blocks] == ["0: a red circle | a blue, square", "2: a red circle | a blue, square"]
    rows = [json.loads(line.partition(": ")[2]) for line in blocks[0].splitlines() if line.startswith("frame ")]
    assert all(abs(sum(row) - 1) < 1e-12 and len(row) == 2 for row in rows)
    lines = blocks[0].splitlines()
    assert lines.index("clip") < lines.index("timestamps_ms") < lines.index("fps")
    assert sum(line.startswith("max: ") for line in lines) == 3
    assert "done 2, skipped 0, failed 1" in err
    assert "Video" not in err


def test_probabilities_tell_the_demo_world(tiny):
    """What the sample video shows is what the probabilities say (first half a red circle, second a blue square)."""
    from clipreel.tests.conftest import SAMPLE

    report = extract_features(SAMPLE / "red_circle_then_blue_square.mp4", encoder=tiny, extraction_fps=2, show_pred=True,
                              pred_texts=["a red circle", "a blue square"])
    table = report.probabilities["red_circle_then_blue_square"]
    assert (table[:7, 0] > 0.9).all()
    assert (table[-7:, 1] > 0.9).all()


def test_pred_table_also_for_stored_videos(sample_videos, tmp_path, capsys):
    words = ["model_name=tiny", "extraction_fps=1", f"video_paths={sample_videos[0]}", "on_extraction=save_numpy",
             f"output_path={tmp_path}"]
    assert cli.main(words) == 0
    (tmp_path / "texts.txt").write_text("a red circle\n\na blue square\n")
    assert cli.main([*words, "--show_pred", f"pred_texts={tmp_path / 'texts.txt'}"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Video #0: a red circle | a blue square\nframe 0: [")
    table = (tmp_path / "clip" / "tiny" / f"{sample_videos[0].stem}_pred.csv").read_text().splitlines()
    assert table[0] == "timestamps_ms,a red circle,a blue square"
    assert len(table) == 1 + out.count("frame ")


def test_dry_run_counts_and_makes_nothing(sample_videos, tmp_path, capsys):
    assert cli.main(["model_name=tiny", "extraction_fps=1", f"video_paths=[{', '.join(map(str, sample_videos))}]",
                     "on_extraction=save_numpy", f"output_path={tmp_path / 'out'}", "dry_run=true"]) == 0
    out = capsys.readouterr().out
    rows = sum(len(extract_features(video, model_name="tiny", extraction_fps=1).features[video.stem])
               for video in sample_videos)
    assert f"{len(sample_videos)} videos" in out
    assert f"{rows} frames" in out
    assert not (tmp_path / "out").exists()


def test_dry_run_names_what_would_fail(sample_videos, tmp_path, capsys):
    video = next(video for video in sample_videos if video.suffix == ".webm")
    (tmp_path / "cut.webm").write_bytes(video.read_bytes()[: video.stat().st_size * 2 // 3])
    words = ["model_name=tiny", "extraction_fps=1", f"video_paths=[{video}, {tmp_path}/cut.webm]", "dry_run=true"]
    assert cli.main(words) == 1
    out = capsys.readouterr().out
    assert out.startswith("1 videos, ")
    assert "cut.webm: ends early" in out
    assert cli.main([*words, "allow_truncated=true"]) == 0
    assert capsys.readouterr().out.startswith("2 videos, ")


def test_encoder_given_with_encoder_keys_is_refused(tiny, sample_videos):
    with pytest.raises(ConfigError, match="model_name"):
        extract_features(sample_videos, encoder=tiny, model_name="ViT-B/32")


def test_python_prints_nothing(tiny, sample_videos, capfd):
    extract_features(sample_videos, encoder=tiny, extraction_fps=1, show_pred=True, pred_texts=["a red circle", "a ring"])
    assert capfd.readouterr() == ("", "")


def test_reader_decord_gives_the_same_times(tiny, sample_videos):
    pytest.importorskip("decord")
    video = next(video for video in sample_videos if video.suffix == ".mp4")
    ours = extract_features(video, encoder=tiny, extraction_fps=1).features[video.stem]
    theirs = extract_features(video, encoder=tiny, extraction_fps=1, reader="decord").features[video.stem]
    assert (ours.timestamps_ms == theirs.timestamps_ms).all()
    a, b = ours.features, theirs.features
    assert ((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min() > 0.99
