"""Under which key a video is stored: its name, unless another video owns that; then name-<8 hex of its content id>."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator

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
        name = item.name
        if len(name.encode()) > _LONGEST_NAME_BYTES:
            name = f"{name.encode()[:_LONGEST_NAME_BYTES].decode(errors='ignore')}-{content_id[:8]}"
        for key in (name, f"{name}-{content_id[:8]}", f"{name}-{content_id}"):
            if owners.get(key) == content_id:
                log.info("%s is the same video as another one named %s: done once", item.path, item.name)
                break
            if (owners.get(key) or stored_owner(key) or content_id) == content_id:
                owners[key] = content_id
                yield Job(number, key, item, content_id)
                break
