"""A folder that holds only pictures, as one video of frames: sorted by name, numbers by value (2 before 10)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import ConfigError, DamagedVideoError, EmptyVideoError, UnreadableVideoError
from ..frames import FrameBatch, VideoIndex

if TYPE_CHECKING:
    from PIL import Image

# Of the formats that Pillow reads, those of pictures: not scripts that another program would run (EPS, under any name).
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm"}


class ImagesReader:
    """Each picture stands on screen for 1/fps seconds, the first from 0."""

    def __init__(self, fps: float | None = None):
        self._fps = fps

    def index(self, path: Path, *, by_decoding: bool = False) -> VideoIndex:
        if path.is_file():
            raise UnreadableVideoError(f"{path}: reader=images reads folders of pictures, and this is a file: leave reader= out")
        if self._fps is None:
            raise ConfigError(f"{path}: is a folder of pictures, and nothing says how many a second: "
                              "give fps=, such as fps=25")
        fps = Fraction(str(self._fps))
        if fps <= 0:
            raise ConfigError(f"{path}: fps={self._fps} pictures a second cannot be shown; give fps= above 0")
        pictures = pictures_in(path)
        if not pictures:
            raise EmptyVideoError(f"{path}: holds no picture ({', '.join(sorted(PICTURE_SUFFIXES))})")
        height, width = _first_readable(pictures).shape[:2]
        return VideoIndex(path, width, height, 1 / fps, Fraction(0), fps, np.arange(len(pictures), dtype=np.int64),
                          len(pictures), None)

    def frames(self, index: VideoIndex, wanted: np.ndarray, *, allow_truncated: bool = False) -> Iterator[FrameBatch]:
        pictures = pictures_in(index.path)
        for place in wanted.tolist():
            try:
                pixels = read_picture(pictures[place])
            except DamagedVideoError:
                if not allow_truncated:
                    raise
                continue
            places = np.array([place], dtype=np.int64)
            yield FrameBatch(pixels[None], places, index.times_ms(index.pts[places]))


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder, in the order of their names. Raises UnreadableVideoError."""
    try:
        found = [path for path in folder.iterdir()
                 if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".") and path.is_file()]
    except OSError as error:
        raise UnreadableVideoError(f"{folder}: cannot be read as a folder of pictures ({error.strerror})") from error
    return sorted(found, key=lambda path: ([(int(part), "") if part.isdecimal() else (0, part)
                                            for part in re.split(r"(\d+)", path.name)], path.name))


def _first_readable(pictures: list[Path]) -> np.ndarray:
    for path in pictures[:-1]:
        with suppress(DamagedVideoError):
            return read_picture(path)
    return read_picture(pictures[-1])


def upright_rgb(image: Image.Image) -> np.ndarray:
    """uint8 RGB [h, w, 3] of an opened picture, as it is meant to be seen. Raises what Pillow does for damaged ones."""
    from PIL import Image, ImageOps

    if image.mode.startswith("I;16"):  # Pillow would cut it off at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return np.array(ImageOps.exif_transpose(image).convert("RGB"))


def read_picture(path: Path) -> np.ndarray:
    """uint8 RGB [h, w, 3]. Raises DamagedVideoError."""
    from PIL import Image

    try:
        with Image.open(path, formats=_FORMATS) as image:
            return upright_rgb(image)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise DamagedVideoError(f"{path}: is no picture that can be read ({error})") from error
