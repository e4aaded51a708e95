"""Reading stored features back, whatever their format."""

from __future__ import annotations

import os

from ...errors import StoredDataError
from ..features import Features
from .object_store import find_stored_anywhere


def load_features(path: str | os.PathLike[str], key: str | None = None) -> Features:
    """One video's features.

    Args:
        path: any of the video's files (.npy, .pkl, _meta.json, .h5), a folder, or a file of many videos (.h5, .tar);
            or a URL of a video's file or of a folder of them.
        key: which video, where the path holds several.

    Raises: StoredDataError when there is none, several and no key, or what is there is damaged.
    """
    found = [video for video in find_stored_anywhere(os.fspath(path)) if key is None or video.key == key]
    if not found:
        raise StoredDataError(f"{path}: holds no features{f' with key {key!r}' if key is not None else ''}")
    if len(found) > 1:
        names = ", ".join(video.key if key is None else video.place for video in found[:10])
        raise StoredDataError(f"{path}: holds {len(found)} videos' features ({names}{', …' if len(found) > 10 else ''}); "
                              "name one with key=, or one file")
    return found[0].read(False)
