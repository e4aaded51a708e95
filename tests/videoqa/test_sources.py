"""Layouts of videos and subtitles, and what is said at the sampled frames."""

import json

import numpy as np
import pytest
from clipreel.errors import InputError
from clipreel.videoqa.sources import VideoRoot
from clipreel.videoqa.subtitles import Line, lines_at, read_subtitles


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.mark.parametrize("place", ["v.mp4", "v.MP4", "v.mkv", "data/v.mp4", "video/v.webm", "videos/v.mov"])
@pytest.mark.parametrize("said", ["root/v.srt", "root/subtitle/v.srt", "subtitle/v.srt", None])
def test_files(tmp_path, place, said):
    video = touch(tmp_path / "root" / place)
    subtitles = touch(tmp_path / said) if said else None
    source = VideoRoot(str(tmp_path / "root")).find("v")
    assert source.video == video
    assert (source.subtitles and source.subtitles.resolve()) == subtitles


@pytest.mark.parametrize("root", [".", "output"])
def test_folders_of_frames(tmp_path, root):
    touch(tmp_path / root / "v" / "frames" / "1.jpg")
    text = touch(tmp_path / root / "v" / "subtitles.txt")
    assert VideoRoot(str(tmp_path)).find("v").subtitles == text
    content = touch(tmp_path / root / "v" / "v.json")
    source = VideoRoot(str(tmp_path)).find("v")
    assert (source.video, source.subtitles) == (tmp_path / root / "v" / "frames", content)


def test_what_is_not_there(tmp_path):
    problem = VideoRoot(str(tmp_path)).find("v").problem
    assert problem is not None and "v/frames" in problem and "data/" in problem
    touch(tmp_path / "v" / "frames" / "notes.txt")
    assert "holds no picture" in str(VideoRoot(str(tmp_path)).find("v").problem)
    with pytest.raises(InputError, match="no such folder"):
        VideoRoot(str(tmp_path / "none"))


def test_srt(tmp_path):
    path = tmp_path / "v.srt"
    path.write_bytes(b'1\r\n00:00:01,000 --> 00:00:02,500\r\n<font color="white" size=".72c">it&#39;s</font>\r\nso\r\n\r\n'
                     b"2\r\n01:00:00.5 --> 01:00:01.000\r\n \r\n\r\n3\r\n00:00:04,000 --> 00:00:05,000\r\nlast")
    lines = read_subtitles(path)
    assert lines == [Line("it's so", 1000, 2500), Line("last", 4000, 5000)]
    assert lines_at(lines, np.array([[0.0, 0.0], [1000, 1000]])) == ["it's so"]
    assert lines_at(lines, np.array([[2500.0, 2500.0]])) == []
    assert lines_at(lines, np.array([[0.0, 9000.0]])) == ["it's so", "last"]


def test_subtitles_of_frames(tmp_path):
    (tmp_path / "subtitles.txt").write_text("one\n\none\n<i>two</i>\n")
    (tmp_path / "v.json").write_text(json.dumps({"frames": [{"subtitle": "one"}, {"subtitle": None}, {"frame": "x"}]}))
    assert lines_at(read_subtitles(tmp_path / "subtitles.txt"), np.zeros((1, 2))) == ["one", "two"]
    assert [line.text for line in read_subtitles(tmp_path / "v.json")] == ["one"]
    for content in ("[", "[]", "{}", '{"frames": [3]}'):
        (tmp_path / "v.json").write_text(content)
        with pytest.raises(InputError, match=r"v\.json"):
            read_subtitles(tmp_path / "v.json")
