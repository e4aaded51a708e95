"""Who is at which video, where the output is at a URL. As `leases`, by files that can be made only where there is none.

A lease that is left behind is removed and made anew; of several runs that do so at once the last one has it, which each sees
when it looks again. Ages are told by the server's clock.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from contextlib import suppress
from typing import Any

from . import leases, remote
from .store.object_place import StoreAtUrl
from .store.store import FeatureStore

_LOOK_AGAIN_SECONDS = 1.0


class ObjectLeases:
    """The verbs of `Leases`. `run`: workers of one run, of whom one is given a video, take over from each other."""

    def __init__(self, place: str, run: str | None = None):
        self._place, self._run = f"{place}/{leases.FOLDER}", run
        self._held: dict[str, bytes] = {}
        self.suspects: set[str] = set()
        self._lock, self._closed = threading.Lock(), threading.Event()
        self._keeper: threading.Thread | None = None

    def take(self, name: str) -> bool:
        """Whether `name` is this run's; False: another run that lives is at it. Raises OSError."""
        with self._lock:
            if name in self._held:
                return True
        url, own, left, deaths = f"{self._place}/{name}", self._content(), False, 0
        while not remote.create(url, own):
            there = remote.read_if_there(url)
            if there is None:
                continue
            owner = leases.owner_of(there)
            if self._run is not None and owner.get("run") == self._run:
                remote.write_bytes(url, own)
                break
            if not self._is_left(url, owner):
                return False
            left, deaths = True, leases.deaths_with(owner) + 1
            own = self._content(deaths)
            if remote.read_if_there(url) == there:
                remote.remove(url)
        if left:
            time.sleep(_LOOK_AGAIN_SECONDS)
            if remote.read_if_there(url) != own:
                return False
        if deaths >= leases.DEATHS:
            self.suspects.add(name)
        with self._lock:
            self._held[name] = own
            if self._keeper is None:
                self._keeper = threading.Thread(target=self._keep, daemon=True)
                self._keeper.start()
        return True

    def give_back(self, name: str) -> None:
        with self._lock:
            own = self._held.pop(name, None)
        if own is not None:
            remote.remove(f"{self._place}/{name}")

    def close(self) -> None:
        self._closed.set()
        if self._keeper is not None:
            self._keeper.join()
        for name in list(self._held):
            with suppress(OSError):
                self.give_back(name)

    def _content(self, deaths: int = 0) -> bytes:
        return json.dumps({**leases.owner(self._run, deaths), "token": secrets.token_hex(8)}).encode()

    def _is_left(self, url: str, owner: dict[str, Any]) -> bool:
        if leases.is_dead(owner):
            return True
        probe = f"{self._place}/.{secrets.token_hex(8)}"
        remote.write_bytes(probe, b"")
        try:
            now, touched = remote.modified(probe), remote.modified(url)
        finally:
            remote.remove(probe)
        return now is not None and touched is not None and (now - touched).total_seconds() > leases.SECONDS

    def _keep(self) -> None:
        while not self._closed.wait(leases.SECONDS / 10):
            with self._lock:
                held = dict(self._held)
            for name, own in held.items():
                with suppress(OSError):
                    if remote.read_if_there(f"{self._place}/{name}") == own:  # and nobody took it for left
                        remote.write_bytes(f"{self._place}/{name}", own)


def leases_of(store: FeatureStore, run: str | None = None) -> leases.Leases | ObjectLeases:
    return ObjectLeases(store.place, run) if isinstance(store, StoreAtUrl) else leases.Leases(store.folder, run)
