"""Decode threads -> one bounded queue of pixels -> a worker a device -> one writer. Nothing waits for what it does
not need: batches fill across videos, a device takes the next batch when it is free, files are written behind.

PyAV, the resize and torch release the GIL, so threads are enough here. The decode pool's only ties to the rest are the
callables it is given: a pool of processes can stand in its place.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..errors import ClipreelError
from .choosing import ChoosingExtractor
from .decode.nvdec import THREADS
from .decode_pool import DecodePool
from .extractor import Extractor
from .forward import Encoded, forward_of
from .job import Attempt, Candidates, Job
from .lane import Lane, Stopped
from .options import PipelineOptions
from .video_queue import Video, VideoQueue
from .worker_thread import WorkerThread, join

if TYPE_CHECKING:
    import torch


class Outcome(Protocol):
    """What becomes of videos. `begin` may give the job anew, as it is to be done; it comes from any thread, and may raise. The
    others come from one thread at a time. `done` may raise ClipreelError: the video has failed then."""

    def begin(self, job: Job) -> Job | None: ...

    def done(self, attempt: Attempt) -> None: ...

    def failed(self, job: Job, error: Exception) -> None: ...


@dataclass
class Tally:
    """Where the seconds went and how full the batches were."""

    frames: int = 0
    decode_seconds: float = 0.0
    encode_seconds: float = 0.0
    write_seconds: float = 0.0
    batch_sizes: dict[str, list[int]] = field(default_factory=dict)

    def add(self, other: Tally, prefix: str = "") -> None:
        """Another's figures too, its devices under names of their own."""
        self.frames += other.frames
        self.decode_seconds += other.decode_seconds
        self.encode_seconds += other.encode_seconds
        self.write_seconds += other.write_seconds
        for device, sizes in other.batch_sizes.items():
            self.batch_sizes.setdefault(prefix + device, []).extend(sizes)


_Pixels = tuple[Attempt, int, "torch.Tensor"]
_Units = tuple[Attempt, list[tuple[int, Any]]]


