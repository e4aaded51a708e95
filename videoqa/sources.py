"""Where a video's pictures and subtitles lie, in the layouts that people keep Video-MME in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..errors import InputError

VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v")
VIDEO_FOLDERS = (".", "data", "video", "videos")
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png")
FRAMES_PER_SECOND = 1.0  # of a folder of frames: they are evenly spaced, and nothing says how far apart


@dataclass(frozen=True)
class VideoSource:
    """`video` is a file or a folder of frames; `subtitles` is an .srt, a subtitles.txt or a <videoID>.json."""

    video: Path | None
    subtitles: Path | None
    problem: str | None = None  # why there is no video


class VideoRoot:
    """A folder of videos. Layouts, in this order:

    `<videoID>/frames/*.jpg` with `<videoID>/<videoID>.json` and `subtitles.txt`, at the root or in its `output/`;
    `<videoID>.mp4` (also .mkv, .MP4 …) at the root or in `data/`, `video/`, `videos/`, with `subtitle/<videoID>.srt` (also
    beside the root).
    """

    def __init__(self, name: str):
        self.folder = Path(name).expanduser()
        if not self.folder.is_dir():
            raise InputError(f"video_root={name}: there is no such folder")

    def find(self, name: str) -> VideoSource:
        for folder in (self.folder / name, self.folder / "output" / name):
            frames = folder / "frames"
            if frames.is_dir():
                if not _holds_pictures_only(frames):
                    return VideoSource(None, None, f"{frames}: holds no picture, or something else beside its pictures")
                return VideoSource(frames, _first(folder / f"{name}.json", folder / "subtitles.txt"))
        video = self._videos.get(name)
        if video is None:
            return VideoSource(None, None, f"{self.folder}: neither {name}/frames nor {name}{VIDEO_SUFFIXES[0]} is there, at its "
                                           f"root, in output/ or in {'/, '.join(VIDEO_FOLDERS[1:])}/")
        return VideoSource(video, self._subtitles.get(name))

    @cached_property
    def _videos(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for folder in VIDEO_FOLDERS:
            for path in _files(self.folder / folder):
                if path.suffix.lower() in VIDEO_SUFFIXES:
                    found.setdefault(path.stem, path)
        return found

    @cached_property
    def _subtitles(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for folder in (self.folder, self.folder / "subtitle", self.folder.resolve().parent / "subtitle"):
            for path in _files(folder):
                if path.suffix.lower() == ".srt":
                    found.setdefault(path.stem, path)
        return found


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []


def _holds_pictures_only(folder: Path) -> bool:
    shown = [path for path in folder.iterdir() if not path.name.startswith(".")]
    return bool(shown) and all(path.suffix.lower() in PICTURE_SUFFIXES for path in shown)


def _first(*paths: Path) -> Path | None:
    return next((path for path in paths if path.is_file()), None)
