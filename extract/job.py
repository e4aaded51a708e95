"""One video on its way through the pipeline."""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from ..errors import EmptyVideoError
from .decode.nvdec import wait_until_made
from .extractor import Units
from .features import Features, Provenance, Settings, Source
from .frames import VideoIndex
from .remote import without_secrets
from .videos import VideoItem, check_unchanged, size_bytes

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Job:
    """A video to do. `number` is its place in the run's input, `content_id` how a store knows it again."""

    number: int
    key: str
    item: VideoItem
    content_id: str
    decoder_deaths: int = 0  # how often it has killed the process that decodes it, in earlier runs
    is_suspect: bool = False  # it, or what was at hand with it, ended runs: it is decoded in a process of its own


@dataclass(frozen=True, eq=False)
class Candidates:
    """Every decoded candidate frame of an attempt (unit -> frame), for `select=` to choose from."""

    attempt: Attempt
    held: dict[int, Any]


class Attempt:
    """The features of one job while they come in, from one index of it. Given up (and begun anew from a better
    index) when the packets turn out to have lied: what is still in flight then falls on deaf ears."""

    def __init__(self, job: Job, index: VideoIndex, units: Units, parts: int = 1):
        self.job, self.index, self.units = job, index, units
        self._parts_left = parts
        self._rows_asked, self._rows_left_out = len(units.rows), 0
        self._held: dict[int, Any] = {}
        self._batches: dict[int, dict[int, Any]] = defaultdict(dict)
        self._features: np.ndarray | None = None
        self._came = np.zeros(len(units.frames), dtype=bool)
        self._sent = self._received = 0
        self._lock = threading.Lock()
        self.given_up = False
        self._claimed = False
        self._windows: dict[int, dict[int, torch.Tensor]] = defaultdict(dict)
        self._units_of: dict[int, list[int]] = defaultdict(list)
        for unit, frames in enumerate(units.frames.tolist()):
            for place in set(frames):
                self._units_of[place].append(unit)

    def complete_units(self, place: int, crop: Any) -> list[tuple[int, Any]]:
        """(unit, pixels) of every unit that this frame completes: [3, S, S], or [T, 3, S, S] for windows."""
        import torch

        ready = []
        with self._lock:
            for unit in self._units_of.pop(place, ()):
                frames = self.units.frames[unit].tolist()
                if len(frames) == 1:
                    ready.append((unit, crop))
                    continue
                self._windows[unit][place] = crop
                if len(self._windows[unit]) == len(set(frames)):
                    crops = self._windows.pop(unit)
                    window = torch.stack([crops[frame] for frame in frames])
                    wait_until_made(window)  # some of the crops may be another decoder's
                    ready.append((unit, window))
            self._sent += len(ready)
        return ready

    def hold(self, ready: list[tuple[int, Any]]) -> None:
        """Keep candidates back until all of the video's are there."""
        with self._lock:
            self._held.update(ready)

    def fill(self, ready: list[tuple[int, Any]], size: int) -> list[list[tuple[int, Any]]]:
        """Keep units back until the batch of `size` neighbours that each belongs to is whole; those that now are."""
        whole = []
        with self._lock:
            for unit, pixels in ready:
                number = unit // size
                batch = self._batches[number]
                batch[unit] = pixels
                if len(batch) == min(size, len(self._came) - number * size):
                    whole.append(sorted(self._batches.pop(number).items(), key=lambda item: item[0]))
        return whole

    def unfilled(self) -> list[list[tuple[int, Any]]]:
        """The batches that lack what did not decode, given once: after the last part has ended."""
        with self._lock:
            if self._parts_left or self.given_up:
                return []
            batches, self._batches = self._batches, defaultdict(dict)
            return [sorted(batches[number].items(), key=lambda item: item[0]) for number in sorted(batches)]

    def candidates(self) -> Candidates | None:
        """What was held, given once: after the last part has ended. None before, after, and where nothing decoded."""
        with self._lock:
            if self._parts_left or self.given_up or not self._held:
                return None
            held, self._held = self._held, {}
            return Candidates(self, held)

    def choose(self, keep: np.ndarray, decoded: np.ndarray) -> list[int]:
        """Go on with some rows (bool [n], and which of them decoded); returns their units."""
        with self._lock:
            units = self.units
            intervals = units.intervals_ms
            self.units = Units(units.frames, units.rows[keep], units.timestamps_ms[keep],
                               intervals[keep] if intervals is not None else None)
            self._rows_left_out = int(np.count_nonzero(decoded & ~keep))
            chosen = np.unique(self.units.rows).tolist()
            self._sent = len(chosen)
            return chosen

    @property
    def lost(self) -> str | None:
        """What of the video did not decode, once `rows` gives the rest; None: nothing."""
        rows = self._rows_asked - self._rows_left_out - int(np.count_nonzero(self._came[self.units.rows]))
        return f"{rows} of {self._rows_asked} rows did not decode" if rows else None

    def add(self, unit: int, feature: np.ndarray) -> bool:
        """Take one feature; True when it was the last one missing."""
        with self._lock:
            if self._features is None:
                self._features = np.empty((len(self._came), len(feature)), dtype=np.float32)
            self._features[unit] = feature
            self._came[unit] = True
            self._received += 1
            return self._claim()

    def end_of_part(self) -> bool:
        """A decode thread has sent all frames of its part; True when that was the last and every feature is in."""
        with self._lock:
            self._parts_left -= 1
            return self._claim()

    def give_up(self) -> bool:
        """True for the first to do so."""
        with self._lock:
            first, self.given_up = not self.given_up, True
            return first

    def rows(self) -> tuple[np.ndarray, Units]:
        """float32 [n, dim] features and the units, rows without a frame (allow_truncated) left out.
        Raises EmptyVideoError when none is left."""
        keep = self._came[self.units.rows]
        if self._features is None or not keep.any():
            raise EmptyVideoError(f"{self.job.item.path}: not one feature could be made, frames that are needed do not decode")
        intervals = self.units.intervals_ms
        kept = Units(self.units.frames, self.units.rows[keep], self.units.timestamps_ms[keep],
                     intervals[keep] if intervals is not None else None)
        return self._features[kept.rows], kept

    def features(self, settings: Settings) -> Features:
        """What is stored. Raises EmptyVideoError as `rows`, UnreadableVideoError where the file is another one by now."""
        values, units = self.rows()
        check_unchanged(self.job.item, self.job.content_id)
        if settings.normalize:
            values = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
        index, item = self.index, self.job.item
        size = item.size_bytes if item.size_bytes is not None else size_bytes(item.path)
        source = Source(without_secrets(item.place), size, self.job.content_id, index.width, index.height, index.duration_seconds,
                        item.start_seconds, item.end_seconds, index.damage or self.lost)
        fps = float(index.fps) if index.fps is not None else float("nan")
        return Features(values.astype(settings.dtype), units.timestamps_ms, fps,
                        Provenance(source, settings, __version__, dict(item.metadata)), units.intervals_ms)

    def _claim(self) -> bool:
        if self.given_up or self._claimed or self._parts_left or self._received < self._sent:
            return False
        self._claimed = True
        return True
