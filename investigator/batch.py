"""Many videos to analyse, of which only some stand in the queue at a time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from .jobs import ACTIVE, MOST_ACTIVE, Job
from .refusal import Refusal

if TYPE_CHECKING:
    from .workbench import Workbench

log = logging.getLogger("clipreel")
_MOST_QUEUED = MOST_ACTIVE // 2  # the rest of the queue is for what people ask for one by one


class Batch:
    """Of one model."""

    def __init__(self, bench: Workbench):
        self._bench = bench
        self._lock = threading.Lock()
        self._later: dict[str, None] = {}  # ids in their order

    def add(self, videos: Iterable[str]) -> list[Job]:
        """The jobs of the first of them; the others follow as there is room."""
        with self._lock:
            self._later |= dict.fromkeys(videos)
        return self.go_on()

    def go_on(self) -> list[Job]:
        """Called whenever a job has ended."""
        jobs = []
        while (video := self._next()) is not None:
            try:
                jobs.append(self._bench.analyse(self._bench.session(video), first=False))
            except Refusal as error:
                log.info("%s", error.message)
        return jobs

    def cancel(self) -> None:
        """Everything that waits, then what runs."""
        with self._lock:
            self._later.clear()
        for job in reversed(self._active()):
            self._bench.jobs.cancel(job)

    def _active(self) -> list[Job]:
        return [job for job in self._bench.jobs.all()
                if job.kind == "analysis" and job.state in ACTIVE and job.model_id == self._bench.model_id]

    def _next(self) -> str | None:
        with self._lock:
            if not self._later or len(self._active()) >= _MOST_QUEUED:
                return None
            video = next(iter(self._later))
            del self._later[video]
            return video
