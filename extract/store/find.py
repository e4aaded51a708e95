"""What features lie under a path: per-video files of any format, and files of many videos (HDF5, WebDataset)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import StoredDataError
from ..features import Features
from .base import Mark
from .hdf5 import HDF5, SUFFIX, group_name, inside, is_inside, mark_of_group
from .hdf5_shard import HDF5_SHARD, holds_many_videos, read_of_many
from .separate import META_SUFFIX, NUMPY, PICKLE, mark_of_file
from .shard import Entry
from .webdataset import SUFFIX as TAR_SUFFIX
from .webdataset import WEBDATASET


@dataclass(frozen=True)
class StoredVideo:
    """One video's stored features. `mark` is None where they are half written or damaged; `place` says where."""

    key: str
    file: Path  # the packed file, the video's own, or its metadata
    place: str
    mark: Mark | None
    source: Callable[..., Features]  # of `verify=`; no closure, for it goes to other processes, a DataLoader's workers

    def read(self, verify: bool) -> Features:
        """Its features; with `verify` digests are compared. Raises StoredDataError."""
        return self.source(verify=verify)


def find_stored(path: Path) -> Iterator[StoredVideo]:
    """Everything stored at a file or below a folder, in order of names. Raises StoredDataError for what is not ours."""
    if path.is_dir():
        for current, folders, names in os.walk(path):
            folders.sort()
            for name in sorted(names):
                # ._: what macOS leaves beside files; other names may begin with a dot, as videos' do
                if name.endswith((META_SUFFIX, SUFFIX, TAR_SUFFIX)) and not name.startswith("._"):
                    yield from find_stored(Path(current, name))
    elif not path.is_file():
        raise StoredDataError(f"{path}: there is nothing there")
    elif path.name.endswith(SUFFIX):
        yield from _in_hdf5(path)
    elif path.name.endswith(TAR_SUFFIX):
        yield from _in_tar(path)
    else:
        yield _separate(path.parent, _key_of(path))


class OpenStore:
    """Videos of known places (`StoredVideo.file` and key), read one by one without a look at the others. Files of many videos
    stay open."""

    def __init__(self):
        self._opened: dict[Path, Any] = {}

    def read(self, file: Path, key: str) -> tuple[Mark, np.ndarray, np.ndarray]:
        """(mark, features [n, dim], timestamps_ms [n]). Raises StoredDataError where they are not there, or not whole."""
        if not file.is_file():
            raise StoredDataError(f"{file}: is not there")
        if file.name.endswith(TAR_SUFFIX):
            return self._in_tar(file, key)
        if not file.name.endswith(SUFFIX):
            video = _separate(file.parent, _key_of(file))
            features = video.read(False)
            if video.mark is None:
                raise StoredDataError(f"{video.place}: is half written")
            return video.mark, features.features, features.timestamps_ms
        import h5py

        try:
            if file not in self._opened:
                self._opened[file] = h5py.File(file, "r")
            whole, name = self._opened[file], group_name(key)
            group = inside(whole, name) if is_inside(whole, name) else whole
            mark = mark_of_group(group)
            if mark is None:
                raise StoredDataError(f"{file}: holds no whole features of {key!r}")
            return mark, inside(group, mark.provenance.settings.encoder.feature_type)[()], inside(group, "timestamps_ms")[()]
        except (OSError, RuntimeError, KeyError) as error:
            raise StoredDataError(f"{file}: cannot be read ({error})") from error

    def _in_tar(self, file: Path, key: str) -> tuple[Mark, np.ndarray, np.ndarray]:
        if file not in self._opened:
            self._opened[file] = {entry.mark.key: entry for entry in WEBDATASET.entries(file)}
        if key not in self._opened[file]:
            raise StoredDataError(f"{file}: holds no features of {key!r}")
        entry: Entry = self._opened[file][key]
        features = WEBDATASET.read(file, entry)
        return entry.mark, features.features, features.timestamps_ms


def _in_hdf5(path: Path) -> Iterator[StoredVideo]:
    import h5py

    if holds_many_videos(path):
        with suppress(StoredDataError):  # a damaged index: what is in the groups still counts
            for entry in sorted(HDF5_SHARD.entries(path), key=lambda entry: entry.mark.key):
                name = group_name(entry.mark.key)
                yield StoredVideo(entry.mark.key, path, f"{path}:{name}", entry.mark, partial(read_of_many, path, name))
            return
    try:
        with h5py.File(path, "r") as file:
            groups = [name for name in map(str, file) if is_inside(file, name) and isinstance(file[name], h5py.Group)]
            marks = {name: mark_of_group(file[name]) for name in groups}
    except (OSError, RuntimeError):  # damaged: reading says so
        groups, marks = [], {}
    if not groups:
        key = path.name.removesuffix(SUFFIX)
        yield StoredVideo(key, path, str(path), HDF5.mark(path.parent, key), partial(HDF5.read, path.parent, key))
    for name, mark in marks.items():
        key = mark.key if mark is not None and group_name(mark.key) == name else name
        yield StoredVideo(key, path, f"{path}:{name}", mark, partial(read_of_many, path, name))


def _in_tar(path: Path) -> Iterator[StoredVideo]:
    try:
        entries = sorted(WEBDATASET.entries(path), key=lambda entry: entry.mark.key)
    except StoredDataError:  # damaged, or another program's: reading says so
        yield StoredVideo(path.name.removesuffix(TAR_SUFFIX), path, str(path), None, partial(_cannot_be_read, path))
        return
    for entry in entries:
        yield StoredVideo(entry.mark.key, path, f"{path}:{entry.mark.key}", entry.mark, partial(WEBDATASET.read, path, entry))


def _cannot_be_read(path: Path, *, verify: bool) -> Features:
    WEBDATASET.entries(path)
    raise StoredDataError(f"{path}: changed while it was read")


def _separate(folder: Path, key: str) -> StoredVideo:
    said = mark_of_file(folder, key)
    form = PICKLE if said is not None and any(name.endswith(PICKLE.suffix) for name in said.contents) else NUMPY
    return StoredVideo(key, folder / f"{key}{META_SUFFIX}", str(folder / key), form.mark(folder, key),
                       partial(form.read, folder, key))


def _key_of(path: Path) -> str:
    """The key whose mark names this file (a key may itself hold underscores)."""
    if path.name.endswith(META_SUFFIX):
        return path.name.removesuffix(META_SUFFIX)
    stem = path.stem
    while "_" in stem:
        stem = stem.rpartition("_")[0]
        mark = mark_of_file(path.parent, stem)
        if mark is not None and path.name in mark.contents:
            return stem
    raise StoredDataError(f"{path}: is no file of stored features (no {META_SUFFIX} beside it names it); "
                          "allowed are .npy, .pkl, _meta.json, .h5 and .tar files that clipreel wrote, and folders of them")
