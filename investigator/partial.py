"""Features of a video whose analysis was broken off, so that it goes on from there. Files are added, never written again."""

from __future__ import annotations

import hashlib
import logging
import shutil
import threading
import time
import zipfile
from pathlib import Path

import numpy as np

from ..configs.schema import ExtractConfig
from ..extract.store.files import write_whole
from ..models.base import EncoderIdentity

log = logging.getLogger("clipreel")
_SECONDS_BETWEEN_FILES = 10.0


def partial_name(config: ExtractConfig, identity: EncoderIdentity) -> str:
    """Of the folder, which differs wherever the rows would."""
    said = repr((identity, config.sampling, config.extraction_fps, config.window_seconds, config.stride_seconds, config.reader))
    return f"partial-{hashlib.sha256(said.encode()).hexdigest()[:16]}"


class PartialRows:
    """Times and features in `folder`, a file every few seconds. Holds no pickles."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._lock = threading.Lock()
        self._waiting: list[tuple[float, np.ndarray]] = []
        self._written = time.monotonic()

    def read(self) -> dict[float, np.ndarray]:
        """What earlier runs left; a file that cannot be read counts as not there."""
        rows: dict[float, np.ndarray] = {}
        for path in sorted(self.folder.glob("*.npz")):
            try:
                with open(path, "rb") as file, np.load(file, allow_pickle=False) as content:
                    times, features = content["times_ms"], content["features"]
                    if times.dtype != np.float64 or features.dtype != np.float32 or len(times) != len(features):
                        raise ValueError("not times and features")
                    rows.update(zip(times.tolist(), features, strict=True))
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
                log.warning("%s: cannot be read (%s); these frames are analysed again", path, error)
        return rows

    def add(self, time_ms: float, feature: np.ndarray) -> None:
        with self._lock:
            self._waiting.append((time_ms, feature))
            due = time.monotonic() - self._written > _SECONDS_BETWEEN_FILES
        if due:
            self.flush()

    def flush(self) -> None:
        """A full disk only costs what would have been kept: the analysis itself goes on."""
        with self._lock:
            rows, self._waiting, self._written = self._waiting, [], time.monotonic()
            if not rows:
                return
            times = np.array([time_ms for time_ms, _ in rows], dtype=np.float64)
            features = np.stack([feature for _, feature in rows]).astype(np.float32)
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                number = sum(1 for _ in self.folder.glob("*.npz"))
                write_whole(self.folder / f"{number:06d}.npz",
                            lambda file: np.savez(file, allow_pickle=False, times_ms=times, features=features))
            except OSError as error:
                log.warning("%s: what is analysed so far cannot be kept (%s)", self.folder, error.strerror)

    def remove(self) -> None:
        with self._lock:
            self._waiting = []
            shutil.rmtree(self.folder, ignore_errors=True)
