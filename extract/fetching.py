"""Videos at URLs as files on this machine, for as long as they are decoded: no more of them than decode threads."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

from ..errors import UnreadableVideoError
from . import remote
from .store.files import remove_stale, temporary_beside
from .videos import VideoItem, content_id_of_file, content_id_of_pieces

_ROOM = 1 << 28  # bytes of a disk that are left free


def identified_at_url(item: VideoItem) -> tuple[VideoItem, str]:
    """The item with the size of what is at its URL, and its content id, which is that of the same file here. Raises
    UnreadableVideoError."""
    assert item.url is not None
    try:
        try:
            with remote.opened(item.url) as (file, size):
                return replace(item, size_bytes=size), content_id_of_pieces(hashlib.sha256(), file, size, item)
        except io.UnsupportedOperation:  # no ranges there: the whole of it, and once more to decode
            with tempfile.NamedTemporaryFile() as whole:
                remote.fetch(item.url, whole.name)
                return replace(item, size_bytes=os.path.getsize(whole.name)), content_id_of_file(Path(whole.name), item)
    except FileNotFoundError as error:
        raise UnreadableVideoError(f"{item}: {error.strerror}") from error
    except OSError as error:
        raise UnreadableVideoError(f"{item}: cannot be read ({error.strerror or error})") from error


class LocalVideo:
    """A video's file, and how many still need it; one that was fetched is removed when nobody does."""

    def __init__(self, path: Path, fetched: bool):
        self.path, self._fetched = path, fetched
        self._users, self._lock = 1, threading.Lock()

    def share(self, users: int) -> None:
        with self._lock:
            self._users += users

    def release(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._fetched:
                self.path.unlink(missing_ok=True)


class Fetcher:
    """Fetches into a folder of its own in `folder` (None: the system's for temporary files), which `close` removes. What killed
    runs on this machine left there is removed before."""

    def __init__(self, folder: str | None):
        self._folder = Path(folder or tempfile.gettempdir()).expanduser()
        self._own: Path | None = None
        self._lock, self._number = threading.Lock(), 0

    def local(self, item: VideoItem, content_id: str | None) -> LocalVideo:
        """The item's file: its own, or fetched. Raises UnreadableVideoError where it cannot be had, or is another by now than that
        of the content id."""
        if item.url is None:
            return LocalVideo(item.path, fetched=False)
        try:
            video = LocalVideo(self._free_name(item), fetched=True)
        except OSError as error:
            raise UnreadableVideoError(f"{item}: cannot be fetched to {self._folder} ({error.strerror or error}); give another "
                                       "tmp_path=") from error
        try:
            remote.fetch(item.url, str(video.path))
            if content_id is not None and content_id_of_file(video.path, item) != content_id:
                raise UnreadableVideoError(f"{item}: is another file than when this run began, or came incomplete; start again")
        except OSError as error:
            video.release()
            raise UnreadableVideoError(f"{item}: cannot be fetched ({error.strerror or error})") from error
        except BaseException:
            video.release()
            raise
        return video

    def close(self) -> None:
        with self._lock:
            if self._own is not None:
                shutil.rmtree(self._own, ignore_errors=True)

    def _free_name(self, item: VideoItem) -> Path:
        with self._lock:
            if self._own is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                remove_stale(self._folder)
                own = temporary_beside(self._folder / "clipreel")
                own.mkdir()
                self._own = own
            self._number += 1
            number = self._number
        free = shutil.disk_usage(self._own).free - _ROOM
        if item.size_bytes is not None and item.size_bytes > free:
            raise OSError(f"it has {item.size_bytes} bytes, and {max(free, 0)} are free there")
        suffix = remote.path_in(item.url or "").suffix[:20]
        return self._own / f"{number}{suffix if os.sep not in suffix else ''}"
