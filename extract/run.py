"""One extraction run: what there is to do, and the pipeline that does it."""

from __future__ import annotations

import os
import time
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..configs.schema import ExtractConfig
from ..errors import ConfigError
from ..models.base import Encoder, EncoderIdentity
from ..models.registry import identify, load_encoder
from .choosing import choosing_extractor, read_selection, use_of
from .devices import resolve_devices
from .extractor import Extractor
from .failures import failures_name, item_of, read_deaths, read_failures, write_failures
from .features import Features
from .isolated_decode import DEATHS
from .job import Job
from .options import PipelineOptions
from .outcome import Outcome
from .pipeline import Pipeline, Tally, run_together
from .predictions import Predictor
from .progress import Progress
from .registry import check_windows, make_extractor
from .remote import RemoteFile, is_url, local_name
from .report import Failure, Report
from .sampling import SamplingRequest
from .store.object_store import ObjectStore
from .store.sharded import open_store
from .store.store import FeatureStore
from .videos import VideoItem, find_videos, read_list

if TYPE_CHECKING:
    from ..models.adaclip.checkpoint import Checkpoint


def run(config: ExtractConfig, *, encoder: Encoder | None = None, quiet: bool = False) -> Report:
    """Do what `config` says. `quiet`: print nothing and hold what is not saved (the Python API).

    Raises UsageError before anything is started; a video's own error is a row of the report.
    """
    (report,) = run_models([config], encoder=encoder, quiet=quiet)
    return report


def run_models(configs: Sequence[ExtractConfig], *, encoder: Encoder | None = None, quiet: bool = False) -> list[Report]:
    """The same videos for several models: each is decoded once for all of them. Configs that differ in the model and in which
    frames it sees; all else is the first one's. A report a config; raises as `run`."""
    began, first = time.monotonic(), configs[0]
    items = videos_of(first)
    file = _failures_file(first)
    dead = read_deaths(file)
    models = [_Model.of(config, items, encoder, quiet, {row.content_id: row.decoder_deaths for row in dead}) for config in configs]
    _check_folders(models)
    for model in models:
        model.load(encoder)
    progress, untried = Progress(sum(len(model.todo) for model in models), enabled=not quiet), first.retry_failed
    busy = [model for model in models if model.todo]

    def tick() -> None:
        progress.update(sum(model.outcome.finished for model in models), sum(model.tally.frames for model in models),
                        max(model.outcome.video_seconds for model in models))

    try:
        if busy:
            pipelines = [model.pipeline() for model in busy]
            videos: dict[int, list[tuple[int, Job]]] = defaultdict(list)
            for place, model in enumerate(busy):
                for job in model.todo:
                    videos[job.number].append((place, job))
            run_together(pipelines, [videos[number] for number in sorted(videos)], tick)
            tick()
        untried = False
    finally:
        progress.close()
        for model in models:
            model.outcome.close()
        listed = [failure for model in models for failure in model.failures(untried)]
        known = {row.content_id for row in listed} | {job.content_id for model in models for job in model.jobs}
        kept = [row for row in dead if row.decoder_deaths >= DEATHS and row.content_id not in known]  # this run was not about them
        # A run that only prints makes no file but to say what failed, or that nothing does any more.
        if models[0].store is not None or (not quiet and (listed or file.is_file())):
            write_failures(file, {(row.path, row.start_seconds, row.end_seconds): row for row in [*kept, *listed]}.values())
    return [model.report(time.monotonic() - began) for model in models]


