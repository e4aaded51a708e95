"""One extraction run: what there is to do, and the pipeline that does it."""

from __future__ import annotations

import heapq
import os
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from itertools import count, groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

from ..configs.schema import ExtractConfig
from ..errors import ConfigError
from ..models.base import Encoder
from .failures import failures_name, item_of, read_deaths, read_failures, write_failures
from .isolated_decode import DEATHS
from .job import Job
from .model_run import ModelRun, options_of, output_folder, output_root
from .pipeline import run_together
from .progress import Progress
from .remote import RemoteFile, is_url
from .report import Report
from .video_queue import Video
from .videos import VideoItem, find_videos, read_list

if TYPE_CHECKING:
    from .ray_launcher import RayCluster

__all__ = ["options_of", "output_folder", "run", "run_models", "videos_of"]  # the first two for whoever plans a run of his own


def run(config: ExtractConfig, *, encoder: Encoder | None = None, quiet: bool = False) -> Report:
    """Do what `config` says. `quiet`: print nothing and hold what is not saved (the Python API).

    Raises UsageError before anything is started; a video's own error is a row of the report.
    """
    (report,) = run_models([config], encoder=encoder, quiet=quiet)
    return report


def run_models(configs: Sequence[ExtractConfig], *, encoder: Encoder | None = None, quiet: bool = False) -> list[Report]:
    """The same videos for several models: each is decoded once for all of them. Configs that differ in the model and in which
    frames it sees; all else is the first one's. A report a config; raises as `run`."""
    with _cluster(configs[0], encoder) as cluster:
        return _run_models(configs, encoder, quiet, cluster)


def _run_models(configs: Sequence[ExtractConfig], encoder: Encoder | None, quiet: bool, cluster: RayCluster | None) -> list[Report]:
    began, first = time.monotonic(), configs[0]
    items = videos_of(first)
    file = _failures_file(first)
    dead = read_deaths(file)
    deaths = {row.content_id: row.decoder_deaths for row in dead}
    models = [ModelRun.of(config, items, encoder, quiet, deaths, cluster.identity(config) if cluster is not None else None)
              for config in configs]
    _check_folders(models)
    if cluster is None:
        for model in models:
            model.load(encoder)
    progress, untried = Progress(sum(len(model.todo) for model in models), enabled=not quiet), first.retry_failed
    busy = [model for model in models if model.todo]

    def tick() -> None:
        outcomes = [model.outcome for model in models]
        progress.update(sum(outcome.finished + len(outcome.waiting) for outcome in outcomes),
                        sum(model.tally.frames for model in models),
                        max(outcome.video_seconds + sum(list(outcome.waiting.values())) for outcome in outcomes))

    try:
        if busy:
            if cluster is not None:
                cluster.run(busy, list(_wanted(busy)), tick, progress.stage)
            else:
                run_together([model.pipeline(progress.stage) for model in busy], (video for _, video in _wanted(busy)), tick)
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


def _wanted(models: Sequence[ModelRun]) -> Iterator[tuple[int, Video]]:
    """(number, who wants it as which job) of every video, in order."""
    def wishes(place: int, model: ModelRun) -> Iterator[tuple[int, int, Job]]:
        return ((job.number, place, job) for job in model.todo)

    for number, alike in groupby(heapq.merge(*map(wishes, count(), models)), itemgetter(0)):
        yield number, tuple((place, job) for _, place, job in alike)


def _cluster(config: ExtractConfig, encoder: Encoder | None) -> AbstractContextManager[RayCluster | None]:
    if config.launcher != "ray":
        return nullcontext()
    if encoder is not None:
        raise ConfigError("encoder= is a network in this process, and launcher=ray runs it in others: name the model instead")
    from .ray_launcher import RayCluster

    return closing(RayCluster(config))


def _check_folders(models: Sequence[ModelRun]) -> None:
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


def _failures_file(config: ExtractConfig) -> Path | RemoteFile:
    name = failures_name(config.shard_of)
    return RemoteFile(f"{config.output_path.rstrip('/')}/{name}") if is_url(config.output_path) else output_root(config) / name
