"""What decodes in a child, spoiled by the video's name: it crashes, hangs, or holds the interpreter's lock for ever, for real."""

import ctypes
import os
import signal
import time
from pathlib import Path

from clipreel.extract import decode_child, decode_process
from clipreel.extract.decode.pyav import PyavReader
from clipreel.extract.fetching import Fetcher

CHILD = "import sys; sys.path[:] = {path!r}; from clipreel.tests.faulty_child import serve; serve()"


def spoil(path: Path) -> None:
    word = path.stem.partition("-")[0]
    if word == "healed":
        return
    if word == "once":  # only the first time
        if path.with_suffix(".mark").exists():
            return
        path.with_suffix(".mark").touch()
    if word in ("once", "crash"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if word == "hang":
        time.sleep(1000)
    if word == "spin":
        ctypes.PyDLL(None).sleep(1000)  # unlike CDLL it keeps the lock


def serve() -> None:
    plain_index, plain_frames = PyavReader.index, PyavReader.frames

    def index(self, path, *, by_decoding=False):
        if path.stem.endswith("-index"):
            spoil(path)
        return plain_index(self, path, by_decoding=by_decoding)

    def frames(self, index, wanted, *, allow_truncated=False):
        for number, batch in enumerate(plain_frames(self, index, wanted, allow_truncated=allow_truncated)):
            if number == (2 if index.path.stem.startswith("once") else 0):
                spoil(index.path)
            yield batch

    PyavReader.index, PyavReader.frames = index, frames
    decode_child.serve()


def spoil_workers() -> None:
    """In a worker of a cluster: its decoders are such, and what it fetches keeps its name."""
    decode_process._CHILD, free_name = CHILD, Fetcher._free_name

    def named(self, item):
        path = free_name(self, item)
        return path.with_name(f"{item.name}-{path.name}")

    Fetcher._free_name = named
