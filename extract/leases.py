"""Who is at which video: runs that share an output folder, on one machine or on many, never do a video twice at once.

A lease is a small file in `.leases` beside the features, made by whoever comes first. While its run lives, it is touched every
now and then; one that was not touched for long, or whose process on this machine is gone, may be taken over. Ages are compared
with a file that was just touched in the same folder, so that it is the file server's clock alone that counts.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import socket
import threading
from contextlib import suppress
from pathlib import Path

from .store.files import is_alive

FOLDER = ".leases"
SECONDS = 300.0  # without a touch: a machine that died, or a network that was cut for so long
_NUMBERS = itertools.count()


class Leases:
    """The leases of one run in one folder. Threads share it; `close` gives all of them back. `run`: workers of one run, of whom
    one is given a video, take over from each other."""

    def __init__(self, folder: Path, run: str | None = None):
        self._folder, self._run = folder / FOLDER, run
        self._held: set[str] = set()
        self._lock, self._closed = threading.Lock(), threading.Event()
        self._keeper: threading.Thread | None = None

    def take(self, name: str) -> bool:
        """Whether `name` is this run's; False: another run that lives is at it. Raises OSError."""
        with self._lock:
            if name in self._held:
                return True
        self._folder.mkdir(exist_ok=True)
        path = self._folder / name
        while not self._make(path):
            if self._take_over(path):
                break
            if not self._is_left(path):
                return False
            # Of several that find it left, one moves it away.
            aside = self._own_file()
            with suppress(FileNotFoundError):
                os.rename(path, aside)
                aside.unlink()
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
        """Remove what runs on this machine left when they were killed."""
        for path in self._folder.glob("*") if self._folder.is_dir() else ():
            with suppress(OSError, ValueError):
                if path.name.startswith("."):
                    host, process, _ = path.name[1:].rsplit(".", 2)
                else:
                    owner = json.loads(path.read_text())
                    host, process = owner["host"], owner["process"]
                if host == socket.gethostname() and not is_alive(int(process)):
                    path.unlink(missing_ok=True)

    def _own_file(self) -> Path:
        return self._folder / f".{socket.gethostname()}.{os.getpid()}.{next(_NUMBERS)}"

    def _make(self, path: Path) -> bool:
        """The file with its content appears at once: linked, not opened and then written."""
        own = self._own_file()
        try:
            own.write_text(self._content())
            os.link(own, path)
        except FileExistsError:
            return False
        finally:
            own.unlink(missing_ok=True)
        return True

    def _take_over(self, path: Path) -> bool:
        """From a worker of this run, which is dead then."""
        try:
            if self._run is None or json.loads(path.read_text()).get("run") != self._run:
                return False
        except (FileNotFoundError, ValueError, AttributeError):
            return False
        own = self._own_file()
        own.write_text(self._content())
        os.replace(own, path)
        return True

    def _content(self) -> str:
        said = {"host": socket.gethostname(), "process": os.getpid()}
        return json.dumps(said if self._run is None else said | {"run": self._run})

    def _is_left(self, path: Path) -> bool:
        probe = self._own_file()
        probe.touch()
        try:
            age = probe.stat().st_mtime - path.stat().st_mtime
            owner = json.loads(path.read_text())
        except FileNotFoundError:
            return True  # given back meanwhile
        except ValueError as error:
            raise OSError(errno.EIO, f"{path} is no lease ({error}); remove it") from error
        finally:
            probe.unlink(missing_ok=True)
        return age > SECONDS or (owner["host"] == socket.gethostname() and not is_alive(owner["process"]))

    def _keep(self) -> None:
        while not self._closed.wait(SECONDS / 10):
            with self._lock:
                held = list(self._held)
            for name in held:
                with suppress(OSError):
                    os.utime(self._folder / name)
