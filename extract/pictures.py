"""`frames VIDEOS FRAMES`: the frames of videos as pictures, a folder a video, each folder whole or not there."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..configs.frames_schema import FramesConfig
from ..errors import ClipreelError, ConfigError, InputError, OutputError, StoreConflictError, UnreadableVideoError
from .failures import failures_name, write_failures
from .job import Job
from .keys import assign_keys
from .picture_folder import PictureMark, PictureSettings, StoppedError, is_free, is_whole, mark_of, write_pictures
from .report import Failure
from .store.files import remove_stale
from .videos import VideoItem, content_id, find_videos

log = logging.getLogger("clipreel")


@dataclass(frozen=True)
class PicturesReport:
    """Folders that were made and skipped (whole already), and what failed."""

    folder: Path
    done: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    pictures: int = 0
    size_bytes: int = 0
    wall_seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        return 1 if self.failed else 0

    def __str__(self) -> str:
        lines = [f"done {len(self.done)}, skipped {len(self.skipped)}, failed {len(self.failed)} ({self.pictures} pictures, "
                 f"{self.size_bytes / 1e6:.1f} MB in {self.wall_seconds:.1f} s)"]
        return "\n".join([*lines, *(f"  failed: {failure.reason}" for failure in self.failed)])


def run(config: FramesConfig) -> int:
    """The command. Returns the exit code: 1 when some video failed."""
    if config.dry_run:
        report, jobs = _plan(config)
        sys.stdout.writelines(f"{job.item.path} -> {report.folder / job.key}\n" for job in jobs)
        log.info("%d videos to do, %d done already, %d cannot be read; nothing was written", len(jobs), len(report.skipped),
                 len(report.failed))
        for failure in report.failed:
            log.info("  failed: %s", failure.reason)
        return report.exit_code
    report = write_folders(config)
    log.info("%s", report)
    return report.exit_code


def write_folders(config: FramesConfig, *, quiet: bool = False) -> PicturesReport:
    """Make the folders. Raises UsageError before anything is started; a video's own error is a row of the report."""
    from tqdm import tqdm

    began, root = time.monotonic(), Path(config.output).expanduser()
    _prepare(root)
    report, jobs = _plan(config)
    marks: dict[int, PictureMark] = {}
    failures = list(report.failed)
    workers = (config.workers or os.cpu_count() or 1) if config.parallel else 1
    stop = threading.Event()
    with (ThreadPoolExecutor(workers) as pool,
          tqdm(total=len(jobs), unit="video", file=sys.stderr, disable=True if quiet or not jobs else None) as bar):
        try:
            todo: dict[Future[PictureMark], Job] = {
                pool.submit(write_pictures, job.item.path, root / job.key, job.content_id, _settings(config),
                            allow_truncated=config.allow_truncated, stopped=stop.is_set): job for job in jobs}
            for future in as_completed(todo):
                job = todo[future]
                error = future.exception()
                if error is None:
                    marks[job.number] = future.result()
                elif isinstance(error, Exception) and not isinstance(error, StoppedError):
                    failures.append(_failure(job.item, job.key, error))
                bar.update()
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    done = replace(report, done=[job.key for job in jobs if job.number in marks], failed=failures,
                   pictures=sum(len(mark.timestamps_ms) for mark in marks.values()),
                   size_bytes=sum(mark.size_bytes for mark in marks.values()), wall_seconds=time.monotonic() - began)
    write_failures(root / failures_name(), done.failed)
    return done


def _plan(config: FramesConfig) -> tuple[PicturesReport, list[Job]]:
    """What is done, what fails at once, and the videos to do. Raises StoreConflictError for pictures of other settings."""
    root, settings = Path(config.output).expanduser(), _settings(config)
    failed: list[Failure] = []
    skipped, jobs = [], []
    marks: dict[str, PictureMark | None] = {}

    def owner(key: str) -> str | None:
        marks[key] = mark = mark_of(root / key)
        return mark.content_id if mark is not None else None

    for job in assign_keys(_identified(_wanted(config, failed), failed), owner):
        mark = marks.get(job.key)
        if mark is None and os.path.lexists(root / job.key) and not is_free(root / job.key):
            failed.append(_failure(job.item, job.key, OutputError(
                f"{root / job.key}: is there and was not made by this command: move it, or give another folder")))
            continue
        if mark is not None and not config.overwrite:
            if mark.settings != settings:
                raise StoreConflictError(f"{root / job.key} holds pictures made with {_said(mark.settings)}, and now it is "
                                         f"{_said(settings)}: give overwrite=true to replace them, or another folder")
            if is_whole(root / job.key, mark) and (mark.damage is None or config.allow_truncated):
                skipped.append(job.key)
                continue
        jobs.append(job)
    return PicturesReport(root, skipped=skipped, failed=failed), jobs


def _wanted(config: FramesConfig, failed: list[Failure]) -> list[VideoItem]:
    """The videos named, without folders of pictures, in the accepted formats, on the list, from begin to end."""
    formats = {f".{suffix.lower().lstrip('.')}" for suffix in config.accepted_formats}
    found = find_videos(config.videos)
    items = [item for item in found if not item.path.is_dir() and (not formats or item.path.suffix.lower() in formats)]
    if not items:
        raise InputError(f"videos={', '.join(config.videos)}: no video among the {len(found)} found"
                         + (f"; accepted are {', '.join(sorted(formats))}" if formats else " (folders of pictures are no videos)"))
    if config.file_list is not None:
        items = _listed(config.file_list, items, failed)
    return items[config.begin:config.end]


def _listed(name: str, items: Sequence[VideoItem], failed: list[Failure]) -> list[VideoItem]:
    try:
        lines = Path(name).expanduser().read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"file_list={name}: is no readable text file ({error})") from error
    named = dict.fromkeys(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))
    called: dict[str, set[int]] = defaultdict(set)  # what a video may be called -> the places of those that are
    for place, item in enumerate(items):
        ends = item.location.split("/")
        for words in (item.path.stem, item.place, *("/".join(ends[first:]) for first in range(len(ends)))):
            called[words].add(place)
    chosen: set[int] = set()
    for line in named:
        places = called.get(line, set()) | called.get(os.path.abspath(os.path.expanduser(line)), set())
        if not places:
            failed.append(_failure(VideoItem(line, Path(line).stem), Path(line).stem, UnreadableVideoError(
                f"{line}: is on file_list={name} and not among the {len(items)} videos")))
        chosen |= places
    return [items[place] for place in sorted(chosen)]


def _identified(items: Sequence[VideoItem], failed: list[Failure]) -> Iterator[tuple[int, VideoItem, str]]:
    for number, item in enumerate(items):
        try:
            identity = content_id(item)
        except UnreadableVideoError as error:
            failed.append(_failure(item, item.name, error))
            continue
        yield number, item, identity


def _settings(config: FramesConfig) -> PictureSettings:
    return PictureSettings(config.fps, config.size, config.prefix, config.quality)


def _said(settings: PictureSettings) -> str:
    return ", ".join(f"{name}={value}" for name, value in vars(settings).items())


def _failure(item: VideoItem, key: str, error: Exception) -> Failure:
    reason = str(error) if isinstance(error, ClipreelError) else f"{item.path}: {error or type(error).__name__}"
    return Failure(os.path.abspath(item.path), key, type(error).__name__, reason, item.start_seconds, item.end_seconds, item.name,
                   item.metadata)


def _prepare(root: Path) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
        remove_stale(root)
    except OSError as error:
        raise ConfigError(f"output={root}: cannot be written ({error.strerror}); give a folder that can") from error