class Pipeline:
    """Runs jobs through extractors, one of them a device worker. `arrived(attempt, unit, feature)` is told of every feature
    when it is there, before its video is done; from the workers' threads."""

    def __init__(self, extractors: Sequence[Extractor], options: PipelineOptions, outcome: Outcome,
                 arrived: Callable[[Attempt, int, np.ndarray], object] = lambda attempt, unit, feature: None):
        self._extractors, self._options, self._outcome, self._arrived = extractors, options, outcome, arrived
        self.tally = Tally()
        self._forwards = [forward_of(extractor, options.batch_size, deterministic=options.deterministic, compiled=options.compiled)
                          for extractor in extractors]
        self._stop, self._ended = threading.Event(), threading.Event()
        self._crash: BaseException | None = None
        self._fill_lock, self._tally_lock = threading.Lock(), threading.Lock()
        # Two batches a device lie ready; beyond that decoding waits, so memory does not grow with the videos.
        ready = max(16, 2 * options.batch_size * len(extractors))
        first = extractors[0]
        neighbours = options.batch_size if options.deterministic else None
        # How many an item in the queue gives, and how many at hand make a batch (deterministic: what one item gave).
        self._frames_each = first.top_k if isinstance(first, ChoosingExtractor) else neighbours or 1
        self._least = 1 if options.deterministic else options.batch_size
        self._pixels: queue.Queue[_Units | Candidates | None] = queue.Queue(max(2, ready // self._frames_each))
        self._finished: queue.Queue[tuple[Any, Exception | None] | None] = queue.Queue(64)
        self._lane = Lane(
            first, options.request_of, begin=outcome.begin,
            emit=lambda attempt, units: self._put(self._pixels, (attempt, units)),
            offer=(lambda candidates: self._put(self._pixels, candidates)) if isinstance(first, ChoosingExtractor) else None,
            finished=lambda attempt: self._put(self._finished, (attempt, None)),
            failed=lambda job, error: self._put(self._finished, (job, error)),
            neighbours=neighbours)

    def run(self, jobs: Sequence[Job], tick: Callable[[], None]) -> None:
        """Do all jobs; `tick` is called a few times a second. On KeyboardInterrupt what is finished is still written,
        then it is raised again; an error that is no single video's fault is raised too."""
        run_together([self], [[(0, job)] for job in jobs], tick)

    def _threads(self) -> tuple[list[WorkerThread], WorkerThread]:
        """The devices' workers, and the writer."""
        return [self._thread(self._encode_batches, number, extractor) for number, extractor in enumerate(self._extractors)], (
            self._thread(self._write))

    def _thread(self, work: Callable[..., None], *arguments: Any) -> WorkerThread:
        return WorkerThread(partial(self._guarded, work, *arguments))

    def _guarded(self, work: Callable[..., None], *arguments: Any) -> None:
        try:
            work(*arguments)
        except Stopped:
            pass
        except BaseException as error:  # noqa: BLE001  a thread's error is raised again in `run`
            self._crash = self._crash or error
            self._stop.set()

    def _put(self, target: queue.Queue, item: Any) -> None:
        while not self._stop.is_set():
            try:
                target.put(item, timeout=0.1)
                return
            except queue.Full:
                continue
        raise Stopped

    # encoding

    def _encode_batches(self, number: int, extractor: Extractor) -> None:
        sizes = self.tally.batch_sizes.setdefault(f"{number}:{extractor.encoder.device}", [])
        forward, waiting, submitted = self._forwards[number], deque[_Pixels](), deque[list[tuple[Attempt, int]]]()
        while batch := self._next_batch(extractor, waiting):
            forward.submit([pixels for _, _, pixels in batch])
            sizes.append(len(batch))
            submitted.append([(attempt, unit) for attempt, unit, _ in batch])
            self._hand_out(submitted, forward.results(forward.under_way))
        self._hand_out(submitted, forward.results(0))

    def _hand_out(self, submitted: deque[list[tuple[Attempt, int]]], results: Iterable[Encoded]) -> None:
        for encoded in results:
            batch = submitted.popleft()
            with self._tally_lock:
                self.tally.encode_seconds += encoded.seconds
                self.tally.frames += len(batch)
            for (attempt, unit), feature in zip(batch, encoded.features, strict=True):
                self._arrived(attempt, unit, feature)
                if attempt.add(unit, feature):
                    self._put(self._finished, (attempt, None))

    def _next_batch(self, extractor: Extractor, waiting: deque[_Pixels]) -> list[_Pixels]:
        """The next batch, full but for the last of this worker (deterministic: of one video); empty at the end. `waiting`: frames
        that this worker has and did not encode yet."""
        more = True
        while more and len(waiting) < self._least:
            taken = self._take(self._least - len(waiting))
            more = bool(taken)
            for item in taken:
                if not isinstance(item, Candidates):
                    attempt, units = item
                    waiting.extend((attempt, unit, pixels) for unit, pixels in units)
                elif isinstance(extractor, ChoosingExtractor):
                    began = time.perf_counter()
                    waiting.extend(extractor.choose(item))
                    with self._tally_lock:
                        self.tally.encode_seconds += time.perf_counter() - began
        return [waiting.popleft() for _ in range(min(self._options.batch_size, len(waiting)))]

    def _take(self, frames: int) -> list[_Units | Candidates]:
        """What gives so many frames, less at the end; one worker takes at a time, so that none starves another of its last
        frames."""
        taken: list[_Units | Candidates] = []
        with self._fill_lock:
            while len(taken) * self._frames_each < frames:
                try:
                    item = self._pixels.get(timeout=0.1)
                except queue.Empty:
                    if self._stop.is_set():
                        raise Stopped from None
                    continue
                if item is None:
                    self._put(self._pixels, None)  # for the other workers
                    break
                taken.append(item)
        return taken

    # writing

    def _write(self) -> None:
        while True:
            try:
                finished = self._finished.get(timeout=0.1)
            except queue.Empty:
                if self._ended.is_set():
                    return
                continue
            if finished is None:
                return
            subject, error = finished
            began = time.perf_counter()
            job = subject.job if isinstance(subject, Attempt) else subject
            if error is None:
                try:
                    self._outcome.done(subject)
                except ClipreelError as problem:
                    error = problem
            if error is not None:
                self._outcome.failed(job, error)
            self.tally.write_seconds += time.perf_counter() - began


def run_together(pipelines: Sequence[Pipeline], videos: VideoQueue | Iterable[Video], tick: Callable[[], None]) -> None:
    """Decode every video once for all pipelines that want it: `videos` says which (by their places), as which job of theirs.
    Ends when the queue is closed and empty.

    As `Pipeline.run`. The first pipeline's reader and workers are all of them's, and its tally has the decoding's seconds.
    """
    first = pipelines[0]
    for pipeline in pipelines:
        pipeline._stop = first._stop
    queued = videos if isinstance(videos, VideoQueue) else VideoQueue(videos)
    pool = DecodePool(first._options, first._stop, [pipeline._lane for pipeline in pipelines], queued)
    decoders = [first._thread(pool.work) for _ in range(first._options.cpu_threads)]
    decoders += [first._thread(pool.work, device) for device in first._options.nvdec for _ in range(THREADS)]
    every = [(pipeline, *pipeline._threads()) for pipeline in pipelines]
    workers, writers = [worker for _, some, _ in every for worker in some], [writer for _, _, writer in every]
    try:
        for thread in [*writers, *workers, *decoders]:
            thread.start()
        join(decoders, lambda: (tick(), pool.readers.say_stalled()))
        for pipeline in pipelines:
            pipeline._put(pipeline._pixels, None)
        join(workers, tick)
    except Stopped:
        pass
    except BaseException:  # an interrupt, or whatever a signal handler raised: the threads must not wait for more
        first._stop.set()
        raise
    finally:
        join([*decoders, *workers], lambda: None)
        for pipeline in pipelines:
            pipeline._ended.set()
            with suppress(queue.Full):  # then the writer has no time to wait
                pipeline._finished.put_nowait(None)  # it is the last, and spares a short run a tenth of a second
        join(writers, lambda: None)
        pool.close()
        first.tally.decode_seconds = pool.cpu_seconds
    crash = next((pipeline._crash for pipeline in pipelines if pipeline._crash is not None), None)
    if crash is not None:
        raise crash
