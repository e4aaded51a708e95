"""What stores at a URL share: how it is known that one can write there, and how runs keep out of each other's way."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from .. import remote
from .hdf5 import group_name
from .store import FeatureStore

log = logging.getLogger("clipreel")
_LOCK_SECONDS = 60.0  # a lock that stood unchanged for so long, while it was looked at, is of a run that died
# Protocols whose folders are but parts of names; s3fs would make a bucket of one that is misspelt.
_WITHOUT_FOLDERS = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oci", "memory"}


class StoreAtUrl(FeatureStore):
    """A prefix at a URL. It has no `folder`."""

    def __init__(self, url: str):
        self.place = url.rstrip("/")
        self.owner = secrets.token_hex(8)  # of locks; workers of one run have one

    def prepare(self) -> None:
        """Raises OSError where nothing can be written there."""
        fs, path = remote.connect(self.place)
        if not _WITHOUT_FOLDERS.intersection([fs.protocol] if isinstance(fs.protocol, str) else fs.protocol):
            with remote.os_errors(self.place):
                fs.makedirs(path, exist_ok=True)
        probe = f"{self.place}/.clipreel-write-test-{secrets.token_hex(4)}"
        if remote.create(probe, b"one") and remote.create(probe, b"two"):
            log.warning("%s: what is there is written over where only new files were asked for: two runs at once may do a video "
                        "twice", self.place)
        remote.remove(probe)

    @contextmanager
    def locked(self, name: str = "") -> Iterator[None]:
        """Alone among the runs that write videos of this name here. Raises OSError."""
        lock, own = self._lock_url(name), f"{self.owner}/{secrets.token_hex(8)}".encode()
        seen, since = None, time.monotonic()
        while not remote.create(lock, own):
            now = remote.read_if_there(lock)
            if now != seen:
                seen, since = now, time.monotonic()
            elif time.monotonic() - since > _LOCK_SECONDS:
                remote.remove(lock)
            time.sleep(0.05)
        done = threading.Event()
        keeper = threading.Thread(target=_keep, args=(lock, own, done), daemon=True)
        keeper.start()
        try:
            yield
        finally:
            done.set()
            keeper.join()
            with suppress(OSError):
                remote.remove(lock)

    def unlock(self, name: str) -> None:
        """Take away the lock of an owner who died. Raises OSError."""
        if (remote.read_if_there(self._lock_url(name)) or b"").startswith(f"{self.owner}/".encode()):
            remote.remove(self._lock_url(name))

    def write_beside(self, name: str, content: bytes) -> None:
        remote.write_bytes(self._url(name), content)

    def _lock_url(self, name: str) -> str:
        return f"{self.place}/.leases/write-{group_name(name)}"

    def _url(self, name: str) -> str:
        return f"{self.place}/{group_name(name)}"


def _keep(lock: str, own: bytes, done: threading.Event) -> None:
    """Say now and then that the lock's owner lives: what is sent may be large, and the line slow."""
    turn = 0
    while not done.wait(_LOCK_SECONDS / 4):
        turn += 1
        with suppress(OSError):
            remote.write_bytes(lock, own + f"/{turn}".encode())
