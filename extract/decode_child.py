"""What runs in a process of `decode_process.py`: readers, asked through standard input, answering through standard output."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pickle
import queue
import signal
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .decode.registry import reader_for
from .frames import VideoIndex

_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG
MEMORY_BYTES = 8 << 30  # that it may take: sixteen references of 16384x8192 pixels, and one as RGB. FFmpeg says so when it is over
FRACTIONS = ("time_base", "start_seconds", "fps")  # of a VideoIndex; in JSON pairs of numbers


def serve() -> None:
    """Answer requests until the parent is gone or kills this process."""
    if sys.platform == "linux":  # it goes with the thread that started it, even while a decoder holds the interpreter's lock
        ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        with contextlib.suppress(OSError):  # a machine without memory is to end this process, not the run
            Path("/proc/self/oom_score_adj").write_text("1000")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for whatever a library prints
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_hear, args=(sys.stdin.buffer, requests), daemon=True).start()
    with contextlib.suppress(BrokenPipeError):
        _say(answers, {"ready": True})
        while True:
            name, fps, path, method, *arguments = requests.get()
            began, said = time.process_time(), {}
            try:
                if name != "torchcodec":  # CUDA takes addresses by the terabyte
                    _bound_memory()
                reader = reader_for(path, name, fps)
                if method == "index":
                    _say_index(answers, reader.index(path, by_decoding=arguments[0]))
                else:
                    index, wanted, allow_truncated = arguments
                    for batch in reader.frames(index, wanted, allow_truncated=allow_truncated):
                        _say(answers, {}, batch.pixels, batch.frames, batch.timestamps_ms)
            except BrokenPipeError:
                raise
            except Exception as error:  # noqa: BLE001  raised again by the parent
                said = {"error": type(error).__name__, "text": str(error)}
            _say(answers, {"cpu_seconds": time.process_time() - began, **said})


def _bound_memory() -> None:
    if sys.platform != "linux":
        return
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES if most == resource.RLIM_INFINITY else min(MEMORY_BYTES, most), most))


def _hear(stream: BinaryIO, requests: queue.SimpleQueue[Any]) -> None:
    while True:
        try:
            requests.put(pickle.load(stream))
        except EOFError:  # the parent is gone, and nobody else would end a decoder that hangs
            os.killpg(0, signal.SIGKILL)


def _say_index(answers: BinaryIO, index: VideoIndex) -> None:
    said = {name: [value.numerator, value.denominator] if (value := getattr(index, name)) is not None else None
            for name in FRACTIONS}
    said |= {name: getattr(index, name) for name in ("width", "height", "end_pts", "damage", "said_end_pts")}
    packets = index.packets
    _say(answers, said, index.pts, *((packets.pts, packets.shows, packets.entry) if packets is not None else ()))


def _say(answers: BinaryIO, said: dict[str, Any], *arrays: np.ndarray) -> None:
    words = json.dumps({**said, "arrays": [[array.dtype.name, array.shape] for array in arrays]}).encode()
    answers.write(struct.pack("<I", len(words)) + words)
    for array in arrays:
        answers.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    answers.flush()
