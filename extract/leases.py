"""Who is at which video: runs that share an output folder, on one machine or on many, never do a video twice at once.

A lease is a small file in `.leases` beside the features, made by whoever comes first. While its run lives, it is touched every
now and then; one that was not touched for long, or whose process on this machine is gone, may be taken over. Ages are compared
with a file that was just touched in the same folder, so that it is the file server's clock alone that counts.

A lease that is taken over from the dead also says how many runs have died with it: a video that was at hand twice is decoded in a
process of its own from then on, for it may be what they died of (and if it is not, nothing is lost).
"""

from __future__ import annotations

import itertools
import json
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from .store.files import link, lives, locked, machine, this_process

FOLDER = ".leases"
SECONDS = 300.0  # without a touch: a machine that died, or a network that was cut for so long
DEATHS = 2  # of runs that make a video suspect
_NUMBERS = itertools.count()


class Leases:
    """The leases of one run in one folder. Threads share it; `close` gives all of them back. `run`: workers of one run, of whom
    one is given a video, take over from each other."""

    def __init__(self, folder: Path, run: str | None = None):
        self._folder, self._run = folder / FOLDER, run
        self._held: set[str] = set()
        self.suspects: set[str] = set()  # of the names that were taken, those that DEATHS runs have died with
        self._lock, self._closed = threading.Lock(), threading.Event()
        self._keeper: threading.Thread | None = None

    def take(self, name: str) -> bool:
        """Whether `name` is this run's; False: another run that lives is at it. Raises OSError."""
        with self._lock:
            if name in self._held:
                return True
        self._folder.mkdir(exist_ok=True)
        path, deaths = self._folder / name, 0
        while not self._make(path, deaths) and not self._take_over(path):
            with locked(self._folder.parent):  # of several here that find it left one moves it away
                left = self._left(path)
                if left is None:
                    return False
                deaths = deaths_with(owner_of(left)) + 1 if left else 0
                self._move_away(path, left)
                if self._make(path, deaths):
                    break
        if deaths >= DEATHS:
            self.suspects.add(name)
        with self._lock:
            self._held.add(name)
            if self._keeper is None:
                self._keeper = threading.Thread(target=self._keep, daemon=True)
                self._keeper.start()
        return True

    def give_back(self, name: str) -> None:
        """Where the disk may not be written any more, the lease ends with this process."""
        with self._lock:
            if name not in self._held:
                return
            self._held.discard(name)
        with suppress(OSError):
            (self._folder / name).unlink(missing_ok=True)

    def close(self) -> None:
        self._closed.set()
        if self._keeper is not None:
            self._keeper.join()
        for name in list(self._held):
            self.give_back(name)
        self._clear()
        with suppress(OSError):  # others are at work, or there never was one
            self._folder.rmdir()

    def _clear(self) -> None:
        """Remove what runs left when they were killed."""
        for path in self._folder.glob("*") if self._folder.is_dir() else ():
            with suppress(OSError, ValueError):
                if path.name.startswith("."):
                    host, process, _ = path.name[1:].rsplit(".", 2)
                    left = host == machine() and not lives(process)
                else:
                    content = self._left(path)
                    left = content is not None and path.read_bytes() == content
                if left:
                    path.unlink(missing_ok=True)

    def _own_file(self) -> Path:
        return self._folder / f".{machine()}.{this_process()}.{next(_NUMBERS)}"

    def _make(self, path: Path, deaths: int) -> bool:
        """The file with its content appears at once: linked, not opened and then written."""
        own, content = self._own_file(), self._content(deaths)
        try:
            try:
                own.write_text(content)
            except FileNotFoundError:  # a run that had the last lease took the folder with it
                self._folder.mkdir(exist_ok=True)
                own.write_text(content)
            return link(own, path)
        finally:
            own.unlink(missing_ok=True)

    def _move_away(self, path: Path, left: bytes) -> None:
        aside = self._own_file()
        with suppress(FileNotFoundError):
            os.rename(path, aside)
            if aside.read_bytes() != left:  # on another machine somebody was quicker, and this is his
                link(aside, path)
            aside.unlink(missing_ok=True)

    def _take_over(self, path: Path) -> bool:
        """From a worker of this run, which is dead then."""
        try:
            if self._run is None or owner_of(path.read_bytes()).get("run") != self._run:
                return False
        except FileNotFoundError:
            return False
        own = self._own_file()
        own.write_text(self._content())
        os.replace(own, path)
        return True

    def _content(self, deaths: int = 0) -> str:
        return json.dumps(owner(self._run, deaths))

    def _left(self, path: Path) -> bytes | None:
        """What the lease of a run that is no more says, empty where it was given back meanwhile; None where its run lives."""
        probe = self._own_file()
        try:
            probe.touch()
            age = probe.stat().st_mtime - path.stat().st_mtime
            content = path.read_bytes()
        except FileNotFoundError:
            return b""
        finally:
            probe.unlink(missing_ok=True)
        return content if age > SECONDS or is_dead(owner_of(content)) else None

    def _keep(self) -> None:
        while not self._closed.wait(SECONDS / 10):
            with self._lock:
                held = list(self._held)
            for name in held:
                with suppress(OSError):
                    os.utime(self._folder / name)


def owner(run: str | None, deaths: int = 0) -> dict[str, Any]:
    """What this process writes into a lease."""
    said: dict[str, Any] = {"host": machine(), "process": os.getpid(), "began": this_process().partition("-")[2]}
    return said | ({"run": run} if run is not None else {}) | ({"deaths": deaths} if deaths else {})


def owner_of(content: bytes) -> dict[str, Any]:
    """What a lease says; of one that says nothing (after a power cut), its age alone counts."""
    try:
        said = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def deaths_with(said: dict[str, Any]) -> int:
    """How many runs had died with it when it was written."""
    return said["deaths"] if isinstance(said.get("deaths"), int) else 0


def is_dead(said: dict[str, Any]) -> bool:
    """Of this machine, and its process is no more."""
    return said.get("host") == machine() and not lives(f"{said.get('process')}-{said.get('began', '')}")
