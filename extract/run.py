"""One extraction run: what there is to do, the pipeline that does it, and what becomes of each video."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from .. import __version__
from ..configs.schema import ExtractConfig
from ..errors import ClipreelError, ConfigError, InputError, UnreadableVideoError
from ..models.base import Encoder, EncoderIdentity
from ..models.registry import identify, load_encoder
from .devices import resolve_devices
from .features import Features, Provenance, Settings, Source
from .job import Attempt, Job
from .keys import assign_keys
from .options import PipelineOptions
from .pipeline import Pipeline, Tally
from .predictions import Predictor
from .printing import InOrder, format_features, format_probabilities
from .progress import Progress
from .registry import check_windows, make_extractor
from .report import Failure, Report
from .sampling import SamplingRequest
from .store.files import write_whole
from .store.store import FeatureStore, refuse_other_settings
from .videos import VideoItem, content_id, find_videos, read_list, size_bytes

log = logging.getLogger("clipreel")
FAILURES = "failures.jsonl"


def run(config: ExtractConfig, *, encoder: Encoder | None = None, quiet: bool = False) -> Report:
    """Do what `config` says. `quiet`: print nothing and hold what is not saved (the Python API).

    Raises UsageError before anything is started; a video's own error is a row of the report.
    """
    began = time.monotonic()
    items = videos_of(config)
    devices = [str(encoder.device)] if encoder is not None else resolve_devices(config.device_ids, config.device)
    identity = encoder.identity if encoder is not None else identify(**asdict(config.encoder), device=devices[0])
    check_windows(identity.feature_type, config.window_seconds)
    store = _store(config, identity)
    outcome = _Outcome(config, identity, store, quiet=quiet)
    jobs = outcome.plan(items)
    todo = [job for job in jobs if job.key not in outcome.skipped]
    encoders: list[Encoder] = []
    if todo or (config.show_pred and outcome.skipped):
        encoders = [encoder] if encoder is not None else [
            load_encoder(**asdict(config.encoder), device=device) for device in devices]
        if config.show_pred and config.pred_texts:
            outcome.predictor = Predictor(encoders[0], config.pred_texts)
    for job in jobs:
        if job.key in outcome.skipped:
            outcome.show_stored(job)
    progress, tally = Progress(len(items), enabled=not quiet), Tally()

    def tick() -> None:
        progress.update(outcome.finished, tally.frames, outcome.video_seconds)

    try:
        if todo:
            extractors = [make_extractor(one, config.window_seconds, config.stride_seconds) for one in encoders]
            pipeline = Pipeline(extractors, options_of(config), outcome)
            tally = pipeline.tally
            pipeline.run(iter(todo), tick)
            tick()
    finally:
        progress.close()
        if store is not None:
            _write_failures(Path(config.output_path).expanduser(), outcome.failures)
    features = _Stored(store, [*outcome.completed, *outcome.skipped]) if store is not None else outcome.held
    return Report([job.key for job in todo if job.key in outcome.completed], list(outcome.skipped), outcome.failures,
                  features, frames=outcome.rows, video_seconds=outcome.video_seconds,
                  decode_seconds=tally.decode_seconds, encode_seconds=tally.encode_seconds,
                  write_seconds=tally.write_seconds, wall_seconds=time.monotonic() - began,
                  batch_sizes=tally.batch_sizes, probabilities=outcome.probabilities)


def videos_of(config: ExtractConfig) -> list[VideoItem]:
    """The videos the config names. Raises InputError when there is none."""
    failed = _last_failures(Path(config.output_path).expanduser()) if config.retry_failed else None
    if config.file_with_video_paths:
        items = read_list(config.file_with_video_paths)
    elif failed is not None and not config.video_paths:
        return [VideoItem(Path(row.path), row.key, row.start_seconds, row.end_seconds) for row in failed]
    else:
        items = find_videos(config.video_paths)
    if failed is None:
        return items
    again = {(row.path, row.start_seconds, row.end_seconds) for row in failed}
    return [item for item in items if (os.path.abspath(item.path), item.start_seconds, item.end_seconds) in again]


def options_of(config: ExtractConfig) -> PipelineOptions:
    request = SamplingRequest(config.extraction_fps, config.extraction_total, config.sampling, config.start, config.end)
    return PipelineOptions(request, config.batch_size, config.workers or os.cpu_count() or 1, config.reader, config.fps,
                           config.allow_truncated)


def output_folder(config: ExtractConfig, identity: EncoderIdentity) -> Path:
    return Path(config.output_path).expanduser() / identity.feature_type / identity.model_name.replace("/", "_")


def _store(config: ExtractConfig, identity: EncoderIdentity) -> FeatureStore | None:
    if config.on_extraction == "print":
        return None
    store = FeatureStore(output_folder(config, identity), config.on_extraction)
    try:
        store.prepare()
    except OSError as error:
        raise ConfigError(f"output_path={config.output_path}: cannot be written ({error.strerror}: {error.filename}); "
                          "give a folder that can") from error
    return store


@dataclass
class _Outcome:
    """What becomes of videos: stored, printed in order, or held; what was done, skipped, failed."""

    config: ExtractConfig
    identity: EncoderIdentity
    store: FeatureStore | None
    quiet: bool
    predictor: Predictor | None = None
    completed: dict[str, None] = field(default_factory=dict)
    skipped: dict[str, None] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    held: dict[str, Features] = field(default_factory=dict)
    probabilities: dict[str, np.ndarray] = field(default_factory=dict)
    rows: int = 0
    video_seconds: float = 0.0
    _printer: InOrder = field(default_factory=InOrder)

    @property
    def finished(self) -> int:
        return len(self.completed) + len(self.skipped) + len(self.failures)

    def plan(self, items: list[VideoItem]) -> list[Job]:
        """A job an item that can be read at all; fills `skipped`. Raises StoreConflictError."""
        marks = {}

        def stored_owner(key: str) -> str | None:
            marks[key] = self.store.occupant(key) if self.store is not None else None
            return marks[key].provenance.source.content_id if marks[key] is not None else None

        jobs = []
        for job in assign_keys(self._identified(items), stored_owner):
            mark = marks.get(job.key)
            if mark is not None and not self.config.overwrite and self.store is not None:
                refuse_other_settings(job.key, mark, self._settings(job.item), self.store.folder)
                if self.store.mark(job.key) is not None:  # and not only in the other format of separate files
                    self.skipped[job.key] = None
            jobs.append(job)
        numbers = {job.number for job in jobs}
        for number in range(len(items)):
            if number not in numbers:
                self._say(number, "")  # failed already, or the same video as another
        return jobs

    def done(self, attempt: Attempt) -> None:
        """Called by the pipeline. Raises OSError when the features cannot be written."""
        features = self._features(attempt)
        key = attempt.job.key
        if self.store is not None:
            self.store.write(key, features)
        elif self.quiet:
            self.held[key] = features
        text = self._predict(attempt.job, features)
        if self.store is None and not self.quiet:
            text += format_features(features)
        self._say(attempt.job.number, text)
        self.completed[key] = None
        self.rows += len(features)
        self.video_seconds += attempt.index.duration_seconds

    def failed(self, job: Job, error: Exception) -> None:
        self._fail(job.number, job.item, job.key, error)

    def show_stored(self, job: Job) -> None:
        """A skipped video's probabilities, from its stored features."""
        if self.predictor is not None and self.store is not None:
            self._say(job.number, self._predict(job, self.store.read(job.key)))
        else:
            self._say(job.number, "")

    def _identified(self, items: list[VideoItem]) -> Iterator[tuple[int, VideoItem, str]]:
        for number, item in enumerate(items):
            try:
                identity = content_id(item)
            except UnreadableVideoError as error:
                self._fail(number, item, item.name, error)
                continue
            yield number, item, identity

    def _fail(self, number: int, item: VideoItem, key: str, error: Exception) -> None:
        reason = str(error) if isinstance(error, ClipreelError) else f"{item.path}: {error or type(error).__name__}"
        self.failures.append(Failure(os.path.abspath(item.path), key, type(error).__name__, reason,
                                     item.start_seconds, item.end_seconds))
        self._say(number, "")

    def _predict(self, job: Job, features: Features) -> str:
        if self.predictor is None:
            return ""
        probabilities = self.predictor.probabilities(features)
        if self.store is not None:
            self.predictor.write_table(self.store.folder / f"{job.key}_pred.csv", features, probabilities)
        else:
            self.probabilities[job.key] = probabilities if self.quiet else np.zeros(0)
        return format_probabilities(job.number, self.predictor.texts, probabilities)

    def _say(self, number: int, text: str) -> None:
        if not self.quiet:
            self._printer.put(number, text)

    def _settings(self, item: VideoItem) -> Settings:
        config, pictures = self.config, item.path.is_dir()
        reader = config.reader if config.reader != "auto" else "images" if pictures else "pyav"
        return Settings(self.identity, config.sampling, config.extraction_fps, config.extraction_total, config.start,
                        config.end, config.fps if pictures else None, reader, config.dtype, config.normalize,
                        config.window_seconds, config.stride_seconds or config.window_seconds)

    def _features(self, attempt: Attempt) -> Features:
        values, units = attempt.rows()
        if self.config.normalize:
            values = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
        index, item = attempt.index, attempt.job.item
        source = Source(os.path.abspath(item.path), size_bytes(item.path), attempt.job.content_id, index.width,
                        index.height, index.duration_seconds, item.start_seconds, item.end_seconds)
        provenance = Provenance(source, self._settings(item), __version__, item.metadata)
        return Features(values.astype(self.config.dtype), units.timestamps_ms,
                        float(index.fps) if index.fps is not None else float("nan"), provenance, units.intervals_ms)


class _Stored(Mapping[str, Features]):
    """Features read from the store when asked for."""

    def __init__(self, store: FeatureStore, keys: list[str]):
        self._store, self._keys = store, dict.fromkeys(keys)

    def __getitem__(self, key: str) -> Features:
        if key not in self._keys:
            raise KeyError(key)
        return self._store.read(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


def _write_failures(folder: Path, failures: list[Failure]) -> None:
    lines = "".join(json.dumps(asdict(failure), ensure_ascii=False) + "\n" for failure in failures)
    try:
        write_whole(folder / FAILURES, lambda file: file.write(lines.encode(errors="backslashreplace")))
    except OSError as error:  # a full disk: the report says all the same what failed
        log.error("%s could not be written (%s)", folder / FAILURES, error.strerror)


def _last_failures(folder: Path) -> list[Failure]:
    try:
        lines = (folder / FAILURES).read_text(encoding="utf-8").splitlines()
        return [Failure(**json.loads(line)) for line in lines]
    except FileNotFoundError as error:
        raise InputError(f"retry_failed=true: there is no {folder / FAILURES}; run once without it") from error
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{folder / FAILURES}: is no list of failures ({error})") from error


