"""`frames_at`: one call for every later stage."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clipreel.errors import ConfigError, DamagedVideoError, UnreadableVideoError
from clipreel.extract.decode import pyav
from clipreel.extract.decode.at import frames_at
from clipreel.extract.decode.index import index_video
from clipreel.tests.media import ZOO, picture, read_code
from PIL import Image

Zoo = Callable[[str], Path]
Plain = Callable[[str], list[np.ndarray]]


def numbers(path: Path, times: list[float], **options) -> list[int]:
    return [read_code(pixels) for pixels in frames_at(path, times, **options).pixels]


def test_the_frame_on_screen_in_the_order_asked(zoo: Zoo) -> None:
    batch = frames_at(zoo("h264.mp4"), [1400, 0, 39.9, 40, 79, 0, -5, 99_999])
    assert [read_code(pixels) for pixels in batch.pixels] == [35, 0, 0, 1, 1, 0, 0, 35]
    assert batch.frames.tolist() == [35, 0, 0, 1, 1, 0, 0, 35]
    assert batch.timestamps_ms.tolist() == [1400, 0, 0, 40, 40, 0, 0, 1400]


@pytest.mark.parametrize("name", [name for name, clip in ZOO.items()
                                  if not clip.damage and clip.codes and not name.startswith("bt")])
def test_true_times_find_their_own_frames(name: str, zoo: Zoo) -> None:
    index = index_video(zoo(name))
    times = index.times_ms(index.pts)
    batch = frames_at(zoo(name), times)
    assert batch.frames.tolist() == list(range(len(index)))
    assert batch.timestamps_ms.tolist() == times.tolist()
    assert tuple(read_code(pixels) for pixels in batch.pixels) == ZOO[name].codes


def test_a_rounded_time_finds_its_frame(zoo: Zoo) -> None:
    """Matroska stores 33.367 ms as 33 and 66.733 ms as 67."""
    exact = [1001 * number / 30 for number in range(36)]
    for name in ("ntsc.mkv", "ntsc.mp4"):
        assert numbers(zoo(name), exact) == list(range(36))


def test_late_video_and_edit_lists_follow_the_timeline(zoo: Zoo) -> None:
    for name in ("late_video.mp4", "late_video.mkv", "late_video.ts"):
        assert numbers(zoo(name), [0, 2000, 2100, 2400]) == [0, 0, 2, 10]
    assert numbers(zoo("edit_list.mp4"), [0, 400]) == [5, 15]


def test_a_size_that_changes_inside_is_brought_to_the_first(zoo: Zoo) -> None:
    batch = frames_at(zoo("two_sizes.ts"), [0, 1400])
    assert batch.pixels.shape == (2, 64, 96, 3)
    assert [read_code(pixels) for pixels in batch.pixels] == [0, 35]


def test_folders_of_pictures(tmp_path: Path) -> None:
    for number in range(4):
        Image.fromarray(picture(number, 96, 64)).save(tmp_path / f"{number}.png")
    assert numbers(tmp_path, [250, 0, 740], fps=4) == [1, 0, 2]
    with pytest.raises(ConfigError, match="fps="):
        frames_at(tmp_path, [0])


def test_no_instant_is_no_frame(zoo: Zoo) -> None:
    assert frames_at(zoo("turned_90.mp4"), []).pixels.shape == (0, 64, 96, 3)


@pytest.mark.parametrize("times", [[float("nan")], [0, float("inf")], [[0, 1]]])
def test_instants_that_are_none(times: list, zoo: Zoo) -> None:
    with pytest.raises(ValueError, match="timestamps_ms must be finite milliseconds"):
        frames_at(zoo("h264.mp4"), times)


def test_damage(zoo: Zoo, tmp_path: Path) -> None:
    with pytest.raises(DamagedVideoError, match="ends early"):
        frames_at(zoo("cut.mp4"), [0])
    assert numbers(zoo("cut.mp4"), [0, 200], allow_truncated=True) == [0, 5]
    with pytest.raises(DamagedVideoError, match=r"at 40 ms"):
        frames_at(zoo("burnt.ts"), [0, 40], allow_truncated=True)
    with pytest.raises(UnreadableVideoError, match="no such file"):
        frames_at(tmp_path / "missing.mp4", [0])


def test_packets_that_lied_are_indexed_again_by_decoding(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    def lying(path: Path, *, by_decoding: bool = False):
        index = index_video(path, by_decoding=by_decoding)
        if by_decoding:
            return index
        return replace(index, pts=index.pts - 3, end_pts=index.end_pts - 3)

    monkeypatch.setattr(pyav, "index_video", lying)
    assert numbers(zoo("h264.mp4"), [40, 800]) == [1, 20]


def test_threads_read_different_files_side_by_side(zoo: Zoo, plain: Plain) -> None:
    names = ["h264.mp4", "hevc.mp4", "vp9.webm", "av1.mp4", "mpeg4.avi", "h264_10_bit.mp4", "mpeg2.ts", "vp8.webm"]
    tasks = [(name, seed) for seed in range(4) for name in names]
    for name in names:
        plain(name)

    def check(task: tuple[str, int]) -> bool:
        name, seed = task
        wanted = np.random.default_rng(seed).choice(36, 10, replace=False)
        found = frames_at(zoo(name), 40.0 * wanted).pixels
        return all(np.array_equal(pixels, plain(name)[number]) for pixels, number in zip(found, wanted, strict=True))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(check, tasks))


def test_threads_read_one_file_side_by_side(zoo: Zoo) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda number: numbers(zoo("h264_open_gop.mp4"), [40.0 * number])[0], range(36)))
    assert found == list(range(36))


def test_a_string_is_a_path_too(zoo: Zoo, tmp_path: Path) -> None:
    shutil.copy(zoo("h264.mp4"), tmp_path / "a:b%03d.mp4")
    assert numbers(str(tmp_path / "a:b%03d.mp4"), [400]) == [10]  # pyright: ignore[reportArgumentType]
