"""A file of many videos: what a way to lay one on disk has to do."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from .. import remote
from ..features import Features
from ..remote import RemoteFile
from .base import Mark

Stamp = tuple[object, ...]
SHARD_NAME = re.compile(r"videos-([0-9]{5,})(\.[a-z0-9]+)")  # its number, and the format's suffix


@dataclass(frozen=True)
class Entry:
    """One video of a file. `places`: array -> (offset, bytes) of its .npy, where the format knows them, in the file that had this
    `stamp` (one that was written anew since has them elsewhere)."""

    mark: Mark
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    stamp: Stamp | None = None


def stamp_of(status: os.stat_result) -> Stamp:
    """What tells a file from another that took its name."""
    return status.st_ino, status.st_size, status.st_mtime_ns


def stamp_at(details: Mapping[str, Any]) -> Stamp:
    """The same of what fsspec says of a file."""
    version = next((details[name] for name in ("ETag", "etag", "mtime", "LastModified", "created") if details.get(name)), None)
    return str(version), int(details["size"])


@contextmanager
def opened(file: Path | RemoteFile) -> Iterator[tuple[BinaryIO, int, Stamp]]:
    """To seek and read in, with the size in bytes; at a URL by requests for ranges. Raises OSError."""
    if isinstance(file, RemoteFile):
        with remote.opened(file.url, ahead=1 << 18) as (stream, size):
            yield stream, size, stamp_at(getattr(stream, "details", {"size": size}))
        return
    with open(file, "rb") as stream:
        status = os.fstat(stream.fileno())
        yield stream, status.st_size, stamp_of(status)


class ShardFormat(Protocol):
    """One way to lay many videos in one file. `entries` reads the file's own index, not the videos; it and `read` raise
    StoredDataError for what is damaged or not ours."""

    def write(self, stream: BinaryIO, videos: Mapping[str, Features]) -> None: ...

    def entries(self, file: Path | RemoteFile) -> Iterator[Entry]: ...

    def read(self, file: Path | RemoteFile, entry: Entry, *, verify: bool = False) -> Features: ...
