"""Colours, turning and shape of pictures as a viewer sees them."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clipreel.errors import UnreadableVideoError
from clipreel.extract.decode.picture import PictureMaker, upright
from clipreel.extract.decode.pyav import PyavReader
from clipreel.tests.media import PATCHES, ZOO, Recipe, picture, read_code

Zoo = Callable[[str], Path]


def frames(path: Path, *wanted: int) -> list[np.ndarray]:
    reader = PyavReader()
    return [batch.pixels[0] for batch in reader.frames(reader.index(path), np.array(wanted, dtype=np.int64))]


def yuv(rgb: np.ndarray, **tags: int) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(rgb).reformat(format="yuv444p")
    for name, value in tags.items():
        setattr(frame, name, value)
    return frame


@pytest.mark.parametrize("name", [name for name in ZOO if name.startswith("bt")])
def test_colours_follow_the_tagged_matrix_and_range(name: str, zoo: Zoo) -> None:
    (pixels,) = frames(zoo(name), 2)
    assert np.abs(pixels[40, 8::16].astype(int) - PATCHES).max() <= (4 if "10" in name else 3)


def test_a_mistaken_matrix_would_be_seen() -> None:
    """The tolerance above is finer than the difference between the standards."""
    frame = yuv(np.full((16, 16, 3), (0, 255, 0), np.uint8))  # stored by BT.601
    maker = PictureMaker(Path("x.mp4"), None)
    right = maker.picture(frame)[8, 8].astype(int)
    frame.colorspace = 1
    assert np.abs(maker.picture(frame)[8, 8].astype(int) - right).max() > 15


def test_an_untagged_frame_is_bt601_also_where_its_tag_is_the_reserved_one() -> None:
    rgb = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    maker = PictureMaker(Path("x.mp4"), None)
    for tag in (2, 3):
        assert np.abs(maker.picture(yuv(rgb, colorspace=tag))[8, 8].astype(int) - rgb[8, 8]).max() <= 3


@pytest.mark.parametrize(("tag", "words"), [(8, "YCgCo"), (10, "constant luminance"), (14, "ICtCp")])
def test_a_matrix_that_cannot_be_made_rgb_is_refused(tag: int, words: str) -> None:
    with pytest.raises(UnreadableVideoError, match=rf"x\.mp4: .*{words}.*matrix {tag}.*convert it to BT\.709"):
        PictureMaker(Path("x.mp4"), None).picture(yuv(np.zeros((16, 16, 3), np.uint8), colorspace=tag))


def test_a_file_with_such_a_matrix_is_refused_when_indexed(tmp_path: Path) -> None:
    Recipe(frames=2, options={"x264-params": "colormatrix=YCgCo"}).write(tmp_path / "clip.mp4")
    with pytest.raises(UnreadableVideoError, match=r"clip\.mp4: its colours are tagged YCgCo"):
        PyavReader().index(tmp_path / "clip.mp4")


@pytest.mark.parametrize("name", [name for name in ZOO if name.startswith("turned")])
def test_turned_and_mirrored_pictures_stand_upright(name: str, zoo: Zoo) -> None:
    for number, pixels in zip((0, 21), frames(zoo(name), 0, 21), strict=True):
        assert pixels.shape == (64, 96, 3)
        assert read_code(pixels) == number
        assert np.abs(pixels.astype(int) - picture(number, 96, 64)).mean() < 12


def test_every_quarter_turn_and_mirror() -> None:
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    wanted = {  # the matrix as in a file: x' = a x + c y, y' = b x + d y, with y down
        (1, 0, 0, 1): image, (-1, 0, 0, 1): image[:, ::-1], (1, 0, 0, -1): image[::-1],
        (-1, 0, 0, -1): image[::-1, ::-1], (0, -1, 1, 0): np.rot90(image), (0, 1, -1, 0): np.rot90(image, -1),
        (0, 1, 1, 0): image.swapaxes(0, 1), (0, -1, -1, 0): image[::-1, ::-1].swapaxes(0, 1),
    }
    for matrix, expected in wanted.items():
        assert np.array_equal(upright(image, np.array(matrix).reshape(2, 2) * 65536), expected), matrix


@pytest.mark.parametrize("matrix", [(1, 1, -1, 1), (0, 0, 0, 0), (1, 0, 1, 0), (2, 1, -1, 2)])
def test_other_angles_leave_the_picture(matrix: tuple[int, ...]) -> None:
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert np.array_equal(upright(image, np.array(matrix).reshape(2, 2) * 46341), image)


def test_pixels_become_square_by_width(zoo: Zoo) -> None:
    for name, width in (("wide_pixels.mp4", 192), ("pal_pixels.mkv", 140)):
        (pixels,) = frames(zoo(name), 5)
        assert pixels.shape == (64, width, 3)
        assert read_code(pixels) == 5
    for aspect in (None, Fraction(0), Fraction(-1, 2)):  # said to be unknown
        assert PictureMaker(Path("x"), aspect).picture(yuv(np.zeros((8, 8, 3), np.uint8))).shape == (8, 8, 3)


def test_a_turned_picture_with_oblong_pixels(tmp_path: Path) -> None:
    """The pixel aspect ratio belongs to the stored picture, so it acts before the turn."""
    Recipe(frames=3, rotation=90, sar=Fraction(2)).write(tmp_path / "both.mp4")
    index = PyavReader().index(tmp_path / "both.mp4")
    (pixels,) = frames(tmp_path / "both.mp4", 1)
    assert pixels.shape == (128, 96, 3) == (index.height, index.width, 3)
    assert read_code(pixels) == 1


def test_odd_sizes_are_whole_and_contiguous(zoo: Zoo) -> None:
    for name in ("odd_size.mp4", "odd_size.mkv"):
        (pixels,) = frames(zoo(name), 7)
        assert pixels.shape == (53, 97, 3)
        assert pixels.flags.c_contiguous
        assert np.abs(pixels.astype(int) - picture(7, 97, 53)).mean() < 12
    (pixels,) = frames(zoo("one_pixel.mp4"), 1)
    assert pixels.shape == (1, 1, 3)


def test_a_size_that_is_a_bomb_is_refused() -> None:
    with pytest.raises(UnreadableVideoError, match="more than can be handled"):
        PictureMaker(Path("x"), Fraction(10**9)).picture(yuv(np.zeros((8, 8, 3), np.uint8)))
