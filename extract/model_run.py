"""One model's share of a run: what it has to do, the networks that do it, and what came of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..configs.schema import ExtractConfig
from ..errors import ConfigError
from ..models.base import Encoder, EncoderIdentity
from ..models.registry import identify, load_encoder
from .batch_size import find_batch_size
from .choosing import choosing_extractor, read_selection, use_of
from .compiling import compiled
from .decoders import nvdec_devices
from .devices import resolve_devices
from .extractor import Extractor
from .features import Features
from .job import Job
from .options import PipelineOptions
from .outcome import Outcome
from .pipeline import Pipeline, Tally
from .predictions import Predictor
from .registry import check_windows, make_extractor
from .remote import is_url, local_name
from .report import Failure, Report, SelectionUse
from .sampling import SamplingRequest
from .store.object_shards import open_store_at
from .store.sharded import open_store
from .store.store import FeatureStore
from .videos import VideoItem

if TYPE_CHECKING:
    from ..models.adaclip.checkpoint import Checkpoint


@dataclass
class ModelRun:
    """In a run on one machine, in that of a cluster (which has no networks then), or in one of its workers."""

    config: ExtractConfig
    outcome: Outcome
    jobs: list[Job]
    todo: list[Job]  # of them, what is not stored
    devices: list[str]
    selection: Checkpoint | None
    nvdec: tuple[str, ...] = ()  # of the devices those that decode, too
    extractors: list[Extractor] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    use_elsewhere: SelectionUse | None = None  # of a cluster's workers
    batch_size: int | None = None  # once it is known

    @staticmethod
    def of(config: ExtractConfig, items: Sequence[VideoItem], encoder: Encoder | None, quiet: bool,
           decoder_deaths: Mapping[str, int], identity: EncoderIdentity | None = None) -> ModelRun:
        """Planned. With `identity`, what the model is called where it runs, no device here is asked for."""
        if identity is None:
            devices = [str(encoder.device)] if encoder is not None else resolve_devices(config.device_ids, config.device)
            identity = encoder.identity if encoder is not None else identify(**asdict(config.encoder), device=devices[0])
        else:
            devices = ["cpu"]
        check_windows(identity.feature_type, config.window_seconds)
        selection = read_selection(config, identity.feature_type, devices[0])
        nvdec = nvdec_devices(config, devices)
        store = open_output(config, identity)
        outcome = Outcome(config, identity, store, quiet, selection.fingerprint if selection is not None else None, decoder_deaths)
        outcome.nvdec = bool(nvdec)
        jobs = outcome.plan(items)
        todo = [job for job in jobs if job.key not in outcome.skipped]
        return ModelRun(config, outcome, jobs, todo, devices, selection, nvdec)

    @property
    def store(self) -> FeatureStore | None:
        return self.outcome.store

    def load(self, encoder: Encoder | None) -> None:
        """The networks, where there is something to do; what is stored is shown."""
        if self.todo or (self.config.show_pred and self.outcome.skipped):
            self.load_networks(encoder)
        for job in self.jobs:
            if job.key in self.outcome.skipped:
                self.outcome.show_stored(job)

    def load_networks(self, encoder: Encoder | None = None) -> None:
        """Raises ConfigError where they are not those that the run was planned with."""
        config, outcome = self.config, self.outcome
        encoders = [encoder] if encoder is not None else [
            load_encoder(**asdict(config.encoder), device=device) for device in self.devices]
        for one in encoders:
            if one.identity != outcome.identity:  # a file or a server that changed since the run was planned
                raise ConfigError(f"the model is another one by now: {one.identity}, and was {outcome.identity}; start again")
            if config.compile:
                compiled(one)  # says what is lacking, now; what is compiled, is for one batch size
        if config.show_pred and config.pred_texts:
            outcome.predictor = Predictor(encoders[0], config.pred_texts)
        self.extractors = [make_extractor(one, config.window_seconds, config.stride_seconds) if self.selection is None
                           else choosing_extractor(one, self.selection, config.policy_checkpoint) for one in encoders]

    @property
    def use(self) -> SelectionUse | None:
        return self.use_elsewhere or use_of(self.extractors)

    def pipeline(self, say: Callable[[str], object] = lambda what: None) -> Pipeline:
        """Ready to run; `say` is told what takes long. Raises ConfigError where the network cannot be compiled."""
        config, name = self.config, self.outcome.identity.model_name
        if self.batch_size is None:
            if config.batch_size == "auto":
                say(f"finding the batch size of {name}")
            self.batch_size = config.batch_size if config.batch_size != "auto" else find_batch_size(self.extractors)
            if config.compile:
                self.extractors = [make_extractor(compiled(one.encoder), config.window_seconds, config.stride_seconds)
                                   for one in self.extractors]
        if config.compile:
            say(f"compiling {name} for batches of {self.batch_size}")
        try:
            pipeline = Pipeline(self.extractors, options_of(config, self.batch_size, self.nvdec), self.outcome)
        except RuntimeError as error:
            if not config.compile:
                raise
            raise ConfigError(f"compile=true: {name} cannot be compiled for batches of {self.batch_size} "
                              f"({str(error).strip().splitlines()[0]}); leave it out") from error
        say("")
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
                      selection=self.use)


def options_of(config: ExtractConfig, batch_size: int | None = None, nvdec: tuple[str, ...] = ()) -> PipelineOptions:
    """`batch_size`: what was found, where the config says auto."""
    size = batch_size or (1 if config.batch_size == "auto" else config.batch_size)
    request = SamplingRequest(config.extraction_fps, config.extraction_total, config.sampling, config.start, config.end)
    return PipelineOptions(request, size, config.workers or os.cpu_count() or 1, config.reader, config.fps,
                           config.allow_truncated, nvdec=nvdec, deterministic=config.deterministic, compiled=config.compile,
                           tmp_path=config.tmp_path, isolate=config.isolate, decode_seconds_limit=config.decode_seconds_limit)


def output_folder(config: ExtractConfig, identity: EncoderIdentity) -> Path:
    return output_root(config) / _below_root(identity)


def _below_root(identity: EncoderIdentity) -> str:
    return f"{identity.feature_type}/{identity.model_name.replace('/', '_')}"


def output_root(config: ExtractConfig) -> Path:
    return Path(local_name(config.output_path)).expanduser()


def open_output(config: ExtractConfig, identity: EncoderIdentity) -> FeatureStore | None:
    """The store of a model's features, ready to be written to; None where they are printed. Raises ConfigError."""
    if config.on_extraction == "print":
        return None
    if not is_url(config.output_path):
        store = open_store(output_folder(config, identity), config.on_extraction, config.videos_per_file)
    else:
        store = open_store_at(f"{config.output_path.rstrip('/')}/{_below_root(identity)}", config.on_extraction,
                              config.videos_per_file)
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
