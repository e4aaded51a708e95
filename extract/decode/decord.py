"""The reader `decord`, for numbers made with it. It always runs in a child process: on some files it spins for ever
holding the interpreter's lock (its issue 373), which only killing a process ends.

Times come from our own index; decord is asked for frames by number and checked against that index's count.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from ...errors import DamagedVideoError, IndexMismatchError, MissingExtraError, UnreadableVideoError
from ..frames import FrameBatch, VideoIndex
from .index import index_video

# The child: a line of JSON with the count, then for each wanted frame a line with its shape and the bytes.
_CHILD = """
import json, sys
try:
    import decord
except ImportError:
    print(json.dumps({"missing": True}), flush=True)
    sys.exit()
try:
    reader = decord.VideoReader(sys.argv[1], num_threads=1)
    print(json.dumps({"frames": len(reader)}), flush=True)
    for line in sys.stdin:
        pixels = reader[int(line)].asnumpy()
        print(json.dumps({"shape": pixels.shape}), flush=True)
        sys.stdout.buffer.write(pixels.tobytes())
        sys.stdout.buffer.flush()
except Exception as error:
    print(json.dumps({"error": (str(error) or type(error).__name__).splitlines()[0]}), flush=True)
"""


class DecordReader:
    """Frames by decord 0.6. `seconds_per_frame`: how long one answer may take before the child is killed."""

    def __init__(self, seconds_per_frame: float = 60.0):
        self._limit = seconds_per_frame

    def index(self, path: Path, *, by_decoding: bool = False) -> VideoIndex:
        return index_video(path, by_decoding=by_decoding)

    def frames(self, index: VideoIndex, wanted: np.ndarray, *, allow_truncated: bool = False) -> Iterator[FrameBatch]:
        if index.damage and not allow_truncated:
            raise DamagedVideoError(f"{index.path}: {index.damage} (reader=pyav with allow_truncated=true "
                                    "keeps what decodes)")
        child = subprocess.Popen([sys.executable, "-c", _CHILD, str(index.path.absolute())], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert child.stdin is not None and child.stdout is not None
        try:
            answer = self._answer(child, index.path)
            if answer.get("frames") != len(index):
                # decord drops edit lists and guesses counts; a wrong frame under a right time would be a silent error
                raise (UnreadableVideoError if index.packets is None else IndexMismatchError)(
                    f"{index.path}: decord sees {answer.get('frames')} frames where there are {len(index)}; "
                    "its frames cannot be matched to times: use reader=pyav")
            for place in wanted.tolist():
                child.stdin.write(f"{place}\n".encode())
                child.stdin.flush()
                pixels = self._pixels(child, index.path)
                places = np.array([place], dtype=np.int64)
                yield FrameBatch(_to_display(pixels, index)[None], places, index.times_ms(index.pts[places]))
        finally:
            child.kill()
            child.wait()
            child.stdin.close()
            child.stdout.close()

    def _answer(self, child: subprocess.Popen[bytes], path: Path) -> dict:
        assert child.stdout is not None
        line = self._in_time(child, path, child.stdout.readline)
        answer = json.loads(line) if line else {"error": f"its process died (exit {child.wait()})"}
        if answer.get("missing"):
            raise MissingExtraError("decord", "decord", "reader=decord")
        if "error" in answer:
            raise UnreadableVideoError(f"{path}: decord fails ({answer['error']}); use reader=pyav")
        return answer

    def _pixels(self, child: subprocess.Popen[bytes], path: Path) -> np.ndarray:
        shape = self._answer(child, path)["shape"]
        stream: IO[bytes] | None = child.stdout
        assert stream is not None
        data = self._in_time(child, path, lambda: stream.read(int(np.prod(shape))))
        return np.frombuffer(data, dtype=np.uint8).reshape(shape)

    def _in_time(self, child: subprocess.Popen[bytes], path: Path, read) -> bytes:
        """`read()`, with the child killed when it takes too long (the pipe then ends)."""
        late = threading.Event()
        timer = threading.Timer(self._limit, lambda: (late.set(), child.kill()))
        timer.start()
        try:
            data = read()
        finally:
            timer.cancel()
        if late.is_set():
            raise UnreadableVideoError(f"{path}: decord did not answer within {self._limit:g} s and was killed; "
                                       "use reader=pyav")
        return data


def _to_display(pixels: np.ndarray, index: VideoIndex) -> np.ndarray:
    """decord turns pictures upright itself but knows no pixel aspect ratio."""
    if pixels.shape[:2] == (index.height, index.width):
        return pixels
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).resize((index.width, index.height), Image.Resampling.BICUBIC))
