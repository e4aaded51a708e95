"""The keys of `frames`."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import ConfigError
from .schema import key

PICTURE_FORMATS = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class FramesConfig:
    """`python main.py frames VIDEOS FRAMES`: the frames of videos as pictures, a folder a video."""

    videos: tuple[str, ...] = key((), "a video, a folder (searched to its bottom), a glob, or a […] list of them", positional=True)
    output: str = key("", "where the folders of pictures go", positional=True)
    fps: float | None = key(None, "pictures a second, the frame on screen at each instant; null: every frame of the file")
    size: int | None = key(None, "pixels of the shorter side; smaller videos are not enlarged; null: as the video is")
    prefix: str = key("image_%05d.jpg", "names of the pictures, counted from 1; .jpg or .png")
    quality: int = key(95, "of JPEG, 1 to 100")
    accepted_formats: tuple[str, ...] = key((), "which files are videos, such as [.mp4, .mkv]; []: all that extract takes")
    file_list: str | None = key(None, "only the videos that this text file names, a line each: a path, a file name or a stem")
    begin: int = key(0, "of the videos in order of names: the first one to do, counted from 0")
    end: int | None = key(None, "the first one not to do any more; null: all")
    parallel: bool = key(False, "several videos at once")
    workers: int | None = key(None, "how many at once; null: one a core (parallel=true)")
    allow_truncated: bool = key(False, "keep what decodes of a video that ends early or breaks inside")
    overwrite: bool = key(False, "make pictures again, also in place of those with other settings")
    dry_run: bool = key(False, "say what would be done, and stop")

    def __post_init__(self):
        if not self.videos or not self.output:
            raise ConfigError("frames needs videos and a folder for the pictures: python main.py frames VIDEOS FRAMES")
        for name, allowed in (("fps", "a number above 0, or null for every frame"), ("size", "pixels above 0, or null"),
                              ("workers", "a whole number above 0, or null for one a core")):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ConfigError(f"{name}={value}: allowed is {allowed}")
        if not 1 <= self.quality <= 100:
            raise ConfigError(f"quality={self.quality}: allowed is 1 to 100")
        if self.begin < 0 or (self.end is not None and self.end <= self.begin):
            raise ConfigError(f"begin={self.begin}, end={self.end}: allowed is 0 <= begin < end")
        if self.workers is not None and not self.parallel:
            raise ConfigError(f"workers={self.workers} goes with parallel=true")
        try:
            names = {self.prefix % number for number in (1, 2, 100_000)}
        except (TypeError, ValueError):
            names = set()
        if len(names) < 3 or not self.prefix.lower().endswith(PICTURE_FORMATS) or "/" in self.prefix or self.prefix.startswith("."):
            raise ConfigError(f"prefix={self.prefix}: allowed is a file name with one number in it, such as image_%05d.jpg, "
                              f"that ends in {', '.join(PICTURE_FORMATS)}")
