"""What becomes of videos: stored, printed in order, or held; what was done, what skipped, what failed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from ..configs.schema import ExtractConfig
from ..errors import ClipreelError, DecoderDiedError, ElsewhereError, OutputError, QuarantinedError, UnreadableVideoError
from ..models.base import EncoderIdentity
from .decoders import reader_name
from .failures import shard_name
from .features import Features, Settings
from .fetching import identified_at_url
from .isolated_decode import DEATHS
from .job import Attempt, Job
from .keys import assign_keys, key_candidates
from .leases import Leases
from .object_leases import ObjectLeases, leases_of
from .predictions import Predictor, RunTable
from .printing import InOrder, format_features, format_probabilities
from .report import Failure
from .shard_writer import ShardWriter, Waiting
from .store.base import Mark
from .store.object_place import StoreAtUrl
from .store.sharded import ShardedStore
from .store.store import FeatureStore, refuse_other_settings
from .videos import VideoItem, content_id

Found = TypeVar("Found")
_LOOKS_AT_ONCE = 32  # requests that are waited for side by side


@dataclass
class Outcome:
    """The pipeline calls `done` and `failed`, from one thread. `quiet`: print nothing, hold what is not stored."""

    config: ExtractConfig
    identity: EncoderIdentity
    store: FeatureStore | None
    quiet: bool
    select: str | None = None  # the fingerprint of what chooses frames before the encoder
    decoder_deaths: Mapping[str, int] = field(default_factory=dict)  # content id -> how often, in earlier runs
    nvdec: bool = False  # GPUs' decoders take part
    predictor: Predictor | None = None
    run: str | None = None  # that several workers share: they take over each other's leases
    completed: dict[str, int] = field(default_factory=dict)  # key -> number of its job
    skipped: dict[str, None] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    failed_numbers: set[int] = field(default_factory=set)
    elsewhere: list[str] = field(default_factory=list)  # keys of videos that another run is at, or has just done
    held: dict[str, Features] = field(default_factory=dict)
    probabilities: dict[str, np.ndarray] = field(default_factory=dict)
    waiting: dict[int, float] = field(default_factory=dict)  # number of a job that waits for its file of many -> seconds of video
    rows: int = 0
    video_seconds: float = 0.0
    finished: int = 0  # of the planned jobs that were not skipped, and wait for nothing
    _printer: InOrder = field(default_factory=InOrder)
    _leases: Leases | ObjectLeases | None = None
    _writer: ShardWriter | None = None  # of files of many videos
    _table: RunTable | None = None  # of probabilities, beside those

    def __post_init__(self):
        if self.store is not None:
            self._leases = leases_of(self.store, self.run)
        if isinstance(self.store, ShardedStore):
            self._writer = ShardWriter(self.store)

    def plan(self, items: Sequence[VideoItem]) -> list[Job]:
        """A job an item that can be read at all; fills `skipped`. Raises StoreConflictError."""
        marks: dict[str, Mark | None] = {}  # of what was looked at and not come to; there may be millions

        def stored_owner(key: str) -> str | None:
            mark = marks.pop(key) if key in marks else self.store.occupant(key) if self.store is not None else None
            if mark is None:
                return None
            marks[key] = mark
            return mark.provenance.source.content_id

        jobs = []
        for job in assign_keys(self._identified(items, marks), stored_owner):
            mark = marks.pop(job.key, None)
            if mark is not None and self.store is not None and not self.config.overwrite:
                refuse_other_settings(job.key, mark, self._settings(job.item), self.store.place)
                partial = mark.provenance.source.damage is not None and not self.config.allow_truncated
                if not partial and self.store.holds(job.key, mark):  # and not only in the other format of files
                    self.skipped[job.key] = None
            deaths = 0 if self.config.retry_failed else self.decoder_deaths.get(job.content_id, 0)
            if deaths >= DEATHS and job.key not in self.skipped:
                self._fail(job.number, job.item, job.key, QuarantinedError(
                    f"{job.item}: in quarantine since an earlier run: it killed the process that had it twice; "
                    "retry_failed=true tries it again", deaths), job.content_id)
                continue
            jobs.append(replace(job, decoder_deaths=deaths, is_suspect=job.content_id in self.decoder_deaths))
        for number in {*range(len(items))}.difference(job.number for job in jobs):
            self._say(number, "")  # failed already, or the same video as another
        return jobs

    def begin(self, job: Job) -> Job:
        """The job as it is to be done. Raises ElsewhereError (another run is at the video, or has just done it), OutputError."""
        if self._leases is None or self.store is None:
            return job
        try:
            if not self._leases.take(lease_name(job)):
                raise ElsewhereError(f"{job.item}: another run is at it")
        except OSError as error:
            raise OutputError(f"{job.item}: no lease of it can be written to {self.store.place} "
                              f"({error.strerror or error})") from error
        if not self.config.overwrite and self._is_done(job, self.store.mark(job.key)):
            raise ElsewhereError(f"{job.item}: another run has done it")
        return replace(job, is_suspect=True) if lease_name(job) in self._leases.suspects else job

    def flush(self) -> None:
        """Write what waits for its file."""
        self._commit()

    def close(self) -> None:
        """Write what waits for its file; give back what was begun and not ended."""
        self._commit()
        if self._table is not None and self.store is not None:
            self._table.write(self.store, shard_name("predictions.csv", self.config.shard_of))
        if self._leases is not None:
            self._leases.close()

    def done(self, attempt: Attempt) -> None:
        """Raises OutputError, UnreadableVideoError (the video is not what it was), BrokenPipeError (nobody reads what is said)."""
        features, key = attempt.features(self._settings(attempt.job.item)), attempt.job.key
        if self._writer is not None:
            self._wait(self._writer, Waiting(attempt.job, features, attempt.index.duration_seconds))
            return
        try:
            if self.store is None:
                text = self._predict(attempt.job.number, key, features)
            else:
                # another run here may have taken the key since it was planned
                with self.store.locked(attempt.job.item.name):
                    key = self._free_key(attempt.job)
                    text = self._predict(attempt.job.number, key, features)
                    self.store.write(key, features)
                self._give_back(attempt.job)
        except OSError as error:
            folder = self.store.place if self.store is not None else ""
            raise OutputError(f"{attempt.job.item}: its features cannot be written to {folder} "
                              f"({error.strerror or error})") from error
        if self.store is None and self.quiet:
            self.held[key] = features
        elif self.store is None:
            text += format_features(features)
        self.completed[key] = attempt.job.number
        self.finished += 1
        self.rows += len(features)
        self.video_seconds += attempt.index.duration_seconds
        self._say(attempt.job.number, text)

    def _wait(self, writer: ShardWriter, waiting: Waiting) -> None:
        """The video is done when its file is: until then it keeps its lease."""
        self._say(waiting.job.number, self._predict(waiting.job.number, waiting.job.key, waiting.features))
        writer.add(waiting)
        self.waiting[waiting.job.number] = waiting.duration_seconds
        if writer.is_full:
            self._commit()

    def _commit(self) -> None:
        if self._writer is None:
            return
        commit = self._writer.commit(self._is_done)
        for key, waiting in commit.stored.items():
            self._tabulate(key, waiting.features)
            self.completed[key] = waiting.job.number
            self.finished += 1
            self.rows += len(waiting.features)
            self.video_seconds += waiting.duration_seconds
            self._give_back(waiting.job)
        for waiting, error in commit.failed:
            self.failed(waiting.job, error)
        self.waiting.clear()

    def failed(self, job: Job, error: Exception) -> None:
        self.finished += 1
        self._settle(job, error)

    def _settle(self, job: Job, error: Exception) -> None:
        if isinstance(error, ElsewhereError):
            self.elsewhere.append(job.key)
            self._say(job.number, "")
        else:
            self._fail(job.number, job.item, job.key, error, job.content_id)
        self._give_back(job)

    def _is_done(self, job: Job, mark: Mark | None) -> bool:
        """Whether these features, which hold the job's key, are what it would make. Raises StoreConflictError where another run
        made them meanwhile, with other settings."""
        if self.store is None or mark is None or self.config.overwrite or mark.provenance.source.content_id != job.content_id:
            return False
        refuse_other_settings(job.key, mark, self._settings(job.item), self.store.place)
        return mark.provenance.source.damage is None or self.config.allow_truncated

    def show_stored(self, job: Job) -> None:
        """A skipped video's probabilities, from its stored features."""
        text = ""
        if self.predictor is not None and self.store is not None:
            try:
                features = self.store.read(job.key)
                text = self._predict(job.number, job.key, features)
                self._tabulate(job.key, features)
            except (OSError, ClipreelError) as error:
                del self.skipped[job.key]
                self._fail(job.number, job.item, job.key, error)
                return
        self._say(job.number, text)

    def _give_back(self, job: Job) -> None:
        if self._leases is not None:
            self._leases.give_back(lease_name(job))

    def _free_key(self, job: Job) -> str:
        """The job's key, or a longer one where another video's features have come to stand there meanwhile."""
        assert self.store is not None
        for key in dict.fromkeys((job.key, *key_candidates(job.item.name, job.content_id))):
            mark = self.store.occupant(key)
            if mark is None or mark.provenance.source.content_id == job.content_id:
                return key
        raise OutputError(f"{job.item}: other videos own every key for it; rename it, or give another output_path")

    def _identified(self, items: Sequence[VideoItem], marks: dict[str, Mark | None]) -> Iterator[tuple[int, VideoItem, str]]:
        """(number, item, content id) of those that can be read; what is at URLs is asked for side by side, marks too."""
        def look(item: VideoItem) -> tuple[VideoItem, str] | UnreadableVideoError:
            try:
                item, identity = (item, content_id(item)) if item.url is None else identified_at_url(item)
            except UnreadableVideoError as error:
                return error
            if isinstance(self.store, StoreAtUrl):
                for key in key_candidates(item.name, identity):
                    if key not in marks:
                        marks[key] = self.store.occupant(key)
            return item, identity

        for number, (item, found) in enumerate(_side_by_side(look, items, self.store)):
            if isinstance(found, UnreadableVideoError):
                self._fail(number, item, item.name, found)
            else:
                yield number, *found

    def _fail(self, number: int, item: VideoItem, key: str, error: Exception, content_id: str = "") -> None:
        reason = str(error) if isinstance(error, ClipreelError) else f"{item}: {error or type(error).__name__}"
        self.failed_numbers.add(number)
        self.failures.append(Failure(item.place, key, type(error).__name__, reason, item.start_seconds,
                                     item.end_seconds, item.name, item.metadata, content_id,
                                     error.deaths if isinstance(error, DecoderDiedError) else 0))
        self._say(number, "")

    def _predict(self, number: int, key: str, features: Features) -> str:
        if self.predictor is None:
            return ""
        probabilities = self.predictor.probabilities(features)
        if self.store is not None and self._writer is None:
            self.store.write_beside(f"{key}_pred.csv", self.predictor.table(features, probabilities))
        elif self.quiet:
            self.probabilities[key] = probabilities
        return format_probabilities(number, self.predictor.texts, probabilities)

    def _tabulate(self, key: str, features: Features) -> None:
        """Its probabilities in the run's one table: a table a video would be as many files as there are videos."""
        if self.predictor is not None and self._writer is not None:
            self._table = self._table or RunTable(self.predictor)
            self._table.add(key, features)

    def _say(self, number: int, text: str) -> None:
        if not self.quiet:
            self._printer.put(number, text)

    def _settings(self, item: VideoItem) -> Settings:
        config, pictures = self.config, item.url is None and item.path.is_dir()
        reader = reader_name(config.reader, nvdec=self.nvdec, pictures=pictures)
        return Settings(self.identity, config.sampling, config.extraction_fps, config.extraction_total, config.start,
                        config.end, config.fps if pictures else None, reader, config.dtype, config.normalize,
                        config.window_seconds, config.stride_seconds or config.window_seconds, self.select)


def _side_by_side(look: Callable[[VideoItem], Found], items: Sequence[VideoItem],
                  store: FeatureStore | None) -> Iterator[tuple[VideoItem, Found]]:
    """(item, what the look gave) in order; where requests are waited for, many at a time, a few hundred ahead."""
    if not isinstance(store, StoreAtUrl) and all(item.url is None for item in items):
        yield from ((item, look(item)) for item in items)
        return
    with ThreadPoolExecutor(_LOOKS_AT_ONCE) as pool:
        for begin in range(0, len(items), 8 * _LOOKS_AT_ONCE):
            some = items[begin:begin + 8 * _LOOKS_AT_ONCE]
            yield from zip(some, pool.map(look, some), strict=True)


def lease_name(job: Job) -> str:
    return hashlib.sha256(f"{job.key}/{job.content_id}".encode(errors="surrogateescape")).hexdigest()[:32]
