"""The videos that may be opened: those below the roots, by ids that tell nothing of their paths."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..extract.videos import VIDEO_SUFFIXES
from .refusal import Refusal, not_found

_FRESH_SECONDS = 5.0
_MOST_VIDEOS = 200_000


@dataclass(frozen=True)
class VideoFile:
    """A video of the library. `path` has no symbolic link in it; `folder` is what of it may be shown."""

    id: str
    path: Path
    folder: str
    size_bytes: int
    modified_ms: float

    @property
    def name(self) -> str:
        return _readable(self.path.name)


class Library:
    """Looks through the roots when asked, at most every few seconds. Links to folders are not followed; a link to a file counts
    where the file itself lies below a root."""

    def __init__(self, roots: Iterable[Path], single: Iterable[Path] = ()):
        self.roots = list(dict.fromkeys(root.expanduser().resolve() for root in roots))
        self._single = {path.expanduser().resolve() for path in single}
        self._lock = threading.Lock()
        self._videos: dict[str, VideoFile] = {}
        self._looked = -1e9

    def videos(self) -> list[VideoFile]:
        """All of them, in order of path."""
        with self._lock:
            if time.monotonic() - self._looked > _FRESH_SECONDS:
                self._videos = {video.id: video for video in self._search()}
                self._looked = time.monotonic()
            return list(self._videos.values())

    def get(self, video_id: str) -> VideoFile:
        """The file as it is now. Raises Refusal: 404 where there never was one, 410 where it is gone."""
        known = self._videos.get(video_id)
        if known is None:
            known = next((video for video in self.videos() if video.id == video_id), None)
        if known is None:
            raise not_found("this video")
        try:
            return self._file(known.path)
        except Refusal as error:
            raise Refusal(410, "gone", f"the file {known.name} is no longer where it was, or can no longer be read",
                          "put it back, or open it where it is now; what was analysed of it is kept") from error

    def open_path(self, path: str) -> VideoFile:
        """A path that a person typed, a relative one below any root. Raises Refusal, in the same words for what is missing and what
        is not allowed."""
        try:
            typed = Path(os.path.expanduser(path))
            there = (root / typed for root in self.roots if not typed.is_absolute() and (root / typed).exists())
            video = self._file(next(there, typed))
        except (ValueError, RuntimeError) as error:  # a null character, ~nobody
            raise not_found(f"the video {path[:200]!r}") from error
        with self._lock:
            self._videos[video.id] = video
        return video

    def contains(self, path: Path) -> bool:
        """Whether a path without links lies below a root."""
        return path in self._single or any(path.is_relative_to(root) for root in self.roots)

    def _file(self, path: Path) -> VideoFile:
        try:
            real = path.resolve(strict=True)
            status = real.stat()
        except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
            raise not_found(f"the video {path.name!r}") from error
        if not (self.contains(real) and real.is_file() and real.suffix.lower() in VIDEO_SUFFIXES):
            raise not_found(f"the video {path.name!r}")
        root = next((root for root in self.roots if real.is_relative_to(root)), real.parent)
        folder = real.parent.relative_to(root).as_posix()
        return VideoFile(video_id(real), real, "" if folder == "." else _readable(folder), status.st_size, status.st_mtime * 1000)

    def _search(self) -> Iterable[VideoFile]:
        count = 0
        for path in sorted(self._single):
            try:
                yield self._file(path)
            except Refusal:
                continue
        for root in self.roots:
            for current, folders, files in os.walk(root, followlinks=False):
                folders[:] = sorted(name for name in folders if not name.startswith("."))
                for name in sorted(files):
                    if name.startswith(".") or Path(name).suffix.lower() not in VIDEO_SUFFIXES:
                        continue
                    try:
                        yield self._file(Path(current, name))
                    except Refusal:
                        continue
                    count += 1
                    if count >= _MOST_VIDEOS:
                        return


def video_id(path: Path) -> str:
    """The same at every start, so that addresses of the page can be kept."""
    return "v" + hashlib.sha256(b"clipreel video\0" + os.fsencode(path)).hexdigest()[:20]


def _readable(name: str) -> str:
    """Of a name that is no UTF-8 what can be read of it; names may hold any bytes."""
    return os.fsencode(name).decode("utf-8", "replace")
