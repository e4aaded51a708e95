"""A thread whose end is known for certain."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence


class WorkerThread(threading.Thread):
    """`ended` is set while it is not at work: before its start, and once its function has returned or raised.

    Thread.join cannot tell before Python 3.13: where a signal handler raises inside it, as ^C does, it takes the thread that it
    waits for to be over (CPython's issue 90882), and what that one still uses would be closed under its hands.
    """

    def __init__(self, work: Callable[[], object]):
        super().__init__(daemon=True)
        self._work, self.ended = work, threading.Event()
        self.ended.set()

    def start(self) -> None:
        self.ended.clear()
        try:
            super().start()
        except RuntimeError:  # the system has no more threads
            self.ended.set()
            raise

    def run(self) -> None:
        try:
            self._work()
        finally:
            self.ended.set()


def join(threads: Sequence[WorkerThread], tick: Callable[[], object]) -> None:
    """Wait until all have ended; `tick` is called a few times a second, and at least once for each that is at work."""
    for thread in threads:
        while not thread.ended.is_set():
            thread.ended.wait(0.2)
            tick()
