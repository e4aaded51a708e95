"""One extraction run: what there is to do, and the pipeline that does it."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from ..configs.schema import ExtractConfig
from ..errors import ConfigError
from ..models.base import Encoder, EncoderIdentity
from ..models.registry import identify, load_encoder
from .choosing import choosing_extractor, read_selection, use_of
from .devices import resolve_devices
from .extractor import Extractor
from .failures import failures_file, item_of, read_failures, write_failures
from .features import Features
from .options import PipelineOptions
from .outcome import Outcome
from .pipeline import Pipeline, Tally
from .predictions import Predictor
from .progress import Progress
from .registry import check_windows, make_extractor
from .report import Failure, Report
from .sampling import SamplingRequest
from .store.store import FeatureStore
from .videos import VideoItem, find_videos, read_list


def run(config: ExtractConfig, *, encoder: Encoder | None = None, quiet: bool = False) -> Report:
    """Do what `config` says. `quiet`: print nothing and hold what is not saved (the Python API).

    Raises UsageError before anything is started; a video's own error is a row of the report.
    """
    began = time.monotonic()
    items = videos_of(config)
    devices = [str(encoder.device)] if encoder is not None else resolve_devices(config.device_ids, config.device)
    identity = encoder.identity if encoder is not None else identify(**asdict(config.encoder), device=devices[0])
    check_windows(identity.feature_type, config.window_seconds)
    selection = read_selection(config, identity.feature_type, devices[0])
    store = _store(config, identity)
    outcome = Outcome(config, identity, store, quiet, selection.fingerprint if selection is not None else None)
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
    extractors: list[Extractor] = []
    progress, tally, untried = Progress(len(todo), enabled=not quiet), Tally(), todo if config.retry_failed else []

    def tick() -> None:
        progress.update(outcome.finished, tally.frames, outcome.video_seconds)

    try:
        if todo:
            extractors = [make_extractor(one, config.window_seconds, config.stride_seconds) if selection is None
                          else choosing_extractor(one, selection, config.policy_checkpoint) for one in encoders]
            pipeline = Pipeline(extractors, options_of(config), outcome)
            tally = pipeline.tally
            pipeline.run(todo, tick)
            tick()
        untried = []
    finally:
        progress.close()
        outcome.close()
        settled = {*outcome.completed.values(), *outcome.failed_numbers}
        left = [Failure(os.path.abspath(job.item.path), job.key, "Interrupted", "not tried again before the run ended",
                        job.item.start_seconds, job.item.end_seconds, job.item.name, job.item.metadata)
                for job in untried if job.number not in settled]
        listed, file = [*outcome.failures, *left], failures_file(_output_root(config), config.shard_of)
        # A run that only prints makes no file but to say what failed, or that nothing does any more.
        if store is not None or (not quiet and (listed or file.is_file())):
            write_failures(file, listed)
    features = _Stored(store, [*outcome.completed, *outcome.skipped]) if store is not None else outcome.held
    return Report(sorted(outcome.completed, key=outcome.completed.__getitem__), list(outcome.skipped), outcome.failures,
                  features, frames=outcome.rows, video_seconds=outcome.video_seconds,
                  decode_seconds=tally.decode_seconds, encode_seconds=tally.encode_seconds,
                  write_seconds=tally.write_seconds, wall_seconds=time.monotonic() - began,
                  batch_sizes=tally.batch_sizes, probabilities=outcome.probabilities,
                  selection=use_of(extractors), elsewhere=outcome.elsewhere)


def videos_of(config: ExtractConfig) -> list[VideoItem]:
    """The videos the config names, of them this shard's. Raises InputError when it names none."""
    items, shard = _videos_named(config), config.shard_of
    if shard is None:
        return items
    # By name, so that videos of one name, which share out the keys between them, are one machine's.
    return [item for item in items if zlib.crc32(os.fsencode(item.name)) % shard[1] == shard[0]]


def _videos_named(config: ExtractConfig) -> list[VideoItem]:
    failed = read_failures(failures_file(_output_root(config), config.shard_of)) if config.retry_failed else None
    if config.file_with_video_paths:
        items = read_list(config.file_with_video_paths)
    elif failed is not None and not config.video_paths:
        return [item_of(row) for row in failed]
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
    return _output_root(config) / identity.feature_type / identity.model_name.replace("/", "_")


def _output_root(config: ExtractConfig) -> Path:
    return Path(config.output_path).expanduser()


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
