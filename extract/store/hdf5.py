"""HDF5: one file a video (`<key>.h5`), or one file of many with a group a video (`pack`). The mark is an attribute."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import StoredDataError
from ..features import Features
from .base import Mark
from .files import write_whole
from .marks import NOT_A_MARK, features_of, mark_from_json, mark_to_json, names_arrays

SUFFIX = ".h5"
ATTRIBUTE = "clipreel"
# Readable by the HDF5 libraries that laboratories still run, though h5py brings HDF5 2.
LIBRARY_VERSIONS = ("earliest", "v110")
_HARD_LINK = 0  # H5L_TYPE_HARD


class Hdf5:
    """Datasets `<feature type>`, `timestamps_ms`, `fps` at the root of `<key>.h5`."""

    def write(self, folder: Path, key: str, features: Features) -> None:
        """Write the file whole. Raises OSError, or StoredDataError where another program's HDF5 file has its name; then
        what stood there stands there still."""
        import h5py

        path = folder / f"{key}{SUFFIX}"
        if _is_of_others(path):
            raise StoredDataError(f"{path}: is an HDF5 file of something else; move it, or give another output_path")
        # Made in memory: the library aborts without an OSError when the disk is full.
        buffer = io.BytesIO()
        with h5py.File(buffer, "w", libver=LIBRARY_VERSIONS) as file:
            write_group(file, key, features)
        write_whole(path, lambda stream: stream.write(buffer.getbuffer()))

    def mark(self, folder: Path, key: str) -> Mark | None:
        import h5py

        path = folder / f"{key}{SUFFIX}"
        if not path.is_file():
            return None
        try:
            with h5py.File(path, "r") as file:
                return mark_of_group(file)
        except (OSError, RuntimeError):  # cut by a crash
            return None

    def read(self, folder: Path, key: str, *, verify: bool = False) -> Features:
        import h5py

        path = folder / f"{key}{SUFFIX}"
        try:
            with h5py.File(path, "r") as file:
                return read_group(file, str(path), verify=verify)
        except (OSError, RuntimeError) as error:
            raise StoredDataError(f"{path}: is not a whole HDF5 file ({error}); run the extraction again") from error


def _is_of_others(path: Path) -> bool:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return ATTRIBUTE not in file.attrs
    except (OSError, RuntimeError):  # absent, or cut by a crash
        return False


def group_name(key: str) -> str:
    """Of a packed video: its key, with escapes for bytes that are no UTF-8 (HDF5 files can have them, h5py not)."""
    return key.encode(errors="backslashreplace").decode()


def write_group(group: Any, key: str, features: Features) -> None:
    """Datasets, then the mark, into an open group."""
    contents = {}
    for name, array in features.arrays().items():
        group.create_dataset(name, data=array)
        contents[name] = {"size_bytes": array.nbytes, "sha256": _digest(array)}
    mark = mark_to_json(key, features, contents)
    text = json.dumps(mark, sort_keys=True, ensure_ascii=False)
    # backslashreplace: bytes of a path that are no UTF-8 become JSON's own escapes
    group.attrs[ATTRIBUTE] = text.encode(errors="backslashreplace").decode()


def mark_of_group(group: Any) -> Mark | None:
    """None where there is no mark of ours or a dataset is missing or of another size."""
    try:
        mark = mark_from_json(json.loads(group.attrs[ATTRIBUTE]))
        whole = names_arrays(mark, set(mark.contents)) and all(
            _nbytes(inside(group, name)) == said["size_bytes"] for name, said in mark.contents.items())
    except NOT_A_MARK:
        return None
    return mark if whole else None


def read_group(group: Any, place: str, *, verify: bool = False) -> Features:
    mark = mark_of_group(group)
    if mark is None:
        raise StoredDataError(f"{place}: holds no whole features of ours; run the extraction again")
    arrays = {name: np.asarray(inside(group, name)[()]) for name in mark.contents}
    if verify:
        for name, said in mark.contents.items():
            if _digest(arrays[name]) != said["sha256"]:
                raise StoredDataError(f"{place}: dataset {name!r} changed since it was written (SHA-256 differs); "
                                      "remove the file and run the extraction again")
    return features_of(mark, arrays)


def is_inside(group: Any, name: str) -> bool:
    """Whether there is something of this name, in this very file: no link that opening it would follow to another one."""
    word, links = name.encode(errors="surrogateescape"), group.id.links
    return "/" not in name and links.exists(word) and links.get_info(word).type == _HARD_LINK


def inside(group: Any, name: str) -> Any:
    """The group or dataset of this name, which is in the file with all its bytes. Raises KeyError where it is not: HDF5 can name
    any other file of this machine's, and say of a few bytes that they are terabytes (ours are never compressed)."""
    import h5py

    if not is_inside(group, name):
        raise KeyError(f"{name!r} is not in this file")
    found = group[name]
    if isinstance(found, h5py.Dataset) and (found.external or not _nbytes(found) <= found.id.get_storage_size()
                                            <= found.file.id.get_filesize()):
        raise KeyError(f"{name!r} is not in this file with all its bytes")
    return found


def _nbytes(dataset: Any) -> int:
    return int(dataset.size) * int(dataset.dtype.itemsize)


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


HDF5 = Hdf5()
