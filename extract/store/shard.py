"""A file of many videos: what a way to lay one on disk has to do."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from ..features import Features
from .base import Mark


@dataclass(frozen=True)
class Entry:
    """One video of a file. `places`: array -> (offset, bytes) of its .npy, where the format knows them, in the file that had this
    `stamp` (one that was written anew since has them elsewhere)."""

    mark: Mark
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    stamp: tuple[int, int, int] | None = None


def stamp_of(status: os.stat_result) -> tuple[int, int, int]:
    """What tells a file from another that took its name."""
    return status.st_ino, status.st_size, status.st_mtime_ns


class ShardFormat(Protocol):
    """One way to lay many videos in one file. `entries` reads the file's own index, not the videos; it and `read` raise
    StoredDataError for what is damaged or not ours."""

    def write(self, stream: BinaryIO, videos: Mapping[str, Features]) -> None: ...

    def entries(self, path: Path) -> Iterator[Entry]: ...

    def read(self, path: Path, entry: Entry, *, verify: bool = False) -> Features: ...
