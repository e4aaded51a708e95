"""What the server tells its pages: a log of numbered events that a page can take up again where it lost it."""

from __future__ import annotations

import itertools
import json
import secrets
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

_MOST_EVENTS, _MOST_CHARACTERS = 4000, 4_000_000


class EventLog:
    """Appended to from any thread. `boot` is another one at each start: numbers of an earlier one mean nothing any more."""

    def __init__(self, most_events: int = _MOST_EVENTS, most_characters: int = _MOST_CHARACTERS):
        self.boot = secrets.token_hex(8)
        self._most_events, self._most_characters = most_events, most_characters
        self._lock = threading.Lock()
        self._events: deque[tuple[int, str]] = deque()
        self._characters = self._last = 0
        self._listeners: dict[int, Callable[[], object]] = {}
        self._numbers = itertools.count()

    @property
    def last(self) -> int:
        with self._lock:
            return self._last

    def append(self, kind: str, **content: Any) -> None:
        with self._lock:
            self._last += 1
            text = json.dumps({"seq": self._last, "kind": kind, **content})  # ASCII: a file's name may be no text
            self._events.append((self._last, text))
            self._characters += len(text)
            while len(self._events) > 1 and (len(self._events) > self._most_events or self._characters > self._most_characters):
                self._characters -= len(self._events.popleft()[1])
            listeners = list(self._listeners.values())
        for listener in listeners:
            listener()

    def since(self, number: int) -> list[tuple[int, str]] | None:
        """(number, JSON) of the events after `number`; None when some of them are no longer kept, or never were."""
        with self._lock:
            if number > self._last or (self._events and number < self._events[0][0] - 1):
                return None
            missing = self._last - number
            return list(itertools.islice(self._events, len(self._events) - missing, None)) if missing else []

    def listen(self, listener: Callable[[], object]) -> Callable[[], object]:
        """Call `listener` after each event, from the thread that appended it; returns what ends that."""
        number = next(self._numbers)
        with self._lock:
            self._listeners[number] = listener
        return lambda: self._listeners.pop(number, None)