@dataclass
class _Model:
    """One model's share of a run: what it has to do, and what came of it."""

    config: ExtractConfig
    outcome: Outcome
    jobs: list[Job]
    todo: list[Job]  # of them, what is not stored
    devices: list[str]
    selection: Checkpoint | None
    extractors: list[Extractor] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)

    @staticmethod
    def of(config: ExtractConfig, items: Sequence[VideoItem], encoder: Encoder | None, quiet: bool,
           decoder_deaths: Mapping[str, int]) -> _Model:
        devices = [str(encoder.device)] if encoder is not None else resolve_devices(config.device_ids, config.device)
        identity = encoder.identity if encoder is not None else identify(**asdict(config.encoder), device=devices[0])
        check_windows(identity.feature_type, config.window_seconds)
        selection = read_selection(config, identity.feature_type, devices[0])
        store = _store(config, identity)
        outcome = Outcome(config, identity, store, quiet, selection.fingerprint if selection is not None else None, decoder_deaths)
        jobs = outcome.plan(items)
        return _Model(config, outcome, jobs, [job for job in jobs if job.key not in outcome.skipped], devices, selection)

    @property
    def store(self) -> FeatureStore | None:
        return self.outcome.store

    def load(self, encoder: Encoder | None) -> None:
        """The networks, where there is something to do; what is stored is shown."""
        config, outcome, encoders = self.config, self.outcome, list[Encoder]()
        if self.todo or (config.show_pred and outcome.skipped):
            encoders = [encoder] if encoder is not None else [
                load_encoder(**asdict(config.encoder), device=device) for device in self.devices]
            for one in encoders:
                if one.identity != outcome.identity:  # a file or a server that changed since the run was planned
                    raise ConfigError(f"the model is another one by now: {one.identity}, and was {outcome.identity}; start again")
            if config.show_pred and config.pred_texts:
                outcome.predictor = Predictor(encoders[0], config.pred_texts)
        for job in self.jobs:
            if job.key in outcome.skipped:
                outcome.show_stored(job)
        if self.todo:
            self.extractors = [make_extractor(one, config.window_seconds, config.stride_seconds) if self.selection is None
                               else choosing_extractor(one, self.selection, config.policy_checkpoint) for one in encoders]

    def pipeline(self) -> Pipeline:
        pipeline = Pipeline(self.extractors, options_of(self.config), self.outcome)
        self.tally = pipeline.tally
        return pipeline

    def failures(self, untried: bool) -> list[Failure]:
        """What failed; with `untried` also what the run did not come to."""
        settled = {*self.outcome.completed.values(), *self.outcome.failed_numbers}
        left = [job for job in self.todo if job.number not in settled] if untried else []
        return [*self.outcome.failures, *(
            Failure(job.item.place, job.key, "Interrupted", "not tried again before the run ended",
                    job.item.start_seconds, job.item.end_seconds, job.item.name, job.item.metadata, job.content_id,
                    self.outcome.decoder_deaths.get(job.content_id, 0)) for job in left)]

    def report(self, wall_seconds: float) -> Report:
        outcome, tally = self.outcome, self.tally
        features = (outcome.held if self.store is None
                    else _Stored(self.store, [*outcome.completed, *outcome.skipped]))
        return Report(sorted(outcome.completed, key=outcome.completed.__getitem__), list(outcome.skipped), outcome.failures,
                      features, frames=outcome.rows, video_seconds=outcome.video_seconds, decode_seconds=tally.decode_seconds,
                      encode_seconds=tally.encode_seconds, write_seconds=tally.write_seconds, wall_seconds=wall_seconds,
                      batch_sizes=tally.batch_sizes, probabilities=outcome.probabilities, elsewhere=outcome.elsewhere,
                      selection=use_of(self.extractors))


def _check_folders(models: Sequence[_Model]) -> None:
    folders = [model.store.place for model in models if model.store is not None]
    twice = next((folder for folder in folders if folders.count(folder) > 1), None)
    if twice is not None:
        raise ConfigError(f"encoders: two of them would write to {twice}: give one of them another output_path")


def videos_of(config: ExtractConfig) -> list[VideoItem]:
    """The videos the config names, of them this shard's. Raises InputError when it names none."""
    items, shard = _videos_named(config), config.shard_of
    if shard is None:
        return items
    # By name, so that videos of one name, which share out the keys between them, are one machine's.
    return [item for item in items if zlib.crc32(os.fsencode(item.name)) % shard[1] == shard[0]]


def _videos_named(config: ExtractConfig) -> list[VideoItem]:
    failed = read_failures(_failures_file(config)) if config.retry_failed else None
    if config.file_with_video_paths:
        items = read_list(config.file_with_video_paths)
    elif failed is not None and not config.video_paths:
        return [item_of(row) for row in failed]
    else:
        items = find_videos(config.video_paths)
    if failed is None:
        return items
    again = {(row.path, row.start_seconds, row.end_seconds) for row in failed}
    return [item for item in items if (item.place, item.start_seconds, item.end_seconds) in again]


def options_of(config: ExtractConfig) -> PipelineOptions:
    request = SamplingRequest(config.extraction_fps, config.extraction_total, config.sampling, config.start, config.end)
    return PipelineOptions(request, config.batch_size, config.workers or os.cpu_count() or 1, config.reader, config.fps,
                           config.allow_truncated, config.deterministic,
                           tmp_path=config.tmp_path, isolate=config.isolate, decode_seconds_limit=config.decode_seconds_limit)


def output_folder(config: ExtractConfig, identity: EncoderIdentity) -> Path:
    return _output_root(config) / _below_root(identity)


def _below_root(identity: EncoderIdentity) -> str:
    return f"{identity.feature_type}/{identity.model_name.replace('/', '_')}"


def _output_root(config: ExtractConfig) -> Path:
    return Path(local_name(config.output_path)).expanduser()


def _failures_file(config: ExtractConfig) -> Path | RemoteFile:
    name = failures_name(config.shard_of)
    return RemoteFile(f"{config.output_path.rstrip('/')}/{name}") if is_url(config.output_path) else _output_root(config) / name


def _store(config: ExtractConfig, identity: EncoderIdentity) -> FeatureStore | None:
    if config.on_extraction == "print":
        return None
    if not is_url(config.output_path):
        store = open_store(output_folder(config, identity), config.on_extraction, config.videos_per_file)
    elif config.videos_per_file is None and config.on_extraction != "save_webdataset":
        store = ObjectStore(f"{config.output_path.rstrip('/')}/{_below_root(identity)}", config.on_extraction)
    else:
        raise ConfigError(f"output_path={config.output_path}: files of many videos are numbered and replaced under a lock, which a "
                          "URL does not give; leave videos_per_file and save_webdataset out, or give a folder and copy it")
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
