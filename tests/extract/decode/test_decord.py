"""The decord reader: killed when it hangs, refused where its frames would be wrong."""

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clipreel.errors import DamagedVideoError, IndexMismatchError, MissingExtraError, UnreadableVideoError
from clipreel.extract.decode import decord
from clipreel.extract.decode.decord import DecordReader
from clipreel.tests.media import ZOO, Recipe, read_code
from clipreel.tests.processes import children

Zoo = Callable[[str], Path]
Plain = Callable[[str], list[np.ndarray]]


def read(path: Path, wanted: list[int], limit: float = 60) -> list[np.ndarray]:
    reader = DecordReader(limit)
    return [batch.pixels[0] for batch in reader.frames(reader.index(path), np.array(wanted, dtype=np.int64))]


@pytest.mark.parametrize("name", ["h264_open_gop.mp4", "hevc_open_gop.mp4", "mpeg4.mp4", "h264.avi", "fragmented.mp4",
                                  "h264_intra_refresh.mp4", "turned_270.mp4", "late_video.mkv"])
def test_frames_are_the_asked_ones_where_decords_own_seeking_errs(name: str, zoo: Zoo, plain: Plain) -> None:
    wanted = [0, 5, 11, 12, 13, 24, 35]
    for place, pixels in zip(wanted, read(zoo(name), wanted), strict=True):
        assert read_code(pixels) == ZOO[name].codes[place]
        assert np.abs(pixels.astype(int) - plain(name)[place]).mean() < 1


def test_pixels_become_square(zoo: Zoo) -> None:
    (pixels,) = read(zoo("wide_pixels.mp4"), [9])
    assert pixels.shape == (64, 192, 3)
    assert read_code(pixels) == 9


@pytest.mark.parametrize(("name", "words"), [
    ("h264.ts", "transport"), ("turned_0_mirrored.mp4", "mirrored"), ("turned_90.mkv", "turned pictures in matroska"),
    ("two_videos.mp4", "several video streams"), ("negative_start.mkv", "start before zero"),
    ("edit_list.mp4", "decord sees 36 frames where there are 31"), ("av1.mp4", "decord fails"),
])
def test_what_decord_would_get_wrong_is_refused(name: str, words: str, zoo: Zoo) -> None:
    with pytest.raises((UnreadableVideoError, IndexMismatchError), match=rf"{name}: .*{words}.*use reader=pyav"):
        read(zoo(name), [3])


def test_a_wrong_count_is_refused_also_after_indexing_by_decoding(zoo: Zoo) -> None:
    reader = DecordReader()
    index = reader.index(zoo("edit_list.mp4"), by_decoding=True)
    with pytest.raises(UnreadableVideoError, match=r"36 frames where there are 31.*reader=pyav"):
        list(reader.frames(index, np.array([3])))


def test_another_first_frame_is_refused(zoo: Zoo, tmp_path: Path) -> None:
    """Whatever goes wrong in a way not known yet: as many frames, but others."""
    reader = DecordReader()
    Recipe(first_number=300, options={"crf": "20"}).write(tmp_path / "other.mp4")
    index = replace(reader.index(zoo("h264.mp4")))
    shown = decord.PyavReader
    try:
        class Elsewhere(shown):
            def frames(self, index, wanted, *, allow_truncated=False):
                other = self.index(tmp_path / "other.mp4")
                return super().frames(other, wanted, allow_truncated=allow_truncated)

        decord.PyavReader = Elsewhere  # pyright: ignore[reportPrivateImportUsage]
        with pytest.raises(UnreadableVideoError, match="first frame is not the video's first frame"):
            list(reader.frames(index, np.array([0])))
    finally:
        decord.PyavReader = shown  # pyright: ignore[reportPrivateImportUsage]


def test_a_damaged_file_is_not_given_to_it(zoo: Zoo) -> None:
    with pytest.raises(DamagedVideoError, match="reader=pyav with allow_truncated=true"):
        read(zoo("cut.mp4"), [0])


# --- a child that misbehaves

HANGS = {
    "at once": "import time; time.sleep(600)",
    "while it holds the lock": "while True: pass",
    "before a picture": "import time; print('{\"frames\": 36}', flush=True); time.sleep(600)",
    "in a picture": ("import sys, time; print('{\"frames\": 36}', flush=True); sys.stdin.readline();"
                     "print('{\"shape\": [64, 96, 3]}', flush=True); sys.stdout.write('x'); sys.stdout.flush();"
                     "time.sleep(600)"),
}


@pytest.mark.parametrize("script", HANGS.values(), ids=HANGS)
def test_a_hang_is_killed_and_said(script: str, zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decord, "_CHILD", script)
    before, began = children(), time.monotonic()
    with pytest.raises(UnreadableVideoError, match=r"did not answer within 0\.5 s and was killed; use reader=pyav"):
        read(zoo("h264.mp4"), [3], limit=0.5)
    assert time.monotonic() - began < 10
    assert children() <= before


def test_a_stopped_child_is_killed(zoo: Zoo) -> None:
    """The true child, stopped in mid-work as a spinning decoder would be."""
    reader, before = DecordReader(1.0), children()
    frames = reader.frames(reader.index(zoo("h264.mp4")), np.array([1, 30]))
    next(frames)
    (child,) = children() - before
    os.kill(child, signal.SIGSTOP)
    with pytest.raises(UnreadableVideoError, match="was killed"):
        next(frames)
    assert children() <= before


def test_a_child_that_dies_says_so(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    dies = "import os; print('{\"frames\": 36}', flush=True); os._exit(7)"
    for script in ("import os; os._exit(7)", dies, "import os, sys; sys.stdin.close();" + dies):
        monkeypatch.setattr(decord, "_CHILD", script)
        with pytest.raises(UnreadableVideoError, match=r"its process died, exit code 7\); use reader=pyav"):
            read(zoo("h264.mp4"), [3])


def test_half_a_picture_is_none(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decord, "_CHILD", "import sys; print('{\"frames\": 36}', flush=True); sys.stdin.readline();"
                                          "print('{\"shape\": [64, 96, 3]}'); sys.stdout.write('x' * 100)")
    with pytest.raises(UnreadableVideoError, match=r"gives 100 bytes as a picture of shape \[64, 96, 3\]"):
        read(zoo("h264.mp4"), [3])


def test_where_it_is_not_installed(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decord, "_CHILD", decord._CHILD.replace("import decord", "import decord_that_is_not_there"))
    with pytest.raises(MissingExtraError, match=r"pip install"):
        read(zoo("h264.mp4"), [3])


def test_a_reader_that_is_left_early_leaves_no_child(zoo: Zoo) -> None:
    before = children()
    reader = DecordReader()
    frames = reader.frames(reader.index(zoo("h264.mp4")), np.arange(36))
    next(frames)
    assert children() - before
    frames.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert children() <= before
    until = time.monotonic() + 10  # a timer that was cancelled ends soon, not at once
    while any(isinstance(thread, threading.Timer) for thread in threading.enumerate()):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_long_way_shows_life(tmp_path: Path) -> None:
    Recipe(frames=130).write(tmp_path / "clip.mp4")
    assert [read_code(pixels) for pixels in read(tmp_path / "clip.mp4", [0, 120, 129])] == [0, 120, 129]
