"""How an analysis is told to the pages: a few times a second, with the scores that came since."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import numpy as np

from .analysis import AnalysisProgress
from .jobs import Job
from .refusal import Refusal
from .scores import unit
from .session import VideoSession

if TYPE_CHECKING:
    from .workbench import Workbench

_SECONDS_BETWEEN = 0.25


class Told:
    """Of one analysis."""

    def __init__(self, workbench: Workbench, session: VideoSession):
        self._workbench, self._session = workbench, session
        self._lock = threading.Lock()
        self._waiting: list[tuple[float, np.ndarray]] = []
        self._last, self._pictures, self._phase = 0.0, 0.0, None

    def begin(self) -> None:
        self._last = self._pictures = 0.0
        self._workbench.tell_video(self._session)

    def progress(self, job: Job, progress: AnalysisProgress) -> None:
        """Called at every step, from any thread."""
        changed = job.phase != progress.phase
        job.phase, job.done, job.total = progress.phase, progress.done, progress.total
        elapsed = time.monotonic() - progress.began
        made = progress.done - progress.done_before
        job.rate = made / elapsed if made > 0 and elapsed > 0.2 else None
        self._phase = progress.phase
        job.tell(now=changed)
        self._scores(now=changed)

    def arrived(self, time_ms: float, feature: np.ndarray) -> None:
        with self._lock:
            self._waiting.append((time_ms, feature))
        self._scores()

    def end(self) -> None:
        self._scores(now=True)
        self._workbench.tell_sprites(self._session)

    def _scores(self, *, now: bool = False) -> None:
        moment = time.monotonic()
        with self._lock:
            if not now and moment - self._last < _SECONDS_BETWEEN:
                return
            self._last = moment
            rows, self._waiting = self._waiting, []
        revision = self._session.rows.revision
        if rows:
            features = unit(np.stack([feature for _, feature in rows]))
            scores = {}
            for query in list(self._session.asked):
                try:
                    scores[query] = np.round(features @ self._workbench.book.get(query).feature, 4).tolist()
                except Refusal:
                    self._session.asked.pop(query, None)
            bench = self._workbench
            bench.log.append("scores", model_id=bench.model_id, video=self._session.file.id, revision=revision, phase=self._phase,
                             times_ms=[time_ms for time_ms, _ in rows], scores=scores)
        if now or moment - self._pictures > 2:
            self._pictures = moment
            self._workbench.tell_sprites(self._session)
