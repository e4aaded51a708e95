"""Small pictures of a video, evenly spread, in sheets: what is shown while the pointer moves over time.

They are made of pictures that are decoded anyway (keyframes and the plan's frames), each under its own true time.
"""

from __future__ import annotations

import io
import json
import logging
import threading
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..extract.store.files import write_whole

log = logging.getLogger("clipreel")
COLUMNS = ROWS = 8
MOST = 240
_WIDTH, _HEIGHT = 160, 90


@dataclass(frozen=True)
class SpriteSheets:
    """Where to find the picture of each time: sheet k // 64, cell k % 64 row by row."""

    complete: bool
    revision: int
    width: int
    height: int
    times_ms: list[float]

    @property
    def sheets(self) -> int:
        return -(-len(self.times_ms) // (COLUMNS * ROWS))


class Thumbnails:
    """One picture for each of at most 240 equal parts of the video: the first one seen of a part, or the nearest to its middle
    of those that are offered later. The very first picture says how wide and high they are: headers do not tell what is turned."""

    def __init__(self, file: Path, duration_ms: float):
        self._file = file
        self.width, self.height = _WIDTH, _HEIGHT
        self._part_ms = max(duration_ms / MOST, 250.0)
        self._lock = threading.Lock()
        self._pictures: dict[int, tuple[float, np.ndarray]] = {}
        self.complete, self._revision, self._saved = False, 0, -1
        self._read()

    def offer(self, time_ms: float, picture: np.ndarray) -> None:
        """Take a decoded picture, uint8 [h, w, 3], where it serves."""
        part, middle = self._part(time_ms)
        with self._lock:
            kept = self._pictures.get(part)
            if not self._pictures:
                self._fit(picture.shape[1], picture.shape[0])
        if kept is not None and abs(kept[0] - middle) <= abs(time_ms - middle):
            return
        if self.complete and kept is not None:
            return
        step = max(1, min(picture.shape[0] // (2 * self.height), picture.shape[1] // (2 * self.width)))
        small = Image.fromarray(np.ascontiguousarray(picture[::step, ::step])).resize(
            (self.width, self.height), Image.Resampling.BILINEAR)
        with self._lock:
            self._pictures[part] = (time_ms, np.asarray(small))
            self._revision += 1

    def wanted(self, times_ms: np.ndarray) -> np.ndarray:
        """Which of these times (int64 places) would fill a part that has no picture yet, one each."""
        parts = np.array([self._part(time)[0] for time in times_ms.tolist()], dtype=np.int64)
        _, first = np.unique(parts, return_index=True)
        with self._lock:
            return np.array([place for place in first.tolist() if int(parts[place]) not in self._pictures], dtype=np.int64)

    def finish(self) -> None:
        """All there is to come has come: keep it."""
        self.complete = True
        self.save()

    def save(self) -> None:
        with self._lock:
            if not self._pictures or self._saved == self._revision:
                return
            self._saved = self._revision
            parts = sorted(self._pictures)
            times = np.array([self._pictures[part][0] for part in parts])
            pictures = np.stack([self._pictures[part][1] for part in parts])
        said = json.dumps({"complete": self.complete, "part_ms": self._part_ms, "size": [self.width, self.height]}).encode()
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._file, lambda file: np.savez(file, allow_pickle=False, said=np.frombuffer(said, np.uint8),
                                                          times_ms=times, sheet=_jpegs(pictures)))
        except OSError as error:
            log.warning("%s: thumbnails cannot be kept (%s)", self._file, error.strerror)

    def sheets(self) -> SpriteSheets:
        with self._lock:
            times = [self._pictures[part][0] for part in sorted(self._pictures)]
            return SpriteSheets(self.complete, self._revision, self.width, self.height, times)

    def sheet(self, number: int) -> bytes | None:
        """A sheet as JPEG; None where there is none."""
        with self._lock:
            parts = sorted(self._pictures)[number * COLUMNS * ROWS:(number + 1) * COLUMNS * ROWS]
            pictures = [self._pictures[part][1] for part in parts]
        if not pictures:
            return None
        rows = -(-len(pictures) // COLUMNS)
        sheet = np.zeros((rows * self.height, COLUMNS * self.width, 3), np.uint8)
        for place, picture in enumerate(pictures):
            row, column = divmod(place, COLUMNS)
            sheet[row * self.height:(row + 1) * self.height, column * self.width:(column + 1) * self.width] = picture
        return jpeg(sheet)

    def nearest(self, time_ms: float) -> bytes | None:
        """The picture whose time is nearest, as JPEG."""
        with self._lock:
            if not self._pictures:
                return None
            _, picture = min(self._pictures.values(), key=lambda one: abs(one[0] - time_ms))
        return jpeg(picture)

    def _part(self, time_ms: float) -> tuple[int, float]:
        part = int(max(time_ms, 0.0) // self._part_ms)
        return part, (part + 0.5) * self._part_ms

    def _fit(self, width: int, height: int) -> None:
        scale = min(_WIDTH / width, _HEIGHT / height)
        self.width, self.height = max(2, round(width * scale)), max(2, round(height * scale))

    def _read(self) -> None:
        if not self._file.is_file():
            return
        try:
            with open(self._file, "rb") as file, np.load(file, allow_pickle=False) as content:
                said = json.loads(content["said"].tobytes())
                width, height = said["size"]
                times, pictures = content["times_ms"], _pictures(content["sheet"], width, height)
                if said["part_ms"] != self._part_ms or len(times) != len(pictures):
                    return
                self.width, self.height = width, height
                self._pictures = {self._part(time)[0]: (time, picture)
                                  for time, picture in zip(times.tolist(), pictures, strict=True)}
                self.complete, self._revision = bool(said["complete"]), len(times)
                self._saved = self._revision
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            log.warning("%s: cannot be read (%s); thumbnails are made again", self._file, error)


def jpeg(picture: np.ndarray, quality: int = 80) -> bytes:
    """uint8 [h, w, 3] as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _jpegs(pictures: np.ndarray) -> np.ndarray:
    """[n, h, w, 3] one below the other as a JPEG, uint8 [bytes]."""
    count, height, width, _ = pictures.shape
    return np.frombuffer(jpeg(pictures.reshape(count * height, width, 3), 85), np.uint8)


def _pictures(data: np.ndarray, width: int, height: int) -> np.ndarray:
    with Image.open(io.BytesIO(data.tobytes()), formats=["JPEG"]) as image:
        pixels = np.asarray(image.convert("RGB"))
    if pixels.shape[1] != width or pixels.shape[0] % height:
        raise ValueError(f"thumbnails of {pixels.shape[1]} pixels, not {width}")
    return pixels.reshape(-1, height, width, 3)
