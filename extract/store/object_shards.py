"""Files of many videos at a URL: the same names and contents as in a folder, each sent whole by one upload.

A file is made only where there is none of its name, so two runs never write over each other's, whatever becomes of the lock under
which they count. What is there is read by requests for ranges: to know what is done, the files' indexes and no features.
"""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from ...errors import StoreConflictError
from .. import remote
from ..features import Features
from ..remote import RemoteFile
from .hdf5 import SUFFIX
from .hdf5_shard import holds_many_videos
from .object_place import StoreAtUrl
from .object_store import ObjectStore
from .shard import SHARD_NAME, Entry, Stamp, stamp_at
from .sharded import VIDEOS_PER_FILE, ShardedStore
from .store import FORMATS

_SECONDS = 1.0  # so old may be what is known of other runs' files; where it counts, under the lock, it is asked for anew


class ShardedObjectStore(ShardedStore, StoreAtUrl):
    """The verbs of a ShardedStore. It has no `folder`, and one lock for all videos."""

    def __init__(self, url: str, format_name: str, videos_per_file: int):
        StoreAtUrl.__init__(self, url)
        ShardedStore.__init__(self, None, format_name, videos_per_file)

    def prepare(self) -> None:
        """As ShardedStore's."""
        StoreAtUrl.prepare(self)
        if self._suffix == SUFFIX:
            other = next((name for name in remote.files_at(f"{self.place}/*{SUFFIX}") if not SHARD_NAME.fullmatch(name)), None)
            if other is not None:
                raise StoreConflictError(f"{self.place}/{other} is a video's own file, and videos_per_file= makes files of many: "
                                         "give another output_path, or go on without videos_per_file")
        with self.locked():
            self.refresh()
            self._drop(self._shadowed())

    def _lock_url(self, name: str) -> str:
        return super()._lock_url("")

    def _file(self, name: str) -> RemoteFile:
        return RemoteFile(f"{self.place}/{name}")

    def _now(self) -> object:
        return time.monotonic() // _SECONDS

    def _listed(self) -> dict[str, Stamp]:
        found = remote.files_at(f"{self.place}/videos-*{self._suffix}")
        return {name: stamp_at(details) for name, details in found.items() if self._is_ours(name)}

    def _add(self, number: int, videos: Mapping[str, Features]) -> str:
        content = self._content(videos)
        while not remote.create(f"{self.place}/{self._name(number)}", content):
            number += 1
        return self._name(number)

    def _replace(self, name: str, kept: list[Entry]) -> None:
        keys = {entry.mark.key for entry in kept}
        with tempfile.TemporaryDirectory(prefix="clipreel-") as folder:
            path = Path(folder) / name
            remote.fetch(f"{self.place}/{name}", str(path))
            videos = {entry.mark.key: self._shards.read(path, entry) for entry in self._shards.entries(path)
                      if entry.mark.key in keys}
        remote.write_bytes(f"{self.place}/{name}", self._content(videos))

    def _remove(self, name: str) -> None:
        remote.remove(f"{self.place}/{name}")

    def _content(self, videos: Mapping[str, Features]) -> bytes:
        buffer = io.BytesIO()
        self._shards.write(buffer, videos)
        return buffer.getvalue()


def open_store_at(url: str, format_name: str, videos_per_file: int | None) -> ObjectStore | ShardedObjectStore:
    """As `open_store`."""
    if videos_per_file is not None or format_name not in FORMATS:
        return ShardedObjectStore(url, format_name, videos_per_file or VIDEOS_PER_FILE)
    if FORMATS[format_name] is FORMATS["save_hdf5"]:
        for name in remote.files_at(f"{url}/videos-*{SUFFIX}"):
            if SHARD_NAME.fullmatch(name) and holds_many_videos(RemoteFile(f"{url}/{name}")):
                raise StoreConflictError(f"{url}/{name} is a file of many videos: go on with videos_per_file=, or give another "
                                         "output_path")
    return ObjectStore(url, format_name)
