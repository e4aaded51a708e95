"""HDF5 files of many videos: the layout of `pack`, a group a video, with an index of all marks, which is read at once."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ...errors import StoredDataError
from ..features import Features
from ..remote import RemoteFile
from .hdf5 import ATTRIBUTE, LIBRARY_VERSIONS, group_name, inside, read_group, write_group
from .marks import NOT_A_MARK, mark_from_json
from .shard import Entry, opened

INDEX_ATTRIBUTE = "clipreel_index"  # of the file: the name of the dataset that holds the marks, a line each


class Hdf5Shard:
    """`<key>/<feature type>`, `<key>/timestamps_ms`, `<key>/fps`, and the index."""

    def write(self, stream: BinaryIO, videos: Mapping[str, Features]) -> None:
        import h5py

        # Made in memory, as a video's own file: the library aborts without an OSError when the disk is full.
        buffer = io.BytesIO()
        with h5py.File(buffer, "w", libver=LIBRARY_VERSIONS) as file:
            lines = []
            for key, features in videos.items():
                group = file.create_group(group_name(key))
                write_group(group, key, features)
                lines.append(str(group.attrs[ATTRIBUTE]))
            name = INDEX_ATTRIBUTE
            while name in file:  # a video of that name
                name += "_"
            file[name] = np.frombuffer("\n".join(lines).encode(), dtype=np.uint8)
            file.attrs[INDEX_ATTRIBUTE] = name
        stream.write(buffer.getbuffer())

    def entries(self, file: Path | RemoteFile) -> Iterator[Entry]:
        try:
            with hdf5_of(file) as content:
                index = inside(content, str(content.attrs[INDEX_ATTRIBUTE]))
                lines = index[()].tobytes().decode().split("\n")
            marks = [mark_from_json(json.loads(line)) for line in lines]
        except (OSError, RuntimeError, *NOT_A_MARK) as error:
            raise StoredDataError(f"{file}: is not a whole HDF5 file of many videos ({error})") from error
        return map(Entry, marks)

    def read(self, file: Path | RemoteFile, entry: Entry, *, verify: bool = False) -> Features:
        return read_of_many(file, group_name(entry.mark.key), verify=verify)


@contextmanager
def hdf5_of(file: Path | RemoteFile) -> Iterator[Any]:
    """The open file. Raises OSError, RuntimeError."""
    import h5py

    if isinstance(file, RemoteFile):
        with opened(file) as (stream, _, _), h5py.File(stream, "r") as content:
            yield content
        return
    with h5py.File(file, "r") as content:
        yield content


def read_of_many(file: Path | RemoteFile, name: str, *, verify: bool) -> Features:
    """The features of a group. Raises StoredDataError."""
    place = f"{file}:{name}"
    try:
        with hdf5_of(file) as content:
            return read_group(inside(content, name), place, verify=verify)
    except (OSError, RuntimeError, KeyError) as error:
        raise StoredDataError(f"{place}: cannot be read ({error})") from error


def holds_one_video(path: Path) -> bool:
    """Whether this is a video's own file, as `on_extraction=save_hdf5` makes without videos_per_file."""
    return _has(path, ATTRIBUTE)


def holds_many_videos(file: Path | RemoteFile) -> bool:
    return _has(file, INDEX_ATTRIBUTE)


def _has(file: Path | RemoteFile, attribute: str) -> bool:
    try:
        with hdf5_of(file) as content:
            return attribute in content.attrs
    except (OSError, RuntimeError):
        return False


HDF5_SHARD = Hdf5Shard()
