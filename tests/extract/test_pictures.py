"""`frames`: pictures of videos, folders whole or not there, done once."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from clipreel import extract_features, extract_frames
from clipreel.cli import main
from clipreel.errors import ConfigError, InputError, StoreConflictError
from clipreel.extract import picture_folder
from clipreel.extract.decode.images import pictures_in
from clipreel.extract.picture_folder import MARK
from clipreel.tests.media import Recipe, read_code
from PIL import Image

SIZE = (192, 128)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """a.mp4, b.mp4 and sub/a.mkv: 25 a second, 20, 30 and 10 frames whose pictures say their number."""
    folder = tmp_path_factory.mktemp("videos")
    (folder / "sub").mkdir()
    Recipe(frames=20, size=SIZE).write(folder / "a.mp4")
    Recipe(frames=30, size=SIZE).write(folder / "b.mp4")
    Recipe(frames=10, size=SIZE, first_number=100).write(folder / "sub" / "a.mkv")
    return folder


def shown_in(folder):
    """uint8 [h, w, 3] of each picture."""
    pictures = []
    for path in pictures_in(folder):
        with Image.open(path) as picture:
            pictures.append(np.array(picture))
    return pictures


def numbers(folder):
    """What the pictures of a folder show."""
    return [read_code(picture) for picture in shown_in(folder)]


def sizes(folder):
    """Widths and heights."""
    return {picture.shape[1::-1] for picture in shown_in(folder)}


# which pictures


def test_every_frame_at_its_own_size_in_the_layout_of_the_original(videos, tmp_path):
    report = extract_frames(videos / "a.mp4", tmp_path)
    assert (report.done, report.pictures, report.exit_code) == (["a"], 20, 0)
    shown = sorted(path.name for path in (tmp_path / "a").iterdir() if not path.name.startswith("."))
    assert shown == [f"image_{number:05d}.jpg" for number in range(1, 21)]
    assert numbers(tmp_path / "a") == list(range(20))
    assert sizes(tmp_path / "a") == {SIZE}
    mark = json.loads((tmp_path / "a" / MARK).read_text())
    assert mark["timestamps_ms"] == [40.0 * number for number in range(20)] and mark["fps"] == 25


def test_pictures_are_close_to_the_frames(zoo, plain, tmp_path):
    extract_frames(zoo("one_frame.mp4"), tmp_path)
    (picture,) = shown_in(tmp_path / "one_frame")
    assert np.abs(picture.astype(int) - plain("one_frame.mp4")[0]).mean() < 2


@pytest.mark.parametrize(("keys", "shown", "size"), [
    ({"fps": 5}, [0, 5, 10, 15], SIZE), ({"fps": 2.5, "size": 64}, [0, 10], (96, 64)),
    ({"size": 500, "fps": 5}, [0, 5, 10, 15], SIZE), ({"prefix": "%03d.png", "fps": 5}, [0, 5, 10, 15], SIZE),
    ({"fps": 50}, [number for number in range(20) for _ in range(2)], SIZE),
])
def test_rate_and_size(videos, tmp_path, keys, shown, size):
    extract_frames(videos / "a.mp4", tmp_path, **keys)
    assert numbers(tmp_path / "a") == shown
    assert sizes(tmp_path / "a") == {size}
    first = keys.get("prefix", "image_%05d.jpg") % 1
    assert (tmp_path / "a" / first).is_file()


def test_a_telephones_video_stands_upright(tmp_path):
    Recipe(frames=3, size=(128, 192), rotation=90).write(tmp_path / "phone.mp4")
    extract_frames(tmp_path / "phone.mp4", tmp_path / "out", size=100)
    assert numbers(tmp_path / "out" / "phone") == [0, 1, 2]
    assert sizes(tmp_path / "out" / "phone") == {(100, 150)}


def test_the_pictures_are_a_video_to_the_extractor(videos, tmp_path, tiny):
    extract_frames(videos / "a.mp4", tmp_path, prefix="%d.png", fps=5)
    pictures = extract_features(tmp_path, encoder=tiny, fps=5).features["a"]
    video = extract_features(videos / "a.mp4", encoder=tiny, extraction_fps=5).features["a"]
    assert np.allclose(pictures.features, video.features, atol=1e-4)
    assert np.allclose(pictures.timestamps_ms, video.timestamps_ms)


# done once


@pytest.mark.parametrize("parallel", [False, True])
def test_a_second_run_does_nothing_and_a_missing_picture_is_noticed(videos, tmp_path, parallel):
    first = extract_frames(videos, tmp_path, parallel=parallel)
    assert sorted(first.done) == ["a", first.done[-1], "b"] and first.done[-1].startswith("a-")  # the same stem twice
    assert numbers(tmp_path / "a") == list(range(20))
    assert numbers(tmp_path / first.done[-1]) == list(range(100, 110))
    again = extract_frames(videos, tmp_path, parallel=parallel)
    assert (again.done, sorted(again.skipped), again.pictures) == ([], sorted(first.done), 0)
    (tmp_path / "a" / "image_00007.jpg").unlink()
    (tmp_path / "b" / "image_00007.jpg").write_bytes(b"")
    assert sorted(extract_frames(videos, tmp_path).done) == ["a", "b"]
    assert numbers(tmp_path / "a") == list(range(20)) and numbers(tmp_path / "b") == list(range(30))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*first.done, "failures.jsonl"])


def test_other_settings_are_refused_and_overwritten_when_asked(videos, tmp_path):
    extract_frames(videos / "a.mp4", tmp_path)
    with pytest.raises(StoreConflictError, match=r"fps=None.*fps=5"):
        extract_frames(videos / "a.mp4", tmp_path, fps=5)
    assert len(numbers(tmp_path / "a")) == 20
    assert extract_frames(videos / "a.mp4", tmp_path, fps=5, overwrite=True).done == ["a"]
    assert numbers(tmp_path / "a") == [0, 5, 10, 15]


def test_a_folder_of_others_is_left_alone(videos, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "image_00001.jpg").write_bytes(b"mine")
    (tmp_path / "b").mkdir()
    report = extract_frames([videos / "a.mp4", videos / "b.mp4"], tmp_path, overwrite=True)
    assert report.done == ["b"]
    assert "was not made by this command" in report.failed[0].reason
    assert (tmp_path / "a" / "image_00001.jpg").read_bytes() == b"mine"


def test_a_broken_video_is_a_row_and_the_others_go_on(videos, zoo, tmp_path, capsys):
    words = ["frames", f"[{zoo('cut.mp4')}, {zoo('text.mp4')}, {tmp_path}/none.mp4, {videos}/a.mp4]", f"{tmp_path}/out"]
    assert main(words) == 1
    err = capsys.readouterr().err
    assert "done 1, skipped 0, failed 3" in err
    assert all(name in err for name in ("cut.mp4", "text.mp4", "none.mp4"))
    rows = [json.loads(line) for line in (tmp_path / "out" / "failures.jsonl").read_text().splitlines()]
    assert sorted(Path(row["path"]).name for row in rows) == ["cut.mp4", "none.mp4", "text.mp4"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a", "failures.jsonl"]
    report = extract_frames(zoo("cut.mp4"), tmp_path / "out", allow_truncated=True)
    assert report.done == ["cut"] and report.pictures > 0
    assert not extract_frames(zoo("cut.mp4"), tmp_path / "out").skipped  # a strict run does not take it for done


def test_packets_that_lie_are_decoded_once_more(tmp_path, videos, monkeypatch):
    from clipreel.errors import IndexMismatchError

    write, tried = picture_folder._write, []

    def lying(video, folder, identity, settings, by_decoding, *rest):
        tried.append(by_decoding)
        if not by_decoding:
            (folder / "image_00099.jpg").write_bytes(b"half")
            raise IndexMismatchError("lies")
        return write(video, folder, identity, settings, by_decoding, *rest)

    monkeypatch.setattr(picture_folder, "_write", lying)
    extract_frames(videos / "a.mp4", tmp_path)
    assert tried == [False, True]
    assert numbers(tmp_path / "a") == list(range(20))


_KILLED = """
import os, sys
from PIL import Image
from clipreel import extract_frames
save, count = Image.Image.save, 0

