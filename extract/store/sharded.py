"""A folder of files of many videos each: `videos-00000.h5` or `.tar`, every one written whole and never added to.

Runs that share the folder number their files by one count, and none ever takes a name that is taken. Where two files hold one
video, after a crash between the new row and the removal of the old one, the file with the higher number counts.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from ...errors import StoreConflictError, StoredDataError
from ..features import Features, Settings
from .base import Mark
from .files import flush, stage, write_whole
from .hdf5 import SUFFIX, group_name
from .hdf5_shard import HDF5_SHARD, holds_many_videos, holds_one_video
from .shard import Entry, ShardFormat, stamp_of
from .store import FORMATS, FeatureStore
from .webdataset import SUFFIX as TAR_SUFFIX
from .webdataset import WEBDATASET

VIDEOS_PER_FILE = 1000  # of formats that have no other layout
BYTES_PER_FILE = 256 << 20  # of features: a file ends here too, for its videos wait in memory
_NAME = "videos-{number:05d}{suffix}"


class ShardedStore(FeatureStore):
    """The verbs of a FeatureStore. Threads share it; what other runs commit is seen when it is asked for."""

    def __init__(self, folder: Path, format_name: str, videos_per_file: int):
        self.folder, self.place, self.videos_per_file = folder, str(folder), videos_per_file
        self._suffix, self._shards = SHARD_FORMATS[format_name]
        self._pattern = re.compile(r"videos-([0-9]{5,})" + re.escape(self._suffix))
        self._lock = threading.RLock()
        self._folder_time: int | None = None
        self._stamps: dict[str, tuple[int, int, int]] = {}
        self._files: dict[str, dict[str, Entry]] = {}  # file -> slot -> its row
        self._newest: dict[str, str] = {}  # slot -> the file that counts
        self._settings: dict[str, Settings] = {}  # one object for all rows of one fingerprint

    def prepare(self) -> None:
        """As FeatureStore's. Raises StoredDataError for a file that is damaged or another program's, StoreConflictError where
        videos have files of their own."""
        super().prepare()
        if self._suffix == SUFFIX:
            for path in self.folder.glob(f"*{SUFFIX}"):
                if holds_one_video(path):
                    raise StoreConflictError(f"{path} is a video's own file, and videos_per_file= makes files of many: give "
                                             "another output_path, or go on without videos_per_file")
        with self.locked():
            self.refresh()
            self._drop(self._shadowed())

    def write(self, key: str, features: Features) -> None:
        self.write_many({key: features})

    def write_many(self, videos: Mapping[str, Features]) -> Path:
        """One new file with these videos; older rows of theirs are taken out of the files they are in. For a caller that holds
        `locked`. Raises OSError; then no file is there, or the new one and the old rows, which the next run removes."""
        number = 1 + max(map(self._number, os.listdir(self.folder)), default=-1)
        path = self.folder / _NAME.format(number=number, suffix=self._suffix)
        temporary = stage(path, lambda stream: self._shards.write(stream, videos))
        try:
            while not _link(temporary, path):  # another run, on a machine whose locks are not seen here
                number += 1
                path = self.folder / _NAME.format(number=number, suffix=self._suffix)
        finally:
            temporary.unlink(missing_ok=True)
        flush(self.folder)
        self.refresh()
        self._drop(self._shadowed())
        return path

    def read(self, key: str, *, verify: bool = False) -> Features:
        with self._lock:
            if self._time_of_folder() != self._folder_time:
                self.refresh()
            file, entry = self._row(key)
        if file is None or entry is None:
            raise StoredDataError(f"{self.folder / key}: no features with this key in the files of many videos there")
        if verify:  # what is held in memory has no digests
            entry = next(one for one in self._shards.entries(self.folder / file) if one.mark.key == entry.mark.key)
        return self._shards.read(self.folder / file, entry, verify=verify)

    def mark(self, key: str) -> Mark | None:
        """Its `contents` are left out."""
        with self._lock:
            if self._time_of_folder() != self._folder_time:
                self.refresh()
            _, entry = self._row(key)
        return entry.mark if entry is not None else None

    def occupant(self, key: str) -> Mark | None:
        return self.mark(key)

    def keys(self) -> list[str]:
        with self._lock:
            self.refresh()
            return sorted(self._files[file][slot].mark.key for slot, file in self._newest.items())

    def refresh(self) -> None:
        """Take up what other runs have committed. Raises StoredDataError."""
        with self._lock:
            self._folder_time = self._time_of_folder()
            stamps = {}
            for name in os.listdir(self.folder):
                if self._pattern.fullmatch(name):
                    stamps[name] = stamp_of((self.folder / name).stat())
            stale = [name for name, stamp in self._stamps.items() if stamps.get(name) != stamp]
            for name in stale:
                del self._files[name], self._stamps[name]
            if stale:
                self._newest = {}
                self._count(self._files)
            fresh = [name for name in stamps if name not in self._files]
            for name in fresh:
                self._files[name], self._stamps[name] = self._rows_of(name), stamps[name]
            self._count(fresh)

    def _rows_of(self, name: str) -> dict[str, Entry]:
        try:
            return {slot_of(entry.mark.key): self._lean(entry) for entry in self._shards.entries(self.folder / name)}
        except StoredDataError as error:
            raise StoredDataError(f"{error}; move it away, and its videos are done again") from error

    def _lean(self, entry: Entry) -> Entry:
        """Without what only a reader of the features needs, for there may be a million of them."""
        mark = entry.mark
        settings = self._settings.setdefault(mark.provenance.settings.fingerprint, mark.provenance.settings)
        return replace(entry, mark=replace(mark, contents={}, provenance=replace(mark.provenance, settings=settings)))

    def _count(self, names: Iterable[str]) -> None:
        for name in names:
            for slot in self._files[name]:
                other = self._newest.get(slot)
                if other is None or self._number(name) > self._number(other):
                    self._newest[slot] = name

    def _number(self, name: str) -> int:
        match = self._pattern.fullmatch(name)
        return int(match[1]) if match is not None else -1

    def _row(self, key: str) -> tuple[str | None, Entry | None]:
        file = self._newest.get(slot_of(key))
        return file, self._files[file][slot_of(key)] if file is not None else None

    def _time_of_folder(self) -> int:
        return self.folder.stat().st_mtime_ns

    def _shadowed(self) -> dict[str, list[str]]:
        """file -> slots of which a newer file has a row."""
        if len(self._newest) == sum(len(rows) for rows in self._files.values()):
            return {}
        found = {name: [slot for slot in rows if self._newest[slot] != name] for name, rows in self._files.items()}
        return {name: slots for name, slots in found.items() if slots}

    def _drop(self, shadowed: dict[str, list[str]]) -> None:
        """Write the files anew without these rows; a file that has no other goes."""
        for name, slots in shadowed.items():
            path, gone = self.folder / name, set(slots)
            kept = {entry.mark.key: self._shards.read(path, entry) for slot, entry in self._files[name].items() if slot not in gone}
            if kept:
                write_whole(path, lambda stream, kept=kept: self._shards.write(stream, kept))
            else:
                path.unlink(missing_ok=True)
                flush(self.folder)
        if shadowed:
            self.refresh()


def slot_of(key: str) -> str:
    """What two keys share that cannot lie in one file side by side."""
    return group_name(key)


def open_store(folder: Path, format_name: str, videos_per_file: int | None) -> FeatureStore:
    """The store of a run. Raises StoreConflictError where a folder has files of many videos, and a file a video is asked for."""
    if videos_per_file is not None or format_name not in FORMATS:
        return ShardedStore(folder, format_name, videos_per_file or VIDEOS_PER_FILE)
    store = FeatureStore(folder, format_name)
    if store.format is FORMATS["save_hdf5"]:
        for path in folder.glob(f"videos-*{SUFFIX}"):
            if holds_many_videos(path):
                raise StoreConflictError(f"{path} is a file of many videos: go on with videos_per_file=, or give another "
                                         "output_path")
    return store


def _link(temporary: Path, path: Path) -> bool:
    """The file under its name, all at once; False when the name is taken."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    return True


SHARD_FORMATS: dict[str, tuple[str, ShardFormat]] = {
    "save_hdf5": (SUFFIX, HDF5_SHARD),
    "save_h5": (SUFFIX, HDF5_SHARD),
    "save_webdataset": (TAR_SUFFIX, WEBDATASET),
}
