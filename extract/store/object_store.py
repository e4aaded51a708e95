"""Features at a URL (s3://, …): the same files under the same names as in a folder, each there whole or not at all.

Formats know files only: what they write and read goes by way of a temporary folder that holds one video's. Nothing is ever renamed
(an object store would copy); the mark is sent last.
"""

from __future__ import annotations

import logging
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ...errors import StoredDataError
from .. import remote
from ..features import Features
from .base import Mark
from .find import StoredVideo, find_stored
from .hdf5 import HDF5, SUFFIX, group_name
from .separate import META_SUFFIX, NUMPY, PICKLE, SeparateFiles, mark_of_file
from .store import FORMATS, FeatureStore

log = logging.getLogger("clipreel")
_LOCK_SECONDS = 60.0  # a lock that stood unchanged for so long, while it was looked at, is of a run that died
# Protocols whose folders are but parts of names; s3fs would make a bucket of one that is misspelt.
_WITHOUT_FOLDERS = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oci", "memory"}


class ObjectStore(FeatureStore):
    """The verbs of a FeatureStore for a prefix at a URL. It has no `folder`."""

    def __init__(self, url: str, format_name: str):
        self.place, self._format_name, self.format = url.rstrip("/"), format_name, FORMATS[format_name]
        self.owner = secrets.token_hex(8)  # of locks; workers of one run have one
        self._mark_suffix = SUFFIX if self.format is HDF5 else META_SUFFIX

    def prepare(self) -> None:
        """Raises OSError where nothing can be written there."""
        fs, path = remote.connect(self.place)
        if not _WITHOUT_FOLDERS.intersection([fs.protocol] if isinstance(fs.protocol, str) else fs.protocol):
            with remote.os_errors(self.place):
                fs.makedirs(path, exist_ok=True)
        probe = f"{self.place}/.clipreel-write-test-{secrets.token_hex(4)}"
        if remote.create(probe, b"one") and remote.create(probe, b"two"):
            log.warning("%s: what is there is written over where only new files were asked for: two runs at once may do a video "
                        "twice", self.place)
        remote.remove(probe)

    @contextmanager
    def locked(self, name: str = "") -> Iterator[None]:
        """Alone among the runs that write videos of this name here. Raises OSError."""
        lock, own = self._lock(name), f"{self.owner}/{secrets.token_hex(8)}".encode()
        seen, since = None, time.monotonic()
        while not remote.create(lock, own):
            now = remote.read_if_there(lock)
            if now != seen:
                seen, since = now, time.monotonic()
            elif time.monotonic() - since > _LOCK_SECONDS:
                remote.remove(lock)
            time.sleep(0.05)
        try:
            yield
        finally:
            with suppress(OSError):
                remote.remove(lock)

    def unlock(self, name: str) -> None:
        """Take away the lock of an owner who died. Raises OSError."""
        if (remote.read_if_there(self._lock(name)) or b"").startswith(f"{self.owner}/".encode()):
            remote.remove(self._lock(name))

    def _lock(self, name: str) -> str:
        return f"{self.place}/.leases/write-{group_name(name)}"

    def write(self, key: str, features: Features) -> None:
        with tempfile.TemporaryDirectory(prefix="clipreel-") as name:
            folder, mark = Path(name), f"{key}{self._mark_suffix}"
            self.format.write(folder, key, features)
            arrays = [path for path in folder.iterdir() if path.name != mark]
            if arrays:
                remote.remove(self._url(mark))  # from here until the new mark stands, the key is half written
                remote.send([(str(path), self._url(path.name)) for path in arrays])
            remote.send([(str(folder / mark), self._url(mark))])

    def write_beside(self, name: str, content: bytes) -> None:
        remote.write_bytes(self._url(name), content)

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

    def _url(self, name: str) -> str:
        return f"{self.place}/{group_name(name)}"


def find_stored_anywhere(name: str) -> Iterator[StoredVideo]:
    """`find_stored` of a path, or of a URL."""
    return find_stored_at(name) if remote.is_url(name) else find_stored(Path(remote.local_name(name)).expanduser())


def find_stored_at(url: str) -> Iterator[StoredVideo]:
    """Everything stored by videos of their own at a URL or below it, in order of names. Raises StoredDataError."""
    try:
        named = [url] if url.endswith((META_SUFFIX, SUFFIX)) else sorted(remote.names_below(url))
        for name in named:
            place, _, file = name.rpartition("/")
            suffix = next((suffix for suffix in (META_SUFFIX, SUFFIX) if file.endswith(suffix)), None)
            if suffix is None or file.startswith("._"):
                continue
            key = file.removesuffix(suffix)
            store, mark = _store_of(place, key, suffix)
            yield StoredVideo(key, Path(remote.path_in(name)), f"{place}/{key}", mark,
                              lambda verify, store=store, key=key: store.read(key, verify=verify))
    except OSError as error:
        raise StoredDataError(f"{url}: cannot be read ({error.strerror or error})") from error


def _store_of(place: str, key: str, suffix: str) -> tuple[ObjectStore, Mark | None]:
    """The store in whose format the key is whole."""
    names = ["save_hdf5"] if suffix == SUFFIX else [name for name, one in FORMATS.items() if one in (NUMPY, PICKLE)]
    stores = [ObjectStore(place, name) for name in names]
    for store in stores:
        mark = store.mark(key)
        if mark is not None:
            return store, mark
    return stores[0], None
