"""The processes in which videos are decoded: started, asked, killed. What they do is `decode_child.py`.

A pipe, not named shared memory: of a pipe nothing is left behind, whoever is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import queue
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ClipreelError
from .lane import Stopped

Spend = Callable[[float], None]  # is told of seconds that were waited, and may raise
_START_SECONDS = 120.0
_PIPE_BYTES = 1 << 20
_DTYPES = ("uint8", "int64", "float64", "bool")
# The folders where this program was found, since the child has not the same working directory or main program.
_CHILD = "import sys; sys.path[:] = {path!r}; from {package}.decode_child import serve; serve()"


class Death(Exception):
    """A child is no more; the message says of what. `late`: it was killed for taking too long."""

    def __init__(self, message: str, *, late: bool = False):
        super().__init__(message)
        self.late = late


class DecodeProcesses:
    """A run's children, started when first needed; an idle one takes the next request. Threads share it."""

    def __init__(self, stopped: threading.Event):
        self._stopped = stopped
        self._idle: queue.SimpleQueue[DecodeProcess] = queue.SimpleQueue()
        self._started: list[DecodeProcess] = []
        self._lock, self.cpu_seconds = threading.Lock(), 0.0
        self._deaths: dict[Path, int] = {}  # of the processes at a video

    def died(self, path: Path, before: int) -> int:
        """How often it has, by now; `before`: in earlier runs."""
        with self._lock:
            self._deaths[path] = self._deaths.get(path, before) + 1
            return self._deaths[path]

    def take(self) -> DecodeProcess:
        with contextlib.suppress(queue.Empty):
            while True:
                child = self._idle.get_nowait()
                if child.lives:
                    return child
                child.kill()
        child = DecodeProcess(self._stopped)
        with self._lock:
            self._started = [*(one for one in self._started if not one.is_buried), child]
        return child

    def give_back(self, child: DecodeProcess, cpu_seconds: float) -> None:
        self._idle.put(child)
        with self._lock:
            self.cpu_seconds += cpu_seconds

    def close(self) -> None:
        """End them all; none is at work any more, though an interrupt may have left one in the middle of an answer."""
        for child in self._started:
            child.kill()


class DecodeProcess:
    """The parent's side of a process."""

    def __init__(self, stopped: threading.Event):
        self._stopped, code = stopped, _CHILD.format(path=sys.path, package=__package__)
        # A session of its own: ^C is the parent's to answer, and with the child go the processes that it started.
        self._process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
                                         start_new_session=True)
        assert self._process.stdin is not None and self._process.stdout is not None
        self._requests, self._answers = self._process.stdin.fileno(), self._process.stdout.fileno()
        for pipe in (self._requests, self._answers):
            os.set_blocking(pipe, False)
            _widen(pipe)
        waited, ready = [0.0], False

        def spend(seconds: float) -> None:
            waited[0] += seconds
            if waited[0] > _START_SECONDS:
                raise Death(f"did not start within {_START_SECONDS:g} s")

        try:
            ready = "ready" in self.receive(spend)[0]
        except Death as death:
            raise ClipreelError(f"isolate=true: the process that is to decode {death}") from None
        finally:
            if not ready:
                self.kill()

    @property
    def lives(self) -> bool:
        return self._process.poll() is None

    @property
    def is_buried(self) -> bool:
        """Asks nothing: one that died and was not killed may have left processes that go with it."""
        return self._process.returncode is not None

    def kill(self) -> int:
        """Its exit code, or minus the signal that ended it."""
        if self._process.returncode is None:  # its number is still its own
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        return code

    def send(self, request: tuple[Any, ...], spend: Spend) -> None:
        left = memoryview(pickle.dumps(request))
        while left:
            try:
                left = left[os.write(self._requests, left):]
            except BlockingIOError:
                self._wait(self._requests, select.POLLOUT, spend)
            except BrokenPipeError:
                raise self._death() from None

    def receive(self, spend: Spend) -> tuple[dict[str, Any], list[np.ndarray]]:
        """An answer: words, and arrays behind them."""
        (length,) = struct.unpack("<I", self._read(bytearray(4), spend))
        said = json.loads(self._read(bytearray(length), spend))
        arrays = []
        for dtype, shape in said.pop("arrays", ()):
            arrays.append(np.empty(shape, _DTYPES[_DTYPES.index(dtype)]))
            self._read(arrays[-1].reshape(-1).view(np.uint8), spend)
        return said, arrays

    def _read(self, buffer: Any, spend: Spend) -> Any:
        """The buffer, filled."""
        left = memoryview(buffer)
        while left:
            try:
                count = os.readv(self._answers, [left])
            except BlockingIOError:
                self._wait(self._answers, select.POLLIN, spend)
                continue
            if not count:
                raise self._death()
            left = left[count:]
        return buffer

    def _wait(self, pipe: int, event: int, spend: Spend) -> None:
        if self._stopped.is_set():
            raise Stopped
        began, poll = time.monotonic(), select.poll()
        poll.register(pipe, event)
        poll.poll(200)
        spend(time.monotonic() - began)

    def _death(self) -> Death:
        """Raises Stopped where the run is over: it may only have gone with the thread that started it."""
        code = self.kill()
        if self._stopped.is_set():
            raise Stopped
        return Death(f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}")


def _widen(pipe: int) -> None:
    import fcntl

    if hasattr(fcntl, "F_SETPIPE_SZ"):  # Linux
        with contextlib.suppress(OSError):  # a user's pipes may be rationed
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
