"""Under which key a video is stored: its name, unless another video owns that; then name-<8 hex of its content id>."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator

from ..errors import StoreConflictError
from .job import Job
from .videos import VideoItem

log = logging.getLogger("clipreel")
_LONGEST_NAME_BYTES = 150  # file systems allow 255; suffixes and the temporary name come behind


def assign_keys(
    items: Iterable[tuple[int, VideoItem, str]], stored_owner: Callable[[str], str | None],
) -> Iterator[Job]:
    """A job an item (number, item, content id). `stored_owner(key)`: the content id of what the store has there.

    Nothing is ever overwritten by another video, in this run or a later one; a video under two paths of one name is
    done once.
    """
    owners: dict[str, str] = {}
    for number, item, content_id in items:
        held = {key: owners.get(key) or stored_owner(key) for key in key_candidates(item.name, content_id)}
        # What an earlier run stored under a longer key stays there, even if a shorter one is free by now.
        key = next((key for wanted in (content_id, None) for key, owner in held.items() if owner == wanted), None)
        if key is None:
            raise StoreConflictError(f"{item.path}: other videos own the keys {', '.join(held)}; "
                                     "rename one, or give another output_path")
        if owners.get(key) == content_id:
            log.info("%s is the same video as another one named %s: done once", item.path, item.name)
            continue
        owners[key] = content_id
        yield Job(number, key, item, content_id)


def key_candidates(name: str, content_id: str) -> tuple[str, ...]:
    """The keys a video may have, the first free one first."""
    if name in ("", ".", ".."):
        name = "video"
    encoded = os.fsencode(name)
    if len(encoded) > _LONGEST_NAME_BYTES:
        name = f"{encoded[:_LONGEST_NAME_BYTES].decode(errors='ignore')}-{content_id[:8]}"
    return name, f"{name}-{content_id[:8]}", f"{name}-{content_id}"
