"""The readers by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .base import FrameReader
from .decord import DecordReader
from .images import ImagesReader
from .pyav import PyavReader


def reader_for(path: Path, name: str, fps: float | None = None) -> FrameReader:
    """The reader for a video: `auto` is images for a folder, else pyav. `fps` is for folders of pictures."""
    if name == "auto":
        name = "images" if path.is_dir() else "pyav"
    return READERS[name](fps)


READERS: dict[str, Callable[[float | None], FrameReader]] = {
    "pyav": lambda fps: PyavReader(),
    "decord": lambda fps: DecordReader(),
    "images": ImagesReader,
}
