"""Bad input, a row each: what the message says and which exit code comes; the good video beside it is always done."""

import os
import shutil

import pytest
from clipreel import cli

GOOD = "red_circle_then_blue_square.mp4"

# zoo clip or special case -> words in the message
BAD_VIDEOS = {
    "gone.mp4": "no such file", "zero_bytes.mp4": "empty", "text.mp4": "no video that FFmpeg can read",
    "audio_only.mp4": "no video stream", "cover_only.mp4": "cover picture", "cut.mp4": "ends early",
    "cut_index.mp4": "cut off", "playlist.m3u8": "refused", "playlist.mp4": "refused", "list.mp4": "refused",
}
# words of the command line -> words in the message
BAD_COMMANDS = {
    ("extraction_fps=0",): "extraction_fps=0", ("extraction_fps=-1",): "above 0", ("extraction_fps=nan",): "above 0",
    ("extraction_fps=1", "extraction_total=4"): "exclude each other", ("extraction_total=0",): "extraction_total=0",
    ("batch_size=0",): "batch_size=0", ("batch_size=two",): "a whole number", ("show_pred=true",): "pred_texts",
    ("on_extraction=save_zip",): "print | save_numpy | save_pickle", ("batchsize=2",): "did you mean 'batch_size'?",
    ("video_paths=[]",): "no video is named", ("feature_type=clap",): "did you mean 'clip'",
    ("model_name=ViT-B/33",): "ViT-B/32", ("model_name=custom", "checkpoint=/no/such.pth"): "/no/such.pth",
    ("device_ids=[0, 77]",): "present are", ("device=cuda:99",): "present are", ("precision=int8",): "bfloat16",
    ("start=3", "end=2"): "not after", ("file_with_video_paths=/no/list.txt", "video_paths=[]"): "/no/list.txt",
    ("config=/no/job.yml",): "/no/job.yml", ("pred_texts=/no/texts.txt", "show_pred=true"): "/no/texts.txt",
    ("pretrained=openai",): "pretrained", ("reader=opencv",): "pyav", ("workers=0",): "workers=0",
}


@pytest.mark.parametrize("name", BAD_VIDEOS)
def test_bad_video_fails_alone(name, zoo, sample_videos, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    bad = folder / name if name == "gone.mp4" else shutil.copy(zoo(name), folder / name)
    good = next(video for video in sample_videos if video.name == GOOD)
    code = cli.main(["model_name=tiny", "extraction_fps=1", f"video_paths=[{bad}, {good}]", "on_extraction=save_numpy",
                     f"output_path={tmp_path / 'out'}"])
    err = capsys.readouterr().err
    assert code == 1
    assert BAD_VIDEOS[name] in err
    assert str(bad) in err
    assert "Traceback" not in err
    names = {path.name for path in (tmp_path / "out" / "clip" / "tiny").iterdir()}
    assert {"red_circle_then_blue_square_clip.npy", "red_circle_then_blue_square_meta.json"} <= names
    assert not any(found.startswith(bad.stem if name == "gone.mp4" else name.partition(".")[0]) for found in names)


@pytest.mark.parametrize("name", ["one_frame.mp4", "one_pixel.mp4"])
def test_small_but_good(name, zoo, tmp_path):
    assert cli.main(["model_name=tiny", "extraction_fps=1", f"video_paths={zoo(name)}", "on_extraction=save_numpy",
                     f"output_path={tmp_path}"]) == 0


@pytest.mark.parametrize("words", BAD_COMMANDS, ids=" ".join)
def test_bad_command_starts_nothing(words, sample_videos, tmp_path, capsys):
    out = tmp_path / "out"
    argv = ["model_name=tiny", f"video_paths={sample_videos[0]}", "on_extraction=save_numpy", f"output_path={out}", *words]
    assert cli.main(argv) == 2
    captured = capsys.readouterr()
    assert BAD_COMMANDS[words] in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert not out.exists() or not any(path.is_file() for path in out.rglob("*"))


def test_folder_without_video(tmp_path, capsys):
    (tmp_path / "notes.md").write_text("nothing to watch")
    assert cli.main(["model_name=tiny", f"video_paths={tmp_path}"]) == 2
    assert "no video in it" in capsys.readouterr().err


def test_empty_list(tmp_path, capsys):
    (tmp_path / "list.txt").write_text("# nothing yet\n\n")
    assert cli.main(["model_name=tiny", f"file_with_video_paths={tmp_path / 'list.txt'}"]) == 2
    assert "names no video" in capsys.readouterr().err


def test_nothing_at_all(capsys):
    assert cli.main([]) == 2
    assert cli.main(["model_name=tiny"]) == 2


@pytest.mark.parametrize(("name", "said"), [
    ("taken", "cannot be written"), ("a" * 300, "name too long"), ("~nobody-of-that-name", "the name of no user here")])
def test_output_path_that_can_be_no_folder(sample_videos, tmp_path, monkeypatch, capsys, name, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("")
    assert cli.main(["model_name=tiny", f"video_paths={sample_videos[0]}", "on_extraction=save_numpy", f"output_path={name}"]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_output_path_read_only(sample_videos, tmp_path, capsys):
    tmp_path.chmod(0o500)
    assert cli.main(["model_name=tiny", f"video_paths={sample_videos[0]}", "on_extraction=save_numpy",
                     f"output_path={tmp_path / 'out'}"]) == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("on_extraction", ["save_numpy", "save_pickle", "save_hdf5"])
def test_full_disk_fails_videos_and_leaves_nothing_half(on_extraction, sample_videos, tmp_path, capsys, monkeypatch):
    """Writing fails from the second video on; what was stored stays, the rest is listed, a later run finishes."""
    import errno

    from clipreel.extract.store import files

    flush, calls = files.flush, []
    limit = 3 if on_extraction == "save_hdf5" else 9  # a file takes two, a video one file or four

    def full(path):
        calls.append(path)
        if len(calls) > limit:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        flush(path)

    argv = ["model_name=tiny", "extraction_fps=1", f"video_paths=[{', '.join(map(str, sample_videos))}]",
            f"on_extraction={on_extraction}", f"output_path={tmp_path}"]
    monkeypatch.setattr(files, "flush", full)
    code = cli.main(argv)
    assert code == 1
    err = capsys.readouterr().err
    assert "No space left on device" in err
    assert "failures.jsonl could not be written" in err
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]
    monkeypatch.undo()
    assert cli.main(argv) == 0
    assert cli.main(["inspect", str(tmp_path)]) == 0
    assert f"{len(sample_videos)} videos, 0 damaged" in capsys.readouterr().out
