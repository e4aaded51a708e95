"""Ending work that is under way in other threads."""

from __future__ import annotations

import threading


class StoppedError(Exception):
    """The work was cancelled, paused, or makes room for other work."""


class Control:
    """Asked by the working threads at every step."""

    def __init__(self):
        self._stopped = threading.Event()

    def stop(self) -> None:
        self._stopped.set()

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    def check(self) -> None:
        """Raises StoppedError."""
        if self._stopped.is_set():
            raise StoppedError
