"""A folder of files of many videos each: `videos-00000.h5` or `.tar`, every one written whole and never added to.

Runs that share the folder number their files by one count, and none ever takes a name that is taken. Where two files hold one
video, after a crash between the new row and the removal of the old one, the file with the higher number counts.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from ...errors import StoreConflictError, StoredDataError
from ..features import Features, Settings
from ..remote import RemoteFile
from .base import Mark
from .files import flush, link, stage, write_whole
from .hdf5 import SUFFIX, group_name
from .hdf5_shard import HDF5_SHARD, holds_many_videos, holds_one_video
from .shard import SHARD_NAME, Entry, ShardFormat, Stamp, stamp_of
from .store import FORMATS, FeatureStore
from .webdataset import SUFFIX as TAR_SUFFIX
from .webdataset import WEBDATASET

VIDEOS_PER_FILE = 1000  # of formats that have no other layout
BYTES_PER_FILE = 256 << 20  # of features: a file ends here too, for its videos wait in memory


class ShardedStore(FeatureStore):
    """The verbs of a FeatureStore. Threads share it; what other runs commit is seen when it is asked for."""

    def __init__(self, folder: Path | None, format_name: str, videos_per_file: int):
        self.videos_per_file = videos_per_file
        if folder is not None:
            self.folder, self.place = folder, str(folder)
        self._suffix, self._shards = SHARD_FORMATS[format_name]
        self._lock = threading.RLock()
        self._seen: object = None
        self._stamps: dict[str, Stamp] = {}
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

    def write_many(self, videos: Mapping[str, Features]) -> str:
        """One new file with these videos, and its name; older rows of theirs are taken out of the files they are in. For a caller
        that holds `locked`. Raises OSError; then no file is there, or the new one and the old rows, which the next run removes."""
        name = self._add(1 + max(map(self._number, self._listed()), default=-1), videos)
        self.refresh()
        self._drop(self._shadowed())
        return name

    def read(self, key: str, *, verify: bool = False) -> Features:
        with self._lock:
            self._look()
            file, entry = self._row(key)
        if file is None or entry is None:
            raise StoredDataError(f"{self.place}/{key}: no features with this key in the files of many videos there")
        if verify:  # what is held in memory has no digests
            entry = next(one for one in self._shards.entries(self._file(file)) if one.mark.key == entry.mark.key)
        return self._shards.read(self._file(file), entry, verify=verify)

    def mark(self, key: str) -> Mark | None:
        """Its `contents` are left out."""
        with self._lock:
            self._look()
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
            self._seen = self._now()
            stamps = self._listed()
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
            return {slot_of(entry.mark.key): self._lean(entry) for entry in self._shards.entries(self._file(name))}
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
        match = SHARD_NAME.fullmatch(name)
        return int(match[1]) if match is not None else -1

    def _row(self, key: str) -> tuple[str | None, Entry | None]:
        file = self._newest.get(slot_of(key))
        return file, self._files[file][slot_of(key)] if file is not None else None

    def _shadowed(self) -> dict[str, list[str]]:
        """file -> slots of which a newer file has a row."""
        if len(self._newest) == sum(len(rows) for rows in self._files.values()):
            return {}
        found = {name: [slot for slot in rows if self._newest[slot] != name] for name, rows in self._files.items()}
        return {name: slots for name, slots in found.items() if slots}

    def _drop(self, shadowed: dict[str, list[str]]) -> None:
        """Write the files anew without these rows; a file that has no other goes."""
        for name, slots in shadowed.items():
            gone = set(slots)
            kept = [entry for slot, entry in self._files[name].items() if slot not in gone]
            if kept:
                self._replace(name, kept)
            else:
                self._remove(name)
        if shadowed:
            self.refresh()

    def _look(self) -> None:
        """Refresh where something may have changed."""
        if self._seen != self._now():
            self.refresh()

    def _is_ours(self, name: str) -> bool:
        match = SHARD_NAME.fullmatch(name)
        return match is not None and match[2] == self._suffix

    def _name(self, number: int) -> str:
        return f"videos-{number:05d}{self._suffix}"

    # where the files are; at a URL this is otherwise

    def _file(self, name: str) -> Path | RemoteFile:
        return self.folder / name

    def _now(self) -> object:
        """What is another one after a change."""
        return self.folder.stat().st_mtime_ns

    def _listed(self) -> dict[str, Stamp]:
        """The files of this format."""
        return {name: stamp_of((self.folder / name).stat()) for name in os.listdir(self.folder) if self._is_ours(name)}

    def _add(self, number: int, videos: Mapping[str, Features]) -> str:
        """A new file of this number, or of the next that nobody has taken; its name."""
        temporary = stage(self.folder / self._name(number), lambda stream: self._shards.write(stream, videos))
        try:
            while not link(temporary, self.folder / self._name(number)):  # another run's, whose locks are not seen here
                number += 1
        finally:
            temporary.unlink(missing_ok=True)
        flush(self.folder)
        return self._name(number)

    def _replace(self, name: str, kept: list[Entry]) -> None:
        path = self.folder / name
        videos = {entry.mark.key: self._shards.read(path, entry) for entry in kept}
        write_whole(path, lambda stream: self._shards.write(stream, videos))

    def _remove(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)
        flush(self.folder)


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


SHARD_FORMATS: dict[str, tuple[str, ShardFormat]] = {
    "save_hdf5": (SUFFIX, HDF5_SHARD),
    "save_h5": (SUFFIX, HDF5_SHARD),
    "save_webdataset": (TAR_SUFFIX, WEBDATASET),
}