def dying(*words, **keys):
    global count
    count += 1
    if count == 25:
        os.kill(os.getpid(), 9)
    return save(*words, **keys)

Image.Image.save = dying
extract_frames([sys.argv[1] + "/a.mp4", sys.argv[1] + "/b.mp4"], sys.argv[2])
"""


def test_a_killed_run_leaves_whole_folders_only(videos, tmp_path):
    process = subprocess.run([sys.executable, "-c", _KILLED, str(videos), str(tmp_path)], capture_output=True, text=True,
                             check=False)
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["a"]
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".")]  # what it had begun
    report = extract_frames([videos / "a.mp4", videos / "b.mp4"], tmp_path)
    assert (report.done, report.skipped) == (["b"], ["a"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "failures.jsonl"]


def test_an_interrupted_run_ends_at_once_and_leaves_nothing_half(videos, tmp_path, monkeypatch):
    Recipe(frames=500, size=SIZE).write(tmp_path / "long.mp4")
    save = Image.Image.save
    began = threading.Event()

    def slow(*words, **keys):
        began.set()
        time.sleep(0.02)
        return save(*words, **keys)

    def interrupt():
        began.wait()
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Image.Image, "save", slow)
    threading.Thread(target=interrupt).start()
    start = time.monotonic()
    assert main(["frames", f"{tmp_path}/long.mp4", f"{tmp_path}/out"]) == 130
    assert time.monotonic() - start < 5
    assert list((tmp_path / "out").iterdir()) == []


# which videos


@pytest.mark.parametrize(("keys", "done"), [
    ({"accepted_formats": [".mkv"]}, ["a"]), ({"accepted_formats": ["MP4"]}, ["a", "b"]), ({"begin": 1, "end": 2}, ["b"]),
    ({"begin": 2}, ["a"]), ({"end": 1}, ["a"]),
])
def test_some_of_the_videos(videos, tmp_path, keys, done):
    assert extract_frames(videos, tmp_path, fps=1, **keys).done == done


def test_a_list_of_videos(videos, tmp_path):
    (tmp_path / "list.txt").write_text("# wanted\nb\nsub/a.mkv\nnobody.mp4\n")
    report = extract_frames(videos, tmp_path / "out", fps=1, file_list=tmp_path / "list.txt")
    assert report.done == ["b", "a"] and report.exit_code == 1
    assert "nobody.mp4: is on file_list=" in report.failed[0].reason


def test_a_dry_run_writes_nothing(videos, tmp_path, capsys):
    assert main(["frames", str(videos), f"{tmp_path}/out", "dry_run=true"]) == 0
    out, err = capsys.readouterr()
    assert [line.split(" -> ")[0] for line in out.splitlines()] == [f"{videos}/a.mp4", f"{videos}/b.mp4", f"{videos}/sub/a.mkv"]
    assert "3 videos to do" in err and not (tmp_path / "out").exists()


@pytest.mark.parametrize(("words", "part"), [
    (["v.mp4"], "needs videos and a folder"), (["v.mp4", "o", "fps=0"], "fps=0"), (["v.mp4", "o", "size=0"], "size=0"),
    (["v.mp4", "o", "quality=101"], "quality=101"), (["v.mp4", "o", "prefix=image.jpg"], "prefix=image.jpg"),
    (["v.mp4", "o", "prefix=%05d.gif"], ".png"), (["v.mp4", "o", "prefix=a/%05d.jpg"], "prefix="),
    (["v.mp4", "o", "prefix=%d%d.jpg"], "prefix="), (["v.mp4", "o", "end=0"], "begin < end"),
    (["v.mp4", "o", "workers=2"], "parallel"), (["v.mp4", "o", "file_list=none.txt"], "none.txt"),
])
def test_keys_that_cannot_be(words, part, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["frames", *words]) == 2
    assert part in capsys.readouterr().err


def test_folders_of_pictures_are_no_videos(videos, tmp_path):
    extract_frames(videos / "a.mp4", tmp_path / "out", fps=1)
    with pytest.raises(InputError, match="folders of pictures are no videos"):
        extract_frames(tmp_path / "out" / "a", tmp_path / "more")
    with pytest.raises(ConfigError, match="cannot be written"):
        extract_frames(videos / "a.mp4", tmp_path / "out" / "a" / "image_00001.jpg")
