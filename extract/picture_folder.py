"""A video as a folder of pictures: `<key>/image_00001.jpg` …, and a hidden file of their times that says the folder is whole."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import EmptyVideoError, IndexMismatchError, OutputError
from .decode.registry import reader_for
from .frames import FrameBatch
from .sampling import SamplingRequest, sample
from .store.files import flush, locked, temporary_beside

if TYPE_CHECKING:
    from PIL import Image

MARK = ".clipreel-frames.json"  # hidden: to whatever lists the folder it holds nothing but pictures
_SCHEMA_VERSION = 1


@dataclass(frozen=True)
class PictureSettings:
    """What changes the pictures."""

    fps: float | None  # None: every frame
    size: int | None  # pixels of the shorter side; never enlarged
    prefix: str
    quality: int


@dataclass(frozen=True)
class PictureMark:
    """What a whole folder says of itself."""

    content_id: str
    source: str
    settings: PictureSettings
    fps: float | None  # pictures a second, as `fps=` wants it of a folder of pictures; None where nobody knows
    damage: str | None
    timestamps_ms: list[float]  # of each picture, on the file's timeline
    size_bytes: int


class StoppedError(Exception):
    """The run ends before the folder is whole."""


def write_pictures(video: Path, folder: Path, content_id: str, settings: PictureSettings, *,
                   allow_truncated: bool = False, stopped: Callable[[], bool] = lambda: False) -> PictureMark:
    """Decode what is wanted and put the folder in place when it is whole; before that it has another, hidden name.

    A folder of this video that stands there is replaced. Raises VideoError; OutputError where it cannot be written;
    StoppedError when `stopped` says so.
    """
    temporary = temporary_beside(folder)
    try:
        temporary.mkdir()
        try:
            mark = _write(video, temporary, content_id, settings, False, allow_truncated, stopped)
        except IndexMismatchError:  # the packets lied: once more with an index made by decoding
            shutil.rmtree(temporary)
            temporary.mkdir()
            mark = _write(video, temporary, content_id, settings, True, allow_truncated, stopped)
        (temporary / MARK).write_text(json.dumps({"schema_version": _SCHEMA_VERSION, **asdict(mark)}), encoding="utf-8",
                                      errors="backslashreplace")
        flush(temporary / MARK)  # thousands of pictures are not flushed: one that a power cut takes is missed by its size
        with locked(folder.parent):
            _put_in_place(temporary, folder, content_id)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return mark


def mark_of(folder: Path) -> PictureMark | None:
    """What the folder says of itself, whether or not its pictures are all there; None where it is none of ours."""
    try:
        content = json.loads((folder / MARK).read_text(encoding="utf-8"))
        if content.pop("schema_version") != _SCHEMA_VERSION:
            return None
        return PictureMark(**{**content, "settings": PictureSettings(**content["settings"])})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def is_whole(folder: Path, mark: PictureMark) -> bool:
    """Whether every picture is there, and their sizes come to what was written."""
    try:
        there = [os.stat(folder / _name(mark.settings, row)).st_size for row in range(len(mark.timestamps_ms))]
    except OSError:
        return False
    return sum(there) == mark.size_bytes


def is_free(folder: Path) -> bool:
    """Whether nothing is lost when the folder is written: it is not there, or is empty."""
    return not os.path.lexists(folder) or (folder.is_dir() and not any(folder.iterdir()))


def _put_in_place(temporary: Path, folder: Path, content_id: str) -> None:
    old = None
    if not is_free(folder):
        mark = mark_of(folder)
        if mark is None or mark.content_id != content_id:
            raise OutputError(f"{folder}: is there already and is not this video's; move it, or run again if another run made it "
                              "just now")
        old = temporary_beside(folder)
        folder.rename(old)
    temporary.rename(folder)
    flush(folder.parent)
    if old is not None:
        shutil.rmtree(old)


def _write(video: Path, folder: Path, content_id: str, settings: PictureSettings, by_decoding: bool,
           allow_truncated: bool, stopped: Callable[[], bool]) -> PictureMark:
    reader = reader_for(video, "auto")
    index = reader.index(video, by_decoding=by_decoding)
    samples = sample(index, SamplingRequest(fps=settings.fps))
    came = np.zeros(len(samples), dtype=bool)
    total_bytes = 0
    rows_of: dict[int, list[int]] = {}
    for row, place in enumerate(samples.frames.tolist()):
        rows_of.setdefault(place, []).append(row)
    for place, picture in _pictures(reader.frames(index, samples.wanted, allow_truncated=allow_truncated), settings):
        if stopped():
            raise StoppedError
        first, *others = rows_of[place]
        picture.save(folder / _name(settings, first), quality=settings.quality, subsampling=0)  # colours at full size
        size = (folder / _name(settings, first)).stat().st_size
        for row in others:  # a rate above the video's own shows a frame several times
            shutil.copyfile(folder / _name(settings, first), folder / _name(settings, row))
        total_bytes += size * (1 + len(others))
        came[[first, *others]] = True
    if not came.any():
        raise EmptyVideoError(f"{video}: not one frame decodes")
    lost = int((~came).sum())
    for new, row in enumerate(np.flatnonzero(came).tolist()):  # no gaps in the numbers
        if new != row:
            os.replace(folder / _name(settings, row), folder / _name(settings, new))
    damage = index.damage or (f"{lost} of {len(came)} frames did not decode" if lost else None)
    rate = settings.fps if settings.fps is not None else float(index.fps) if index.fps is not None else None
    return PictureMark(content_id, os.path.abspath(video), settings, rate, damage, samples.timestamps_ms[came].tolist(),
                       total_bytes)


def _pictures(batches: Iterator[FrameBatch], settings: PictureSettings) -> Iterator[tuple[int, Image.Image]]:
    """(place of the frame, picture), scaled down where its shorter side is over the size."""
    from PIL import Image

    for batch in batches:
        for place, pixels in zip(batch.frames.tolist(), batch.pixels, strict=True):
            picture = Image.fromarray(pixels)
            shorter = min(picture.size)
            if settings.size is not None and shorter > settings.size:
                width, height = (max(1, round(side * settings.size / shorter)) for side in picture.size)
                picture = picture.resize((width, height), Image.Resampling.BICUBIC)
            yield place, picture


def _name(settings: PictureSettings, row: int) -> str:
    return settings.prefix % (row + 1)
