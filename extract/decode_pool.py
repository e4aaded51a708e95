"""The decode threads: each takes the next video, or, when few are left to begin, a part of one that is under way.

A part is a run of GOPs. Parts are as exact as the whole (the plan decodes what each needs), so one long video fills
every core and nothing depends on who decoded what.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from ..errors import ClipreelError, DamagedVideoError, IndexMismatchError
from .decode.base import FrameReader
from .decode.nvdec import own_stream
from .decode.plan import split_by_gop
from .decode.torchcodec import TorchcodecReader
from .fetching import Fetcher, LocalVideo
from .job import Attempt, Job
from .lane import Lane, share_out
from .options import PipelineOptions
from .readers import Readers
from .sampling import sample
from .video_queue import VideoQueue

log = logging.getLogger("clipreel")
Result = TypeVar("Result")
Wishes = Sequence[tuple[Lane, Job]]  # of one video: who wants it, as which job
_MOST_PARTS = 16  # each reads the file's bytes again up to where it begins


@dataclass(frozen=True)
class _Begin:
    """Index a video; `by_decoding` after its packets lied, `on_cpu` when a GPU's decoder cannot."""

    wishes: Wishes
    by_decoding: bool = False
    on_cpu: bool = False

    def suits(self, device: str | None) -> bool:
        return device is None or not self.on_cpu


@dataclass(frozen=True)
class _Part:
    """Decode some wanted frames of a video, for all that want them."""

    takers: list[tuple[Lane, Attempt]]
    video: LocalVideo
    reader: FrameReader
    wanted: np.ndarray
    by_decoding: bool
    device: str | None  # whose decoder is to do it; None: the CPU

    def suits(self, device: str | None) -> bool:
        return device == self.device


