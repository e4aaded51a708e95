"""The readers by name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ...errors import ConfigError
from .base import FrameReader
from .decord import DecordReader
from .images import ImagesReader
from .pyav import PyavReader
from .torchcodec import TorchcodecReader


def reader_for(path: Path, name: str, fps: float | None = None) -> FrameReader:
    """The reader for a video: `auto` is images for a folder, else pyav. `fps` is for folders of pictures."""
    if name == "auto":
        name = "images" if os.path.isdir(path) else "pyav"
    if name not in READERS:
        raise ConfigError(f"reader={name}: allowed are auto, {', '.join(READERS)}")
    return READERS[name](fps)


READERS: dict[str, Callable[[float | None], FrameReader]] = {
    "pyav": lambda fps: PyavReader(),
    "decord": lambda fps: DecordReader(),
    "images": ImagesReader,
    "torchcodec": lambda fps: TorchcodecReader(),
}
