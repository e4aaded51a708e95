"""Features at a URL (s3://, …): the same files under the same names as in a folder, each there whole or not at all.

Formats know files only: what they write and read goes by way of a temporary folder that holds one video's. Nothing is ever renamed
(an object store would copy); the mark is sent last.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from ...errors import StoredDataError
from .. import remote
from ..features import Features
from ..remote import RemoteFile
from .base import Mark
from .find import StoredVideo, find_stored
from .hdf5 import HDF5, SUFFIX
from .hdf5_shard import HDF5_SHARD, holds_many_videos
from .object_place import StoreAtUrl
from .separate import META_SUFFIX, NUMPY, PICKLE, SeparateFiles, mark_of_file
from .shard import SHARD_NAME, ShardFormat
from .store import FORMATS, FeatureStore
from .webdataset import SUFFIX as TAR_SUFFIX
from .webdataset import WEBDATASET


class ObjectStore(StoreAtUrl):
    """The verbs of a FeatureStore, files of its own a video."""

    def __init__(self, url: str, format_name: str):
        super().__init__(url)
        self._format_name, self.format = format_name, FORMATS[format_name]
        self._mark_suffix = SUFFIX if self.format is HDF5 else META_SUFFIX

    def write(self, key: str, features: Features) -> None:
        with tempfile.TemporaryDirectory(prefix="clipreel-") as name:
            folder, mark = Path(name), f"{key}{self._mark_suffix}"
            self.format.write(folder, key, features)
            arrays = [path for path in folder.iterdir() if path.name != mark]
            if arrays:
                remote.remove(self._url(mark))  # from here until the new mark stands, the key is half written
                remote.send([(str(path), self._url(path.name)) for path in arrays])
            remote.send([(str(folder / mark), self._url(mark))])

    def read(self, key: str, *, verify: bool = False) -> Features:
        with self._mirrored(key, whole=True) as store:
            if store is None:
                raise StoredDataError(f"{self.place}/{key}: no whole features with this key (run the extraction again)")
            return store.read(key, verify=verify)

    def mark(self, key: str) -> Mark | None:
        with self._mirrored(key, whole=False) as store:
            return store.mark(key) if store is not None else None

    def holds(self, key: str, mark: Mark) -> bool:
        return not isinstance(self.format, SeparateFiles) or all(name.endswith(self.format.suffix) for name in mark.contents)

    def occupant(self, key: str) -> Mark | None:
        with self._mirrored(key, whole=False) as store:
            return store.occupant(key) if store is not None else None

    def keys(self) -> list[str]:
        found = (name.rpartition("/")[2] for name in remote.names_below(self.place))
        return [key for key in sorted(name.removesuffix(self._mark_suffix) for name in found if name.endswith(self._mark_suffix))
                if self.mark(key) is not None]

    @contextmanager
    def _mirrored(self, key: str, *, whole: bool) -> Iterator[FeatureStore | None]:
        """A temporary folder with what is stored under the key, or (not `whole`) with files that have but its sizes; None where
        there is no mark."""
        name = f"{key}{self._mark_suffix}"
        content = remote.read_if_there(self._url(name), whole=self._mark_suffix == SUFFIX)
        if content is None:
            yield None
            return
        with tempfile.TemporaryDirectory(prefix="clipreel-") as folder:
            (Path(folder) / name).write_bytes(content)
            mark = mark_of_file(Path(folder), key) if self._mark_suffix == META_SUFFIX else None
            for file in mark.contents if mark is not None else ():
                if not file.startswith(f"{key}_") or "/" in file:
                    continue  # no file of this key: not ours, whatever names it
                with suppress(FileNotFoundError):  # half written
                    if whole:
                        remote.fetch(self._url(file), f"{folder}/{file}")
                    else:
                        size = remote.size(self._url(file))
                        with open(f"{folder}/{file}", "wb") as empty:
                            empty.truncate(size)
            yield FeatureStore(Path(folder), self._format_name)


def find_stored_anywhere(name: str) -> Iterator[StoredVideo]:
    """`find_stored` of a path, or of a URL."""
    return find_stored_at(name) if remote.is_url(name) else find_stored(Path(remote.local_name(name)).expanduser())


def find_stored_at(url: str) -> Iterator[StoredVideo]:
    """Everything stored at a URL or below it, in order of names. Raises StoredDataError."""
    try:
        named = [url] if url.endswith((META_SUFFIX, SUFFIX, TAR_SUFFIX)) else sorted(remote.names_below(url))
        for name in named:
            place, _, file = name.rpartition("/")
            shards = _shards_at(name, named=name == url)
            if shards is not None:
                yield from _of_many(RemoteFile(name), shards)
                continue
            suffix = next((suffix for suffix in (META_SUFFIX, SUFFIX) if file.endswith(suffix)), None)
            if suffix is None or file.startswith("._"):
                continue
            key = file.removesuffix(suffix)
            store, mark = _store_of(place, key, suffix)
            yield StoredVideo(key, Path(remote.path_in(name)), f"{place}/{key}", mark, partial(store.read, key))
    except OSError as error:
        raise StoredDataError(f"{url}: cannot be read ({error.strerror or error})") from error


def _shards_at(url: str, *, named: bool) -> ShardFormat | None:
    """How the file holds many videos, if it does; who asks for a folder has HDF5 files looked into that are called as ours are."""
    if url.endswith(TAR_SUFFIX):
        return WEBDATASET
    asked = url.endswith(SUFFIX) and (named or SHARD_NAME.fullmatch(url.rpartition("/")[2]) is not None)
    return HDF5_SHARD if asked and holds_many_videos(RemoteFile(url)) else None


def _of_many(file: RemoteFile, shards: ShardFormat) -> Iterator[StoredVideo]:
    path = Path(remote.path_in(file.url))
    try:
        entries = sorted(shards.entries(file), key=lambda entry: entry.mark.key)
    except StoredDataError as error:  # as in a folder: reading says so
        yield StoredVideo(path.stem, path, str(file), None, partial(_raise, error))
        return
    for entry in entries:
        yield StoredVideo(entry.mark.key, path, f"{file}:{entry.mark.key}", entry.mark, partial(shards.read, file, entry))


def _raise(error: StoredDataError, *, verify: bool) -> Features:
    raise error


def _store_of(place: str, key: str, suffix: str) -> tuple[ObjectStore, Mark | None]:
    """The store in whose format the key is whole."""
    names = ["save_hdf5"] if suffix == SUFFIX else [name for name, one in FORMATS.items() if one in (NUMPY, PICKLE)]
    stores = [ObjectStore(place, name) for name in names]
    for store in stores:
        mark = store.mark(key)
        if mark is not None:
            return store, mark
    return stores[0], None
