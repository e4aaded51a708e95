"""`isolate=true`: videos are decoded in processes of their own. One that crashes or hangs costs its video and nothing else.

A child runs any reader, for one request at a time, and answers through a pipe: frames, times and order are the reader's own.
What it sends is JSON and plain arrays, never pickles: it has read files that nobody trusts.
"""

from __future__ import annotations

import builtins
import logging
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from .. import errors
from ..errors import DecoderDiedError, QuarantinedError
from .decode_child import FRACTIONS
from .decode_process import Death, DecodeProcesses
from .frames import FrameBatch, PacketTable, VideoIndex

log = logging.getLogger("clipreel")
DEATHS = 2  # of its process that put a video into quarantine
SECONDS = 600.0  # a video's decoding may take, where no limit is given; and twice as long as it plays,
_LONGEST_SECONDS = 86400.0  # if that is no lie


class IsolatedReader:
    """A reader of one video (`decode/base.py`) that works in children. Raises DecoderDiedError, too.

    A child that dies is replaced once, and goes on with the frames that are missing; after the second death, those of
    earlier runs (`deaths`) counted, it is QuarantinedError. One that takes too long is killed, and the video has failed.
    `seconds_limit`: of waiting for answers, all the video's requests together; None: SECONDS and twice its length.
    """

    def __init__(self, processes: DecodeProcesses, name: str, fps: float | None, seconds_limit: float | None, deaths: int = 0):
        self._processes, self._name, self._fps = processes, name, fps
        self._given_limit, self._limit = seconds_limit, seconds_limit or SECONDS
        self._lock, self._seconds, self._deaths_before = threading.Lock(), 0.0, deaths

    def index(self, path: Path, *, by_decoding: bool = False) -> VideoIndex:
        while True:
            try:
                (index,) = (_index(path, said, arrays) for said, arrays in self._ask(path, "index", by_decoding))
            except Death as death:
                self._bury(path, death)
                continue
            if self._given_limit is None:
                self._limit = SECONDS + 2 * min(index.duration_seconds, _LONGEST_SECONDS)
            return index

    def frames(self, index: VideoIndex, wanted: np.ndarray, *, allow_truncated: bool = False) -> Iterator[FrameBatch]:
        came: set[int] = set()
        while True:
            left = wanted[~np.isin(wanted, list(came))]
            try:
                for _, arrays in self._ask(index.path, "frames", index, left, allow_truncated):
                    batch = FrameBatch(*arrays)
                    came.update(batch.frames.tolist())
                    yield batch
                return
            except Death as death:
                self._bury(index.path, death)

    def _ask(self, path: Path, *request: Any) -> Iterator[tuple[dict[str, Any], list[np.ndarray]]]:
        """The answers to a request; the child is killed where they are not heard to the end."""
        child, finished = self._processes.take(), None
        try:
            child.send((self._name, self._fps, path, *request), self._spend)
            while True:
                said, arrays = child.receive(self._spend)
                if "cpu_seconds" not in said:
                    yield said, arrays
                    continue
                finished = said["cpu_seconds"]
                if "error" in said:
                    raise _error(said["error"], said["text"])
                return
        finally:
            if finished is None:
                child.kill()
            else:
                self._processes.give_back(child, finished)

    def _spend(self, seconds: float) -> None:
        """So long was waited."""
        with self._lock:
            self._seconds += seconds
            if self._seconds > self._limit:
                raise Death(f"took longer than {self._limit:g} s and was killed (decode_seconds_limit= sets how long it may take)",
                            late=True)

    def _bury(self, path: Path, death: Death) -> None:
        """Returns where another child may try."""
        deaths = self._processes.died(path, self._deaths_before)
        if deaths >= DEATHS:
            raise QuarantinedError(f"{path}: the process that decodes it {death}, the second time: in quarantine, it is left out "
                                   "until retry_failed=true", deaths) from None
        if death.late:
            raise DecoderDiedError(f"{path}: the process that decodes it {death}", deaths) from None
        log.warning("%s: the process that decodes it %s; another one tries once more", path, death)


def _error(name: str, text: str) -> Exception:
    """The error that the reader raised, as it would have been in this process."""
    kind = getattr(errors, name, None) or getattr(builtins, name, None)
    if not (isinstance(kind, type) and issubclass(kind, Exception)):
        return RuntimeError(f"{name}: {text}")
    return kind.__new__(kind, text)  # without its __init__, which may want other words


def _index(path: Path, said: dict[str, Any], arrays: list[np.ndarray]) -> VideoIndex:
    time_base, start_seconds, fps = (Fraction(*pair) if (pair := said.pop(name)) is not None else None for name in FRACTIONS)
    assert time_base is not None and start_seconds is not None
    pts, *packets = arrays
    return VideoIndex(path, time_base=time_base, start_seconds=start_seconds, fps=fps, pts=pts,
                      packets=PacketTable(*packets) if packets else None, **said)
