"""What is known of a file without its features: which content it is, and what it says of itself. Read once for a file as it is."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from ..errors import UnreadableVideoError
from ..extract.videos import VideoItem, content_id
from .library import VideoFile
from .probe import Probe, probe
from .refusal import Refusal

_MOST_KEPT = 20_000


@dataclass(frozen=True)
class Headers:
    """`problem` says why there is no probe."""

    content_id: str
    probe: Probe | None
    problem: str | None = None


class HeaderCache:
    """By file, size and time of change."""

    def __init__(self):
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, int, float], Headers] = OrderedDict()

    def of(self, file: VideoFile) -> Headers:
        """Raises Refusal where the file cannot be read at all."""
        key = (file.id, file.size_bytes, file.modified_ms)
        with self._lock:
            if key in self._known:
                return self._known[key]
        try:
            content = content_id(VideoItem(str(file.path), file.path.stem))
        except UnreadableVideoError as error:
            raise Refusal(410, "gone", str(error).replace(str(file.path), file.name), "look whether it can be read") from error
        try:
            headers = Headers(content, probe(file.path))
        except UnreadableVideoError as error:
            headers = Headers(content, None, str(error).replace(str(file.path), file.name))
        with self._lock:
            self._known[key] = headers
            while len(self._known) > _MOST_KEPT:
                self._known.popitem(last=False)
        return headers