class DecodePool:
    """Turns videos into prepared units: each is indexed and decoded once for all lanes that want it."""

    def __init__(self, options: PipelineOptions, stopped: threading.Event, lanes: Sequence[Lane], videos: VideoQueue):
        self._options, self._stopped, self._lanes, self._videos = options, stopped, lanes, videos
        self._tasks = threading.Condition()
        self._queued: deque[_Begin | _Part] = deque()
        self._running = 0
        self._fetcher, self.readers = Fetcher(options.tmp_path), Readers(options, stopped)
        self._has_cpu_threads = options.cpu_threads > 0
        self._said_unsupported = False
        self.cpu_seconds = 0.0

    def work(self, device: str | None = None) -> None:
        """One thread's life, with the CPU or with a GPU's decoder (NVDEC)."""
        with own_stream(device):
            self._work(device)

    def _work(self, device: str | None) -> None:
        while (task := self._take(device)) is not None:
            began = time.thread_time()
            try:
                if isinstance(task, _Begin):
                    self._begin(task, device)
                else:
                    self._decode(task)
                    task.video.release()
            finally:
                with self._tasks:
                    self.cpu_seconds += time.thread_time() - began
                    self._running -= 1
                    self._tasks.notify_all()

    def close(self) -> None:
        """Once no thread is at work."""
        self._fetcher.close()
        self.readers.close()
        self.cpu_seconds += self.readers.cpu_seconds

    def _take(self, device: str | None) -> _Begin | _Part | None:
        with self._tasks:
            while not self._stopped.is_set():
                closed = self._videos.closed  # asked first: what was added before it was closed is there
                task = next((queued for queued in self._queued if queued.suits(device)), None)
                if task is not None:
                    self._queued.remove(task)
                elif (video := self._videos.take()) is not None:
                    task = _Begin([(self._lanes[place], job) for place, job in video])
                elif closed and not self._running and not self._queued:
                    return None
                else:
                    self._tasks.wait(0.1)  # a video under way may still be split, or begun anew
                    continue
                self._running += 1
                return task
        return None

    def _begin(self, task: _Begin, device: str | None) -> None:
        begun = [(lane, job) for lane, wish in task.wishes
                 if (job := self._tried(lane, wish, lambda: lane.begin(wish) or wish)) is not None]  # noqa: B023
        if not begun:
            return
        try:
            video = self._fetcher.local(begun[0][1].item, begun[0][1].content_id)
        except Exception as error:  # noqa: BLE001  one bad video is a row in the report, whatever is wrong with it
            for lane, job in begun:
                self._fail(lane, job, error)
            return
        if device is not None and self._has_cpu_threads and (video.path.is_dir() or any(job.is_suspect for _, job in begun)):
            self._queue(_Begin(begun, task.by_decoding, on_cpu=True))
        else:
            self._index(begun, video, by_decoding=task.by_decoding, device=device)
        video.release()

    def _index(self, begun: Wishes, video: LocalVideo, *, by_decoding: bool, device: str | None) -> None:
        options = self._options
        try:
            suspect = next((job for _, job in begun if job.is_suspect), begun[0][1])
            reader = self.readers.of(video.path, suspect) if device is None else TorchcodecReader(device)
            index = reader.index(video.path, by_decoding=by_decoding)
        except Exception as error:  # noqa: BLE001  as above
            for lane, job in begun:
                self._fail(lane, job, error, video)
            return
        asked = [(lane, job, units) for lane, job in begun if (units := self._tried(
            lane, job, lambda: lane.extractor.units(sample(index, lane.request_of(job.item))), video)) is not None]  # noqa: B023
        if not asked:
            return
        wanted = np.unique(np.concatenate([units.wanted for _, _, units in asked]))
        # or soon: other videos do not keep all threads busy
        idle = self._videos.closed and len(self._videos) + len(self._queued) < options.workers
        parts = split_by_gop(index.packets, wanted, min(2 * options.workers, _MOST_PARTS) if idle else 1)
        takers = [(lane, Attempt(job, index, units, len(parts))) for lane, job, units in asked]
        tasks = [_Part(takers, video, reader, part, by_decoding, device) for part in parts]
        video.share(len(tasks) - 1)
        self._queue(*tasks[1:])
        self._decode(tasks[0])

    def _queue(self, *tasks: _Begin | _Part) -> None:
        with self._tasks:
            self._queued.extend(tasks)
            self._tasks.notify_all()

    def _decode(self, part: _Part) -> None:
        takers, reader = part.takers, part.reader
        # What a GPU decodes stays there.
        frames = reader.frames_on_device if part.device is not None and isinstance(reader, TorchcodecReader) else reader.frames
        try:
            for batch in frames(takers[0][1].index, part.wanted, allow_truncated=self._options.allow_truncated):
                takers = [(lane, attempt) for lane, attempt in takers if not attempt.given_up]
                if not takers:
                    return
                share_out(batch, takers)
        except Exception as error:  # noqa: BLE001  as above
            again = [(lane, attempt.job) for lane, attempt in takers if attempt.give_up()]  # else another part has seen to it
            if again:
                self._retry_or_fail(again, part, error)
        else:
            for lane, attempt in takers:
                lane.end_of_part(attempt)

    def _retry_or_fail(self, wishes: Wishes, part: _Part, error: Exception) -> None:
        if part.device is not None and self._has_cpu_threads:  # whose word is the last
            if not self._said_unsupported:
                self._said_unsupported = True
                log.info("note: what %s cannot decode is decoded on the CPU, such as: %s", part.device, error)
            self._queue(_Begin(wishes, on_cpu=True))
        elif isinstance(error, IndexMismatchError) and not part.by_decoding:
            self._queue(_Begin(wishes, by_decoding=True))
        else:
            for lane, job in wishes:
                self._fail(lane, job, DamagedVideoError(str(error)) if isinstance(error, IndexMismatchError) else error, part.video)

    def _tried(self, lane: Lane, job: Job, step: Callable[[], Result], video: LocalVideo | None = None) -> Result | None:
        """What the step gives; None where it failed, which the lane is told."""
        try:
            return step()
        except Exception as error:  # noqa: BLE001  as above
            self._fail(lane, job, error, video)
            return None

    def _fail(self, lane: Lane, job: Job, error: Exception, video: LocalVideo | None = None) -> None:
        if video is not None and job.item.url is not None:  # a name that means nothing to the user, and is gone by then
            error.args = tuple(said.replace(str(video.path), str(job.item)) if isinstance(said, str) else said
                               for said in error.args)
        if not isinstance(error, (ClipreelError, OSError)):
            log.debug("unexpected error on %s", job.item.path, exc_info=error)
        lane.failed(job, error)
