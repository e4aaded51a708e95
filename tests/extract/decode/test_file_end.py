"""Files that lack promised bytes are known by their structure; whole ones raise no alarm."""

from collections.abc import Callable
from pathlib import Path

import pytest
from clipreel.extract.decode.file_end import missing_bytes
from clipreel.tests.media import ZOO

Zoo = Callable[[str], Path]
SILENT = (".ts", ".h264", ".gif")  # formats that promise nothing


@pytest.mark.parametrize("name", [name for name, clip in ZOO.items() if not clip.damage])
def test_a_whole_file_lacks_nothing(name: str, zoo: Zoo) -> None:
    assert missing_bytes(zoo(name)) == 0


@pytest.mark.parametrize("name", [
    "h264.mp4", "h264.mkv", "h264.avi", "vp9.webm", "fragmented.mp4", "edit_list.mp4", "long_audio.mkv", "mjpeg.avi"])
@pytest.mark.parametrize("lost", [1, 50, 3000])
def test_lost_bytes_are_counted(name: str, lost: int, zoo: Zoo, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(zoo(name).read_bytes()[:-lost])
    missing = missing_bytes(path)
    # of whole lost boxes (an index behind the pictures, a fragment) nothing tells, of the broken one before them it does
    assert missing == lost or (lost == 3000 and name.endswith(".mp4") and 0 < missing < lost)


@pytest.mark.parametrize("name", ["h264.ts", "raw.h264", "palette.gif", "no_index.mkv"])
def test_formats_that_promise_nothing_get_no_verdict(name: str, zoo: Zoo, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(zoo(name).read_bytes()[:-1000])
    assert missing_bytes(path) == 0


@pytest.mark.parametrize("tail", [bytes(100), b"appended by a tool, no box", bytes.fromhex("00000008") + b"free"])
def test_what_is_appended_is_no_loss(tail: bytes, zoo: Zoo, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(zoo("h264.mp4").read_bytes() + tail)
    assert missing_bytes(path) == 0


def test_big_boxes_and_boxes_to_the_end(tmp_path: Path) -> None:
    head = bytes.fromhex("00000010") + b"ftypisom" + bytes(4)
    path = tmp_path / "clip.mp4"
    path.write_bytes(head + bytes.fromhex("00000001") + b"mdat" + (5_000_000_000).to_bytes(8, "big"))
    assert missing_bytes(path) == 5_000_000_000 - 16
    path.write_bytes(head + bytes(4) + b"mdat" + bytes(10))
    assert missing_bytes(path) == 0


@pytest.mark.parametrize("data", [b"", b"\x1aE\xdf\xa3", b"RIFF", b"RIFF\xff", b"\0\0\0\0ftyp", b"\x1aE\xdf\xa3\xff" * 9,
                                  b"\x1aE\xdf\xa3\x00\x00", b"\0\0\0\x07ftyp"])
def test_stumps_of_headers_break_nothing(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "stump").write_bytes(data)
    assert missing_bytes(tmp_path / "stump") >= 0
