"""What is stored already of a video by the model of this investigator, whatever made it. Pickles are never opened."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Protocol

from ..errors import StoredDataError
from ..extract.features import Features
from ..extract.keys import key_candidates
from ..extract.store.base import Mark
from ..extract.store.files import locked
from ..extract.store.find import StoredVideo
from ..extract.store.hdf5 import HDF5, SUFFIX
from ..extract.store.separate import META_SUFFIX, NUMPY, PICKLE
from ..extract.store.sharded import ShardedStore
from ..models.base import EncoderIdentity
from .refusal import Refusal


class _Layout(Protocol):
    """What of a FeatureFormat is asked here."""

    def mark(self, folder: Path, key: str) -> Mark | None: ...

    def read(self, folder: Path, key: str) -> Features: ...


class _ManyVideos:
    """Files of many videos each (`videos_per_file=`), whose index is read again only when the folder changes."""

    def __init__(self, format_name: str):
        self._format_name = format_name

    def mark(self, folder: Path, key: str) -> Mark | None:
        return _many(folder, self._format_name).mark(key) if folder.is_dir() else None

    def read(self, folder: Path, key: str) -> Features:
        return _many(folder, self._format_name).read(key)


@lru_cache(maxsize=16)
def _many(folder: Path, format_name: str) -> ShardedStore:
    return ShardedStore(folder, format_name, 1)


_LAYOUTS: tuple[_Layout, ...] = (NUMPY, HDF5, _ManyVideos("save_hdf5"), _ManyVideos("save_webdataset"))


def find_mark(folder: Path, name: str, content_id: str, identity: EncoderIdentity) -> tuple[int, str, Mark] | None:
    """(layout, key, mark) of the whole features of this content by this model, of whatever sampling; None where there are none.

    args: `name` is the file's stem, by which it would be stored.
    """
    return _find(_LAYOUTS, folder, name, content_id, identity)


def has_pickles(folder: Path, name: str, content_id: str, identity: EncoderIdentity) -> bool:
    """Whether such features lie there as pickles, by their metadata alone."""
    return _find((PICKLE,), folder, name, content_id, identity) is not None


def read_stored(folder: Path, name: str, content_id: str, identity: EncoderIdentity) -> Features | None:
    """Raises StoredDataError where they are damaged."""
    found = find_mark(folder, name, content_id, identity)
    return _LAYOUTS[found[0]].read(folder, found[1]) if found is not None else None


class NothingStoredError(StoredDataError):
    """A folder holds nothing that may be read here."""


def readable(videos: list[StoredVideo]) -> list[StoredVideo]:
    """Those that are no pickles, each video's once: what `find_mark` finds first. Raises NothingStoredError."""
    kept: dict[str, StoredVideo] = {}
    for video in sorted(videos, key=_rank):
        if not (video.mark is not None and any(file.endswith(PICKLE.suffix) for file in video.mark.contents)):
            kept.setdefault(video.key, video)
    if not kept:
        raise NothingStoredError("there are pickles only, which are not read here")
    return list(kept.values())


def _rank(video: StoredVideo) -> int:
    """The place of its layout among `_LAYOUTS`."""
    name = video.file.name
    return 0 if name.endswith(META_SUFFIX) else 3 if not name.endswith(SUFFIX) else 1 if name == f"{video.key}{SUFFIX}" else 2


def forget_stored(folder: Path, name: str, content_id: str, identity: EncoderIdentity) -> None:
    """Remove them, in every layout of one video a file. Raises Refusal for those in a file of many, before anything is removed;
    OSError."""
    if not folder.is_dir():
        return
    if _find(_LAYOUTS[2:], folder, name, content_id, identity) is not None:
        raise Refusal(409, "conflict", "the features of this video are in a file of many videos, which stays as it is",
                      "remove them with the program that made them, or analyse the video anew")
    with locked(folder):
        while (found := _find(_LAYOUTS[:2], folder, name, content_id, identity)) is not None:
            number, key, mark = found
            if number == 0:
                (folder / f"{key}{META_SUFFIX}").unlink()  # first: without it the rest counts as not there
                for file in mark.contents:
                    (folder / file).unlink(missing_ok=True)
            else:
                (folder / f"{key}{SUFFIX}").unlink()


def _find(layouts: tuple[_Layout, ...], folder: Path, name: str, content_id: str, identity: EncoderIdentity
          ) -> tuple[int, str, Mark] | None:
    for key in key_candidates(name, content_id):
        for number, layout in enumerate(layouts):
            mark = layout.mark(folder, key)
            if mark is None:
                continue
            source = mark.provenance.source
            if source.content_id == content_id and mark.provenance.settings.encoder == identity:
                return number, key, mark
    return None
