"""The reader `decord`, for numbers made with it. It always runs in a child process: on some files it spins for ever
holding the interpreter's lock (its issue 373), which only killing a process ends.

Times come from our own index; decord's frames are matched to it by their number. It is never asked to seek or
skip: near an open GOP it then returns other frames than asked. So it decodes from the first frame to the last wanted.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import numpy as np

from ...errors import DamagedVideoError, IndexMismatchError, MissingExtraError, UnreadableVideoError
from ..frames import FrameBatch, VideoIndex
from .container import open_container, video_stream
from .index import index_video
from .picture import display_matrix, upright
from .pyav import PyavReader

# The child: a line of JSON with the count, then for each number of frames to skip the next frame: a line with its shape
# and the bytes. On a long way it shows that it lives.
_CHILD = """
import json, sys
sys.path = [folder for folder in sys.path if folder]
say = lambda **words: print(json.dumps(words), flush=True)
try:
    import decord
except ImportError:
    say(missing=True)
    sys.exit()
try:
    reader = decord.VideoReader(sys.argv[1], num_threads=1)
    say(frames=len(reader))
    for line in sys.stdin:
        for skipped in range(int(line)):
            reader.next()
            if skipped % 50 == 49:
                say(skipped=skipped)
        pixels = reader.next().asnumpy()
        say(shape=pixels.shape)
        sys.stdout.buffer.write(pixels.tobytes())
        sys.stdout.buffer.flush()
except Exception as error:
    say(error=(str(error) or type(error).__name__).splitlines()[0])
"""
_OTHER_PICTURE = 24  # mean difference in grey levels; another conversion of the same picture stays far below


class DecordReader:
    """Frames by decord 0.6. `seconds_per_answer`: how long it may be silent before the child is killed."""

    def __init__(self, seconds_per_answer: float = 60.0):
        self._limit = seconds_per_answer

    def index(self, path: Path, *, by_decoding: bool = False) -> VideoIndex:
        return index_video(path, by_decoding=by_decoding)

    def frames(self, index: VideoIndex, wanted: np.ndarray, *, allow_truncated: bool = False) -> Iterator[FrameBatch]:
        if index.damage and not allow_truncated:
            raise DamagedVideoError(f"{index.path}: {index.damage} (reader=pyav with allow_truncated=true "
                                    "keeps what decodes)")
        if weakness := _weakness(index):
            raise UnreadableVideoError(f"{index.path}: decord gives wrong frames for {weakness}: use reader=pyav")
        child = _Child(index.path, self._limit)
        try:
            count = child.answer()["frames"]
            if count != len(index):
                # decord drops edit lists and guesses counts; a wrong frame under a right time would be a silent error
                raise (UnreadableVideoError if index.packets is None else IndexMismatchError)(
                    f"{index.path}: decord sees {count} frames where there are {len(index)}; "
                    "its frames cannot be matched to times: use reader=pyav")
            first = _to_display(child.next_frame(skip=0), index)
            _check_first(first, index, allow_truncated)
            next_place = 1
            for place in wanted.tolist():
                pixels = first if place == 0 else _to_display(child.next_frame(skip=place - next_place), index)
                next_place = place + 1
                places = np.array([place], dtype=np.int64)
                yield FrameBatch(pixels[None], places, index.times_ms(index.pts[places]))
        finally:
            child.kill()


class _Child:
    """The process in which decord runs, and its answers, each within the limit."""

    def __init__(self, path: Path, limit: float):
        self._path, self._limit = path, limit
        self._process = subprocess.Popen([sys.executable, "-c", _CHILD, str(path.absolute())], bufsize=0,
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self._process.stdin is not None and self._process.stdout is not None
        self._requests: IO[bytes] = self._process.stdin
        self._answers = open(self._process.stdout.fileno(), "rb", closefd=False)  # noqa: SIM115 closed in `kill`

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._answers.close()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def next_frame(self, skip: int) -> np.ndarray:
        """The frame after the next `skip` ones, uint8 [h, w, 3]."""
        try:
            self._requests.write(b"%d\n" % skip)
        except BrokenPipeError:
            self.answer()  # says why it died
            raise
        while "shape" not in (answer := self.answer()):
            pass
        shape = answer["shape"]
        data = self._in_time(lambda: self._answers.read(int(np.prod(shape))))
        if len(data) < np.prod(shape) or len(shape) != 3 or shape[2] != 3:
            raise UnreadableVideoError(f"{self._path}: decord gives {len(data)} bytes as a picture of shape {shape}; "
                                       "use reader=pyav")
        return np.frombuffer(data, dtype=np.uint8).reshape(shape)

    def answer(self) -> dict:
        line = self._in_time(self._answers.readline)
        answer = json.loads(line) if line else {"error": f"its process died, exit code {self._process.wait()}"}
        if answer.get("missing"):
            raise MissingExtraError("decord", "decord", "reader=decord")
        if "error" in answer:
            raise UnreadableVideoError(f"{self._path}: decord fails ({answer['error']}); use reader=pyav")
        return answer

    def _in_time(self, read: Callable[[], bytes]) -> bytes:
        """`read()`, with the child killed when it takes too long (the pipe then ends)."""
        late = threading.Event()
        timer = threading.Timer(self._limit, lambda: (late.set(), self._process.kill()))
        timer.start()
        try:
            data = read()
        finally:
            timer.cancel()
        if late.is_set():
            raise UnreadableVideoError(f"{self._path}: decord did not answer within {self._limit:g} s and was killed; "
                                       "use reader=pyav")
        return data


def _weakness(index: VideoIndex) -> str | None:
    """What decord 0.6 is known to read wrongly; each was seen."""
    if len(index) and index.pts[0] < 0:
        return "videos that start before zero"
    with open_container(index.path) as container:
        stream = video_stream(container, index.path)
        name = container.format.name
        if "mpegts" in name or name == "mpeg":
            return "MPEG transport and program streams"
        if sum(not each.disposition & type(each.disposition).attached_pic for each in container.streams.video) > 1:
            return "files with several video streams (it takes the largest)"
        frame = next(container.decode(stream), None)
        matrix = display_matrix(frame) if frame is not None else None
    if matrix is not None:
        corners = np.arange(4).reshape(2, 2)
        turned = upright(corners[..., None], matrix)[..., 0]
        turn = next((turn for turn in range(4) if np.array_equal(turned, np.rot90(corners, turn))), None)
        if turn is None:
            return "mirrored pictures"
        if turn and "mov" not in name.split(","):
            return f"turned pictures in {name}"
    return None


def _check_first(pixels: np.ndarray, index: VideoIndex, allow_truncated: bool) -> None:
    """decord's first frame against ours: a wrong start or stream shows here."""
    ours = next(PyavReader().frames(index, np.zeros(1, np.int64), allow_truncated=allow_truncated), None)
    if (ours is None or ours.pixels[0].shape != pixels.shape
            or np.abs(ours.pixels[0].astype(np.int16) - pixels).mean() > _OTHER_PICTURE):
        raise UnreadableVideoError(f"{index.path}: decord's first frame is not the video's first frame: "
                                   "use reader=pyav")


def _to_display(pixels: np.ndarray, index: VideoIndex) -> np.ndarray:
    """decord turns pictures upright itself but knows no pixel aspect ratio."""
    if pixels.shape[:2] == (index.height, index.width):
        return pixels
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).resize((index.width, index.height), Image.Resampling.BICUBIC))
