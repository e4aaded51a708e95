"""The videos that wait to be begun."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from .job import Job

Video = Sequence[tuple[int, Job]]  # who wants it, by the place among those that run together, as which job


class VideoQueue:
    """Taken from one end by decode threads; until it is `closed`, more may be added at the other while they are at work."""

    def __init__(self, videos: Iterable[Video] = (), *, closed: bool = True):
        self._videos, self.closed = deque(videos), closed

    def add(self, videos: Iterable[Video]) -> None:
        self._videos.extend(videos)

    def close(self) -> None:
        self.closed = True

    def take(self) -> Video | None:
        try:
            return self._videos.popleft()
        except IndexError:
            return None

    def __len__(self) -> int:
        return len(self._videos)
