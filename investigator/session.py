"""All that is known of one video: its headers, features, thumbnails, marks."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from ..configs.schema import ExtractConfig
from ..errors import StoredDataError
from ..extract.features import Features
from ..extract.run import output_folder
from ..extract.store.files import write_whole
from ..models.base import EncoderIdentity
from .headers import Headers
from .library import VideoFile
from .partial import PartialRows, partial_name
from .probe import end_ms
from .rows import Rows
from .segments import TimedMark
from .stored_features import find_mark, forget_stored, read_stored
from .thumbnails import Thumbnails

log = logging.getLogger("clipreel")
_MOST_MARKS = 5000


class VideoSession:
    """One content of one file; a file that changes on the disk gets another session. `config_of(path)`: the extractor's keys as
    this investigator would give them."""

    def __init__(self, file: VideoFile, headers: Headers, folder: Path, config_of: Callable[[Path], ExtractConfig]):
        self.file, self._config_of = file, config_of
        self.content_id, self.probe, self.problem = headers.content_id, headers.probe, headers.problem
        self.folder = folder / self.content_id
        self.rows = Rows()
        self.stored: Features | None = None
        self.asked: dict[str, None] = {}  # queries whose curves were asked for, the last ones
        self._marks: dict[str, list[TimedMark]] | None = None
        self._marks_changed = -1
        self._lock = threading.RLock()
        self._loaded_for: EncoderIdentity | None = None
        self._thumbnails: Thumbnails | None = None

    def __repr__(self) -> str:
        return f"VideoSession({self.file.id})"

    @property
    def config(self) -> ExtractConfig:
        return self._config_of(self.file.path)

    @property
    def duration_ms(self) -> float:
        """As measured when it was analysed, else as its headers say, else the last known time."""
        if self.stored is not None:
            return end_ms(self.probe, self.stored.provenance.source.duration_seconds)
        if self.probe is not None and self.probe.duration_ms is not None:
            return self.probe.duration_ms
        snapshot = self.rows.snapshot()
        return float(snapshot.times_ms[-1]) if len(snapshot) else 0.0

    @property
    def fps(self) -> float | None:
        return self.probe.fps if self.probe is not None else None

    @property
    def thumbnails(self) -> Thumbnails:
        with self._lock:
            if self._thumbnails is None:
                headers = self.probe.duration_ms if self.probe is not None else None
                self._thumbnails = Thumbnails(self.folder / "thumbnails.npz", headers or self.duration_ms)
            return self._thumbnails

    def partial(self, identity: EncoderIdentity) -> PartialRows:
        """What is done of an analysis by this model that was broken off."""
        return PartialRows(self.folder / partial_name(self.config, identity))

    def load(self, identity: EncoderIdentity, *, again: bool = False) -> None:
        """Take what is stored of it, whoever made it: at first, and once more after an analysis."""
        with self._lock:
            if self._loaded_for == identity and not again and (self.stored is not None or not self.is_stored(identity)):
                return  # another program may store it at any time
            folder = output_folder(self.config, identity)
            try:
                self.stored = read_stored(folder, self.file.path.stem, self.content_id, identity)
            except (StoredDataError, OSError) as error:
                log.warning("%s", error)
                self.stored, self.problem = None, str(error)
            if self.stored is not None:
                self.rows.finish(self.stored)
                if damage := self.stored.provenance.source.damage:
                    self.problem = f"the video is damaged: {damage}"
            self._loaded_for = identity

    def is_stored(self, identity: EncoderIdentity) -> bool:
        """Without reading the features."""
        if self._loaded_for == identity and self.stored is not None:
            return True
        try:
            return find_mark(output_folder(self.config, identity), self.file.path.stem, self.content_id, identity) is not None
        except (StoredDataError, OSError):
            return False

    def forget(self, identity: EncoderIdentity) -> None:
        """Remove what is stored of it by this model. What people kept or rejected stays, and so do thumbnails. Raises Refusal,
        OSError."""
        with self._lock:
            forget_stored(output_folder(self.config, identity), self.file.path.stem, self.content_id, identity)
            self.partial(identity).remove()
            self.stored = None
            self.rows.forget()

    # marks

    def marks(self) -> dict[str, list[TimedMark]]:
        """Query id -> what was said of its moments."""
        with self._lock:
            changed = self._marks_file.stat().st_mtime_ns if self._marks_file.exists() else -1
            if self._marks is None or changed != self._marks_changed:  # pages with another model write there, too
                self._marks, self._marks_changed = self._read_marks(), changed
            return {query: list(marks) for query, marks in self._marks.items()}

    def mark(self, query: str, time_ms: float, state: Literal["keep", "reject"] | None) -> None:
        """Say something of a moment, or, with None, nothing any more. Raises OSError where it cannot be kept."""
        with self._lock:
            self.marks()
            assert self._marks is not None
            kept = [mark for mark in self._marks.get(query, []) if abs(mark.time_ms - time_ms) > 0.5]
            if state is not None:
                kept.append(TimedMark(time_ms, state))
            self._marks[query] = kept[-_MOST_MARKS:]
            content: list[dict[str, Any]] = [{"query": name, "time_ms": mark.time_ms, "state": mark.state}
                                             for name, marks in self._marks.items() for mark in marks]
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(self._marks_file, lambda file: file.write(json.dumps(content).encode()))

    @property
    def _marks_file(self) -> Path:
        return self.folder / "marks.json"

    def _read_marks(self) -> dict[str, list[TimedMark]]:
        try:
            content = json.loads(self._marks_file.read_text(encoding="utf-8"))
            found: dict[str, list[TimedMark]] = {}
            for one in content:
                if one["state"] in ("keep", "reject"):
                    found.setdefault(str(one["query"]), []).append(TimedMark(float(one["time_ms"]), one["state"]))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("%s: cannot be read (%s)", self._marks_file, error)
            return {}
        return found
