"""The decode threads: each takes the next video, or, when few are left to begin, a part of one that is under way.

A part is a run of GOPs. Parts are as exact as the whole (the plan decodes what each needs), so one long video fills
every core and nothing depends on who decoded what.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ClipreelError, DamagedVideoError, IndexMismatchError
from .decode.base import FrameReader
from .decode.plan import split_by_gop
from .decode.registry import reader_for
from .extractor import Extractor
from .job import Attempt, Candidates, Job
from .options import PipelineOptions
from .sampling import sample

log = logging.getLogger("clipreel")
_MOST_PARTS = 16  # each reads the file's bytes again up to where it begins


@dataclass(frozen=True)
class _Begin:
    """Index a video; `by_decoding` after its packets lied."""

    job: Job
    by_decoding: bool = False


@dataclass(frozen=True)
class _Part:
    """Decode some wanted frames of an attempt."""

    attempt: Attempt
    reader: FrameReader
    wanted: np.ndarray
    by_decoding: bool


class DecodePool:
    """Turns jobs into prepared units. `emit(attempt, unit, pixels)` may block, and raise to end the thread; with `offer` it
    gets nothing: all candidate frames of a video go there at once, to be chosen from. `begin(job)` is asked before anything is
    read, and may raise. `finished(attempt)` and `failed(job, error)` each come once a job, unless an encoder still owes
    features."""

    def __init__(self, extractor: Extractor, options: PipelineOptions, *,
                 begin: Callable[[Job], None], emit: Callable[[Attempt, int, Any], None],
                 offer: Callable[[Candidates], None] | None,
                 finished: Callable[[Attempt], None], failed: Callable[[Job, Exception], None], stopped: threading.Event):
        self._extractor, self._options, self._may_begin = extractor, options, begin
        self._emit, self._offer, self._finished, self._failed, self._stopped = emit, offer, finished, failed, stopped
        self._tasks = threading.Condition()
        self._queued: deque[_Begin | _Part] = deque()
        self._jobs: deque[Job] = deque()
        self._running = 0
        self.cpu_seconds = 0.0

    def feed(self, jobs: Iterable[Job]) -> None:
        self._jobs.extend(jobs)

    def work(self) -> None:
        """One thread's life."""
        while (task := self._take()) is not None:
            began = time.thread_time()
            try:
                if isinstance(task, _Begin):
                    self._begin(task)
                else:
                    self._decode(task)
            finally:
                with self._tasks:
                    self.cpu_seconds += time.thread_time() - began
                    self._running -= 1
                    self._tasks.notify_all()

    def _take(self) -> _Begin | _Part | None:
        with self._tasks:
            while not self._stopped.is_set():
                if self._queued:
                    task = self._queued.popleft()
                elif self._jobs:
                    task = _Begin(self._jobs.popleft())
                elif not self._running:
                    return None
                else:
                    self._tasks.wait(0.1)  # a video under way may still be split, or begun anew
                    continue
                self._running += 1
                return task
        return None

    def _begin(self, task: _Begin) -> None:
        options, item = self._options, task.job.item
        try:
            self._may_begin(task.job)
            reader = reader_for(item.path, options.reader, options.fps)
            index = reader.index(item.path, by_decoding=task.by_decoding)
            units = self._extractor.units(sample(index, options.request_of(item)))
        except Exception as error:  # noqa: BLE001  one bad video is a row in the report, whatever is wrong with it
            self._fail(task.job, error)
            return
        idle = len(self._jobs) + len(self._queued) < options.workers  # or soon: other videos do not keep all threads busy
        parts = split_by_gop(index.packets, units.wanted, min(2 * options.workers, _MOST_PARTS) if idle else 1)
        attempt = Attempt(task.job, index, units, len(parts))
        tasks = [_Part(attempt, reader, wanted, task.by_decoding) for wanted in parts]
        with self._tasks:
            self._queued.extend(tasks[1:])
            self._tasks.notify_all()
        self._decode(tasks[0])

    def _decode(self, part: _Part) -> None:
        attempt = part.attempt
        try:
            for batch in part.reader.frames(attempt.index, part.wanted, allow_truncated=self._options.allow_truncated):
                if attempt.given_up:
                    return
                crops = self._extractor.prepare(batch)
                for place, crop in zip(batch.frames.tolist(), crops, strict=True):
                    ready = attempt.complete_units(place, crop)
                    if self._offer is not None:
                        attempt.hold(ready)
                        continue
                    for unit, pixels in ready:
                        self._emit(attempt, unit, pixels)
        except IndexMismatchError as error:
            if not attempt.give_up():
                return  # another part has seen to it
            if part.by_decoding:
                self._fail(attempt.job, DamagedVideoError(str(error)))
                return
            with self._tasks:
                self._queued.append(_Begin(attempt.job, by_decoding=True))
                self._tasks.notify_all()
        except Exception as error:  # noqa: BLE001  as above
            if attempt.give_up():
                self._fail(attempt.job, error)
        else:
            if attempt.end_of_part():
                self._finished(attempt)
            elif self._offer is not None and (candidates := attempt.candidates()) is not None:
                self._offer(candidates)

    def _fail(self, job: Job, error: Exception) -> None:
        if not isinstance(error, (ClipreelError, OSError)):
            log.debug("unexpected error on %s", job.item.path, exc_info=error)
        self._failed(job, error)
