"""A folder of pictures as a video."""

import os
from pathlib import Path

import numpy as np
import pytest
from clipreel.errors import ConfigError, DamagedVideoError, EmptyVideoError, UnreadableVideoError
from clipreel.extract.decode.images import ImagesReader, pictures_in
from clipreel.extract.sampling import SamplingRequest, sample
from clipreel.tests.media import picture, read_code
from PIL import Image


def fill(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        Image.fromarray(picture(number, 96, 64)).save(folder / name)
    return folder


def read(folder: Path, wanted: list[int], **options: bool) -> list[np.ndarray]:
    reader = ImagesReader(10)
    return [batch.pixels[0] for batch in reader.frames(reader.index(folder), np.array(wanted), **options)]


def test_numbers_sort_by_value_and_equal_ones_by_name(tmp_path: Path) -> None:
    names = ["1.png", "2.png", "10.png", "a1.png", "a01b.png", "a²3.png", "b.JPG"]
    fill(tmp_path, *names)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden.png").write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")  # opening it would wait for ever
    assert [path.name for path in pictures_in(tmp_path)] == ["1.png", "2.png", "10.png", "a1.png", "a01b.png",
                                                             "a²3.png", "b.JPG"]
    (tmp_path / "01.png").write_bytes(b"")
    assert [path.name for path in pictures_in(tmp_path)][:2] == ["01.png", "1.png"]


def test_times_follow_the_rate_and_pictures_are_exact(tmp_path: Path) -> None:
    fill(tmp_path, *(f"{number}.png" for number in range(12)))
    index = ImagesReader(29.97).index(tmp_path)
    assert index.times_ms(index.pts) == pytest.approx([number * 100000 / 2997 for number in range(12)], abs=1e-9)
    assert index.duration_seconds == pytest.approx(12 / 29.97)
    assert (index.width, index.height) == (96, 64)
    for number, pixels in zip((0, 3, 11), read(tmp_path, [0, 3, 11]), strict=True):
        assert np.array_equal(pixels, picture(number, 96, 64))


def test_sampling_a_folder(tmp_path: Path) -> None:
    fill(tmp_path, *(f"{number:02}.png" for number in range(12)))
    samples = sample(ImagesReader(4).index(tmp_path), SamplingRequest(fps=1))
    assert samples.frames.tolist() == [0, 4, 8]
    assert samples.timestamps_ms.tolist() == [0, 1000, 2000]


@pytest.mark.parametrize(("fps", "words"), [(None, "give fps=, such as fps=25"), (0, "fps=0"), (-1, "fps=-1")])
def test_a_rate_is_needed(fps: float | None, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        ImagesReader(fps).index(fill(tmp_path, "1.png"))


def test_folders_that_are_no_video(tmp_path: Path) -> None:
    with pytest.raises(EmptyVideoError, match=r"holds no picture \(\.bmp, \.jpeg, \.jpg"):
        ImagesReader(1).index(tmp_path)
    with pytest.raises(UnreadableVideoError, match="No such file"):
        ImagesReader(1).index(tmp_path / "missing")


def test_a_broken_picture_is_damage(tmp_path: Path) -> None:
    fill(tmp_path, "1.png", "2.png", "3.png")
    (tmp_path / "2.png").write_bytes(b"no picture")
    with pytest.raises(DamagedVideoError, match=r"2\.png: is no picture that can be read"):
        read(tmp_path, [0, 1, 2])
    assert [read_code(pixels) for pixels in read(tmp_path, [0, 1, 2], allow_truncated=True)] == [0, 2]
    assert [read_code(pixels) for pixels in read(tmp_path, [0, 2])] == [0, 2]


def test_a_script_is_no_picture(tmp_path: Path) -> None:
    """Pillow would have another program run it."""
    (tmp_path / "1.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n")
    with pytest.raises(DamagedVideoError, match="cannot identify image file"):
        ImagesReader(1).index(tmp_path)


def test_a_broken_first_picture_does_not_hide_the_others(tmp_path: Path) -> None:
    fill(tmp_path, "1.png", "2.png")
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:300])
    assert [read_code(pixels) for pixels in read(tmp_path, [1])] == [1]
    with pytest.raises(DamagedVideoError, match=r"1\.png"):
        read(tmp_path, [0])
    (tmp_path / "2.png").write_bytes(b"")
    with pytest.raises(DamagedVideoError, match=r"2\.png: is no picture"):
        ImagesReader(1).index(tmp_path)


def test_every_kind_of_picture_becomes_rgb(tmp_path: Path) -> None:
    grey = np.linspace(0, 255, 64).astype(np.uint8).reshape(8, 8)
    wide = grey.astype(np.uint16) * 257
    Image.fromarray(grey).save(tmp_path / "1.png")
    Image.fromarray(wide).save(tmp_path / "2.png")  # 16 bits
    Image.fromarray(wide).save(tmp_path / "3.tif")
    Image.fromarray(grey).convert("P").save(tmp_path / "4.png")
    Image.fromarray(np.dstack([grey] * 3 + [np.full_like(grey, 255)])).save(tmp_path / "5.png")
    Image.fromarray(grey).convert("RGB").save(tmp_path / "6.webp", lossless=True)
    Image.fromarray(grey).save(tmp_path / "7.bmp")
    for pixels in read(tmp_path, list(range(7))):
        assert np.abs(pixels.astype(int) - grey[..., None]).max() <= 1


def test_cameras_turn_their_pictures(tmp_path: Path) -> None:
    upright = picture(5, 96, 64)
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its left side
    Image.fromarray(np.ascontiguousarray(np.rot90(upright))).save(tmp_path / "1.png", exif=exif)
    index = ImagesReader(1).index(tmp_path)
    assert (index.width, index.height) == (96, 64)
    assert np.array_equal(read(tmp_path, [0])[0], upright)


@pytest.mark.parametrize("fps", [None, 25.0])
def test_a_file_is_no_folder_of_pictures(tmp_path: Path, fps: float | None) -> None:
    (tmp_path / "film.mp4").write_bytes(b"")
    with pytest.raises(UnreadableVideoError, match="reads folders of pictures, and this is a file: leave reader= out"):
        ImagesReader(fps).index(tmp_path / "film.mp4")
