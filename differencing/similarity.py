"""Clips' features through the store, and features of texts beside them."""

from __future__ import annotations

import csv
import io
import math
import os
import zlib
from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..configs.differencing_schema import DifferencingConfig
from ..configs.schema import ExtractConfig
from ..errors import ClipreelError, ConfigError, StoredDataError, UnreadableVideoError
from ..extract.decode.registry import reader_for
from ..extract.features import Features
from ..extract.run import run
from ..extract.store.files import write_whole
from ..extract.store.find import StoredVideo
from ..extract.videos import VideoItem, content_id
from ..models.base import Encoder
from .dataset import DOMAIN_FPS
from .records import Clip, Pair, Track

OWN_FPS = 8.0


@dataclass(frozen=True)
class Tracks:
    """Tracks by clip and frames a second, and why others failed. `fps`: the sources' own."""

    tracks: Mapping[tuple[Clip, float], Track]
    failed: Mapping[tuple[Clip, float], str]
    source_fps: Mapping[Clip, float] = field(default_factory=dict)
    seconds: float = 0.0


def sampling_fps(config: DifferencingConfig, pair: Pair) -> float:
    return config.extraction_fps or DOMAIN_FPS.get(pair.domain, OWN_FPS)


def tracks_of(config: DifferencingConfig, pairs: Sequence[Pair], encoder: Encoder, folder: Path, *, quiet: bool) -> Tracks:
    """Every distinct clip's features, made once and kept in `folder`. A clip that fails is a row of `failed`."""
    wanted: dict[float, dict[Clip, None]] = defaultdict(dict)
    for pair in pairs:
        for clip in pair.clips:
            wanted[sampling_fps(config, pair)][clip] = None
    tracks: dict[tuple[Clip, float], Track] = {}
    failed: dict[tuple[Clip, float], str] = {}
    rates: dict[Clip, float] = {}
    seconds = 0.0
    for fps, clips in wanted.items():
        named: dict[str, Clip] = {}
        for clip in clips:
            try:
                rates[clip] = rates.get(clip) or _source_fps(clip)
                named[_name(clip, named)] = clip
            except ClipreelError as error:
                failed[clip, fps] = str(error)
        if not named:
            continue
        found, problems, spent = _extract(config, named, rates, fps, encoder, folder / f"fps_{fps:g}", quiet=quiet)
        seconds += spent
        tracks |= {(named[name], fps): _track(features) for name, features in found.items()}
        failed |= {(named[name], fps): reason for name, reason in problems.items()}
    return Tracks(tracks, failed, rates, seconds)


def stored_tracks_of(config: DifferencingConfig, pairs: Sequence[Pair], videos: Sequence[StoredVideo]) -> Tracks:
    """Every distinct clip's features from what is stored: of the clip itself, or of the whole video, at the rate they were made
    with. A clip of which nothing is stored is a row of `failed`."""
    by_content = {video.mark.provenance.source.content_id: video for video in videos if video.mark is not None}
    tracks: dict[tuple[Clip, float], Track] = {}
    failed: dict[tuple[Clip, float], str] = {}
    rates: dict[Clip, float] = {}
    for pair in pairs:
        fps = sampling_fps(config, pair)
        for clip in pair.clips:
            if (clip, fps) in tracks or (clip, fps) in failed:
                continue
            try:
                rates[clip] = _source_fps(clip)
                item = _item(clip, rates[clip], clip.path.stem)
                whole = replace(item, start_seconds=None, end_seconds=None)
                video = by_content.get(content_id(item)) or by_content.get(content_id(whole))
                if video is None:
                    raise StoredDataError(f"features={config.features}: holds no features of {clip.path}")
                tracks[clip, fps] = _track(video.read(False), item.start_seconds, item.end_seconds)
            except ClipreelError as error:
                failed[clip, fps] = str(error)
    return Tracks(tracks, failed, rates)


