"""The readers of a run: in this process, watched, or in processes of their own (`isolate=true`, and videos that earlier runs may
have died of)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np

from .decode.base import FrameReader
from .decode.registry import reader_for
from .frames import FrameBatch, VideoIndex
from .isolated_decode import SECONDS, DecodeProcesses, IsolatedReader
from .job import Job
from .options import PipelineOptions

log = logging.getLogger("clipreel")
Result = TypeVar("Result")


class Readers:
    """A reader a video. Threads share it."""

    def __init__(self, options: PipelineOptions, stopped: threading.Event):
        self._options = options
        self._processes = DecodeProcesses(stopped)
        self._watch = StallWatch(options.decode_seconds_limit or SECONDS)
        self._said_suspects = False

    def of(self, path: Path, job: Job) -> FrameReader:
        """Of the job's video, which is at `path`."""
        options = self._options
        if job.is_suspect and not (options.isolate or self._said_suspects):
            self._said_suspects = True
            log.info("note: %s may be what earlier runs died of: such videos are decoded in processes of their own", job.item)
        if options.isolate or job.is_suspect:
            return IsolatedReader(self._processes, options.reader, options.fps, options.decode_seconds_limit, job.decoder_deaths)
        return WatchedReader(reader_for(path, options.reader, options.fps), self._watch)

    @property
    def cpu_seconds(self) -> float:
        """Of the processes, as far as their requests ended well."""
        return self._processes.cpu_seconds

    def say_stalled(self) -> None:
        """Log what a thread has waited for too long. It cannot be ended, only a process can."""
        self._watch.say()

    def close(self) -> None:
        self._processes.close()


class StallWatch:
    """Which decoder has been silent since when."""

    def __init__(self, seconds: float):
        self._seconds, self._lock = seconds, threading.Lock()
        self._since: dict[int, tuple[Path, float]] = {}  # a thread -> what it waits for

    def call(self, path: Path, step: Callable[[], Result]) -> Result:
        thread = threading.get_ident()
        with self._lock:
            self._since[thread] = path, time.monotonic()
        try:
            return step()
        finally:
            with self._lock:
                self._since.pop(thread, None)

    def say(self) -> None:
        """Each once."""
        now = time.monotonic()
        with self._lock:
            late = {thread: path for thread, (path, since) in self._since.items() if now - since > self._seconds}
            for thread in late:
                del self._since[thread]
        for path in late.values():
            log.warning("%s: its decoder has given nothing for %g s, and the run cannot end before it does; with isolate=true it "
                        "would be killed, and the others go on", path, self._seconds)


class WatchedReader:
    """A reader, and since when it has been silent."""

    def __init__(self, reader: FrameReader, watch: StallWatch):
        self._reader, self._watch = reader, watch

    def index(self, path: Path, *, by_decoding: bool = False) -> VideoIndex:
        return self._watch.call(path, lambda: self._reader.index(path, by_decoding=by_decoding))

    def frames(self, index: VideoIndex, wanted: np.ndarray, *, allow_truncated: bool = False) -> Iterator[FrameBatch]:
        frames = iter(self._reader.frames(index, wanted, allow_truncated=allow_truncated))
        while (batch := self._watch.call(index.path, lambda: next(frames, None))) is not None:
            yield batch
