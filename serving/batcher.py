"""Requests of many clients -> batches of the encoder: one queue, a thread a device.

A free device takes what is there at once, so a lone client waits for nothing. A device that has just finished a batch of several
requests gives their clients a moment to come back, or it would go on with the one request that came meanwhile.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ..extract.framewise import FramewiseExtractor
from ..models.base import Encoder

log = logging.getLogger("clipreel")

Rows = Sequence[str] | np.ndarray  # texts, or crops: uint8 [n, 3, S, S] or [n, T, 3, S, S]
Kind = Literal["texts"] | tuple[int, ...]  # what may share a batch: texts, or crops of one shape


@dataclass(eq=False)
class Work:
    """A request's rows on their way. Its parts may go into several batches."""

    kind: Kind
    rows: Rows
    future: Future[np.ndarray] = field(default_factory=Future)  # float32 [n, dim]
    taken: int = 0
    parts: dict[int, np.ndarray] = field(default_factory=dict)  # first row -> features
    lock: threading.Lock = field(default_factory=threading.Lock)  # two devices may have parts of it

    def take(self, most: int) -> tuple[int, int]:
        begin, self.taken = self.taken, min(len(self.rows), self.taken + most)
        return begin, self.taken

    def put(self, begin: int, features: np.ndarray) -> None:
        with self.lock:
            self.parts[begin] = features
            if not self.future.done() and sum(map(len, self.parts.values())) == len(self.rows):
                self.future.set_result(np.concatenate([self.parts[first] for first in sorted(self.parts)]))

    def fail(self, error: Exception) -> None:
        with self.lock:
            if not self.future.done():
                self.future.set_exception(error)


@dataclass
class Tally:
    """What the devices did."""

    batches: int = 0
    rows: int = 0
    seconds: float = 0.0


class Batcher:
    """`submit` from any thread; every future gets its features, or the encoder's error."""

    def __init__(self, encoders: Sequence[Encoder], batch_size: int, max_wait_seconds: float):
        self.tally = Tally()
        self._batch_size, self._max_wait = batch_size, max_wait_seconds
        self._queue: deque[Work] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._threads = [threading.Thread(target=self._serve, args=(encoder,), daemon=True, name=f"encoder-{number}")
                         for number, encoder in enumerate(encoders)]

    @property
    def alive(self) -> bool:
        return all(thread.is_alive() for thread in self._threads)

    @property
    def queued(self) -> int:
        """Rows that no device has taken yet."""
        with self._changed:
            return self._waiting()

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish what was submitted, then end."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def submit(self, kind: Kind, rows: Rows) -> Future[np.ndarray]:
        """Features of at least one row. Raises RuntimeError after `stop`."""
        work = Work(kind, rows)
        work.future.set_running_or_notify_cancel()  # from here on nobody cancels it under the device's hands
        with self._changed:
            if self._stopping:
                raise RuntimeError("the batcher has stopped")
            self._queue.append(work)
            self._changed.notify_all()
        return work.future

    def _serve(self, encoder: Encoder) -> None:
        extractor, limit, came, ended = FramewiseExtractor(encoder), self._batch_size, 1, 0.0
        while batch := self._next(limit, came, ended):
            limit = self._encode(extractor, batch, limit)
            came, ended = len(batch), time.monotonic()

    def _next(self, limit: int, came: int, ended: float) -> list[tuple[Work, int, int]]:
        """The next batch, (work, first row, end row) each; empty when all is done and `stop` was called. `came`, `ended`: how
        many requests this device's last batch was of, and when it was through."""
        with self._changed:
            while not self._queue and not self._stopping:
                self._changed.wait()
            while self._queue and came > 1 and not self._stopping and len(self._queue) < came and self._waiting() < limit:
                left = ended + self._max_wait - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    break
            while not self._queue and not self._stopping:  # another device was quicker
                self._changed.wait()
            batch, room = [], limit
            kind = self._queue[0].kind if self._queue else None
            for work in [work for work in self._queue if work.kind == kind]:
                begin, end = work.take(room)
                batch.append((work, begin, end))
                room -= end - begin
                if end == len(work.rows):
                    self._queue.remove(work)
                if not room:
                    break
            return batch

    def _waiting(self) -> int:
        return sum(len(work.rows) - work.taken for work in self._queue)

    def _encode(self, extractor: FramewiseExtractor, batch: list[tuple[Work, int, int]], limit: int) -> int:
        """Answers every part of the batch; the batch size to go on with: halved where device memory ran out."""
        import torch

        began = time.perf_counter()
        try:
            features = _features(extractor, [work.rows[begin:end] for work, begin, end in batch])
        except torch.OutOfMemoryError as error:
            if limit <= 1:
                self._fail(batch, error)
                return limit
        except Exception as error:  # noqa: BLE001  the server outlives what one request brings about
            if len(batch) == 1:
                self._fail(batch, error)
            for part in batch if len(batch) > 1 else ():
                self._encode(extractor, [part], limit)  # only those whose fault it is shall hear of it
            return limit
        else:
            with self._changed:  # before anybody hears of it, so that who has an answer finds it counted
                self.tally.batches += 1
                self.tally.rows += len(features)
                self.tally.seconds += time.perf_counter() - began
            place = 0
            for work, begin, end in batch:
                work.put(begin, features[place:place + end - begin])
                place += end - begin
            return limit
        torch.cuda.empty_cache()
        limit = max(1, min(limit, sum(end - begin for _, begin, end in batch)) // 2)
        log.warning("%s: out of memory; going on with batches of %d", extractor.encoder.device, limit)
        for work, begin, end in batch:
            while begin < end:
                part = (work, begin, min(begin + limit, end))
                limit, begin = min(limit, self._encode(extractor, [part], limit)), part[2]
        return limit

    def _fail(self, batch: list[tuple[Work, int, int]], error: Exception) -> None:
        for work, _, _ in batch:
            with self._changed:
                if work in self._queue:  # its other parts need not be tried
                    self._queue.remove(work)
            work.fail(error)


def _features(extractor: FramewiseExtractor, parts: list[Rows]) -> np.ndarray:
    """Parts of one kind -> float32 [n, dim]."""
    import torch

    if isinstance(parts[0], np.ndarray):
        return extractor.encode(torch.from_numpy(np.concatenate(parts)))
    texts = [text for part in parts for text in part]
    return extractor.encoder.encode_text(texts).float().cpu().numpy()