def _item(clip: Clip, rate: float, name: str) -> VideoItem:
    # Half a frame early: a container's rounding of the first frame's time must not lose it, nor win the one after.
    begin = (clip.begin_frame - 0.5) / rate if clip.begin_frame else None
    end = (clip.end_frame - 0.5) / rate if clip.end_frame is not None else None
    return VideoItem(Path(os.path.abspath(clip.path)), name, begin, end)


def _source_fps(clip: Clip) -> float:
    if clip.fps is not None:
        return clip.fps
    index = reader_for(clip.path, "auto", None).index(clip.path)
    return float(index.fps) if index.fps else len(index) / index.duration_seconds


def _extract(config: DifferencingConfig, named: Mapping[str, Clip], rates: Mapping[Clip, float], fps: float, encoder: Encoder,
             folder: Path, *, quiet: bool) -> tuple[dict[str, Features], dict[str, str], float]:
    """(features by name, failures by name, seconds). Folders of pictures take their rate from the dataset, so each rate of
    those is an extraction of its own."""
    groups: dict[float | None, list[VideoItem]] = defaultdict(list)
    failed: dict[str, str] = {}
    names: dict[str, list[str]] = defaultdict(list)  # by content: a store knows the cut of a video again, wherever it lies
    for name, clip in named.items():
        item = _item(clip, rates[clip], name)
        try:
            names[content_id(item)].append(name)
        except UnreadableVideoError as error:
            failed[name] = str(error)
            continue
        groups[rates[clip] if clip.path.is_dir() else None].append(item)
    features: dict[str, Features] = {}
    seconds = 0.0
    for pictures_fps, items in groups.items():
        videos = folder / f"clips{f'_{pictures_fps:g}' if pictures_fps else ''}.csv"
        _write_list(videos, items)
        report = run(ExtractConfig(
            encoder=config.encoder, file_with_video_paths=str(videos), on_extraction="save_numpy", output_path=str(folder),
            extraction_fps=fps, dtype="float16", fps=pictures_fps, batch_size=config.batch_size, workers=config.workers,
            reader=config.reader, overwrite=config.overwrite), encoder=encoder, quiet=quiet)
        for key in report.features:
            stored = report.features[key]
            features |= dict.fromkeys(names[stored.provenance.source.content_id], stored)
        for failure in report.failed:
            failed |= dict.fromkeys(next(same for same in names.values() if failure.name in same), failure.reason)
        seconds += report.wall_seconds
    return features, failed, seconds


def _write_list(path: Path, items: Sequence[VideoItem]) -> None:
    listed = io.StringIO(newline="")
    rows = csv.writer(listed)
    rows.writerow(["path", "id", "start", "end"])
    for item in items:
        times = ("" if one is None else repr(one) for one in (item.start_seconds, item.end_seconds))
        rows.writerow([item.path, item.name, *times])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda file: file.write(listed.getvalue().encode(errors="surrogateescape")))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}); give an output_path that can") from error


def _name(clip: Clip, taken: Container[str]) -> str:
    """Readable, and another for another cut of the same video."""
    cut = f"_{clip.begin_frame}-{'' if clip.end_frame is None else clip.end_frame}" if clip.begin_frame or clip.end_frame else ""
    name = f"{clip.path.stem or clip.path.name}{cut}"
    return name if name not in taken else f"{name}-{zlib.crc32(os.fsencode(os.path.abspath(clip.path))):08x}"


def _track(features: Features, start_seconds: float | None = None, end_seconds: float | None = None) -> Track:
    """The features of a cut of them, half open. Raises StoredDataError where no row lies in it."""
    times = features.timestamps_ms
    inside = (times >= 1000 * (start_seconds or 0)) & (times < 1000 * (math.inf if end_seconds is None else end_seconds))
    if not inside.any():
        raise StoredDataError(f"{features.provenance.source.path}: no stored row lies in {start_seconds} s to {end_seconds} s")
    rows, times = features.features[inside].astype(np.float32), times[inside]
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    # A source slower than the rate repeats rows: each frame counts once.
    first = np.concatenate([[True], np.diff(times) > 0])
    return Track((times[first] - times[0]) / 1000, times[first], rows[first], features.fps)
