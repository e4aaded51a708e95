"""What features lie under a path: per-video files of any format, and packed HDF5 files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ...errors import StoredDataError
from ..features import Features
from .base import FeatureFormat, Mark
from .hdf5 import HDF5, SUFFIX, mark_of_group, read_group
from .separate import META_SUFFIX, NUMPY, PICKLE


@dataclass(frozen=True)
class StoredVideo:
    """One video's stored features. `mark` is None where they are half written or damaged; `place` says where."""

    key: str
    place: str
    mark: Mark | None
    read: Callable[[bool], Features]  # True: verify digests. Raises StoredDataError


def find_stored(path: Path) -> Iterator[StoredVideo]:
    """Everything stored at a file or below a folder, in order of names. Raises StoredDataError for what is not ours."""
    if path.is_dir():
        for current, folders, names in os.walk(path):
            folders.sort()
            for name in sorted(names):
                if name.endswith((META_SUFFIX, SUFFIX)) and not name.startswith("."):
                    yield from find_stored(Path(current, name))
    elif path.name.endswith(SUFFIX):
        yield from _in_hdf5(path)
    elif path.is_file():
        key = _key_of(path)
        yield _separate(path.parent, key)
    else:
        raise StoredDataError(f"{path}: there is nothing there")


def _in_hdf5(path: Path) -> Iterator[StoredVideo]:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            groups = [str(name) for name in file if isinstance(file.get(name), h5py.Group)]
            marks = {name: mark_of_group(file[name]) for name in groups}
    except OSError as error:
        raise StoredDataError(f"{path}: is not a whole HDF5 file ({error})") from error
    if not groups:
        key = path.name.removesuffix(SUFFIX)
        yield StoredVideo(key, str(path), HDF5.mark(path.parent, key),
                          lambda verify: HDF5.read(path.parent, key, verify=verify))
    for name in groups:
        yield StoredVideo(name, f"{path}:{name}", marks[name],
                          lambda verify, name=name: _read_packed(path, name, verify))


def _read_packed(path: Path, name: str, verify: bool) -> Features:
    import h5py

    with h5py.File(path, "r") as file:
        return read_group(file[name], f"{path}:{name}", verify=verify)


def _separate(folder: Path, key: str) -> StoredVideo:
    form = _format_of(folder, key)
    return StoredVideo(key, str(folder / key), form.mark(folder, key), lambda verify: form.read(folder, key, verify=verify))


def _format_of(folder: Path, key: str) -> FeatureFormat:
    try:
        contents = json.loads((folder / f"{key}{META_SUFFIX}").read_text(encoding="utf-8"))["contents"]
    except (OSError, ValueError, KeyError, TypeError):
        return NUMPY
    return PICKLE if any(name.endswith(PICKLE.suffix) for name in contents) else NUMPY


def _key_of(path: Path) -> str:
    """The key whose mark names this file (a key may itself hold underscores)."""
    if path.name.endswith(META_SUFFIX):
        return path.name.removesuffix(META_SUFFIX)
    stem = path.stem
    while "_" in stem:
        stem = stem.rpartition("_")[0]
        if (path.parent / f"{stem}{META_SUFFIX}").is_file():
            return stem
    raise StoredDataError(f"{path}: is no file of stored features (no {META_SUFFIX} beside it names it); "
                          "allowed are .npy, .pkl, _meta.json and .h5 files that clipreel wrote, and folders of them")
