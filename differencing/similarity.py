"""Clips' features through the store, and features of texts beside them."""

from __future__ import annotations

import csv
import io
import math
import os
import zlib
from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ..configs.differencing_schema import DifferencingConfig
from ..configs.schema import ExtractConfig
from ..errors import ClipreelError, ConfigError, EmptyVideoError, StoredDataError, UnreadableVideoError
from ..extract.decode.registry import reader_for
from ..extract.features import Features
from ..extract.run import run
from ..extract.store.find import StoredVideo
from ..extract.text_features import TextFeatures
from ..extract.videos import VideoItem, content_id
from ..models.base import Encoder
from .dataset import DOMAIN_FPS
from .records import Clip, Pair, Track

OWN_FPS = 8.0


@dataclass(frozen=True)
class Tracks:
    """Tracks by clip and frames a second, and why others failed. `frame_seconds`: of the clips that are there the times of the
    source's frames on the clip's own clock, [frames]."""

    tracks: Mapping[tuple[Clip, float], Track]
    failed: Mapping[tuple[Clip, float], str]
    frame_seconds: Mapping[Clip, np.ndarray]


@dataclass(frozen=True)
class _Cut:
    """What part of a video a clip is, found by its frames' own times: rates that files or datasets name may be wrong, or vary."""

    item: VideoItem
    frame_seconds: np.ndarray


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
    times: dict[Clip, np.ndarray] = {}
    for fps, clips in wanted.items():
        named: dict[str, Clip] = {}
        items: dict[str, VideoItem] = {}
        for clip in clips:
            try:
                name = _name(clip, named)
                cut = _cut(clip, name)
                times[clip], named[name], items[name] = cut.frame_seconds, clip, cut.item
            except ClipreelError as error:
                failed[clip, fps] = str(error)
        found, problems = _extract(config, named, items, fps, encoder, folder / f"fps_{fps:g}", quiet=quiet)
        tracks |= {(named[name], fps): _track(features) for name, features in found.items()}
        failed |= {(named[name], fps): reason for name, reason in problems.items()}
    return Tracks(tracks, failed, times)


def stored_tracks_of(config: DifferencingConfig, pairs: Sequence[Pair], videos: Sequence[StoredVideo]) -> Tracks:
    """Every distinct clip's features from what is stored: of the clip itself, or of the whole video, at the rate they were made
    with. A clip of which nothing is stored is a row of `failed`."""
    by_content = {video.mark.provenance.source.content_id: video for video in videos if video.mark is not None}
    tracks: dict[tuple[Clip, float], Track] = {}
    failed: dict[tuple[Clip, float], str] = {}
    times: dict[Clip, np.ndarray] = {}
    for pair in pairs:
        fps = sampling_fps(config, pair)
        for clip in pair.clips:
            if (clip, fps) in tracks or (clip, fps) in failed:
                continue
            try:
                cut = _cut(clip, clip.path.stem)
                item, times[clip] = cut.item, cut.frame_seconds
                whole = replace(item, start_seconds=None, end_seconds=None)
                video = by_content.get(content_id(item)) or by_content.get(content_id(whole))
                if video is None:
                    raise StoredDataError(f"features={config.features}: holds no features of {clip.path}")
                tracks[clip, fps] = _track(video.read(False), item.start_seconds, item.end_seconds)
            except ClipreelError as error:
                failed[clip, fps] = str(error)
    return Tracks(tracks, failed, times)


def encode_texts(texts: TextFeatures, wanted: Sequence[str], encoder: Encoder) -> None:
    """Raises ConfigError for a text that is too long for the encoder, or a folder that cannot be written."""
    try:
        texts.fill(wanted, lambda: encoder)
    except OSError as error:
        raise ConfigError(f"{texts.folder}: cannot be written ({error.strerror}); give an output_path that can") from error


def _cut(clip: Clip, name: str) -> _Cut:
    """Raises VideoError for a clip of which there is nothing."""
    if clip.path.is_dir() and clip.fps is None:
        raise UnreadableVideoError(f"{clip.path}: is a folder of pictures, and fps_original does not say how many a second")
    index = reader_for(clip.path, "auto", clip.fps if clip.path.is_dir() else None).index(clip.path)
    seconds = index.times_ms(index.pts) / 1000
    first, end = clip.begin_frame, len(seconds) if clip.end_frame is None else min(clip.end_frame, len(seconds))
    if first >= end:
        raise EmptyVideoError(f"{clip.path}: frames [{first}, {clip.end_frame}) are asked for, and it has {len(seconds)}")
    # Half a frame early: a container's rounding of the first frame's time must not lose it, nor win the one after.
    begin_seconds = float(seconds[first - 1:first + 1].mean()) if first else None
    end_seconds = float(seconds[end - 1:end + 1].mean()) if end < len(seconds) else None
    return _Cut(VideoItem(os.path.abspath(clip.path), name, begin_seconds, end_seconds), seconds[first:end] - seconds[first])


def _extract(config: DifferencingConfig, named: Mapping[str, Clip], items: Mapping[str, VideoItem], fps: float, encoder: Encoder,
             folder: Path, *, quiet: bool) -> tuple[dict[str, Features], dict[str, str]]:
    """(features by name, failures by name). Folders of pictures take their rate from the dataset, so each rate of those is an
    extraction of its own."""
    groups: dict[float | None, list[VideoItem]] = defaultdict(list)
    failed: dict[str, str] = {}
    names: dict[str, list[str]] = defaultdict(list)  # by content: a store knows the cut of a video again, wherever it lies
    for name, clip in named.items():
        try:
            names[content_id(items[name])].append(name)
        except UnreadableVideoError as error:
            failed[name] = str(error)
            continue
        groups[clip.fps if clip.path.is_dir() else None].append(items[name])
    features: dict[str, Features] = {}
    for pictures_fps, some in groups.items():
        with TemporaryDirectory() as scratch:  # not in the folder of features, where another run may be at work
            videos = Path(scratch) / "clips.csv"
            _write_list(videos, some)
            report = run(ExtractConfig(
                encoder=config.encoder, file_with_video_paths=str(videos), on_extraction="save_numpy", output_path=str(folder),
                extraction_fps=fps, dtype="float16", fps=pictures_fps, batch_size=config.batch_size, workers=config.workers,
                reader=config.reader, overwrite=config.overwrite), encoder=encoder, quiet=quiet)
        for key in report.features:
            stored = report.features[key]
            features |= dict.fromkeys(names[stored.provenance.source.content_id], stored)
        for failure in report.failed:
            failed |= dict.fromkeys(next(same for same in names.values() if failure.name in same), failure.reason)
    return features, failed


def _write_list(path: Path, items: Sequence[VideoItem]) -> None:
    listed = io.StringIO(newline="")
    rows = csv.writer(listed)
    rows.writerow(["path", "id", "start", "end"])
    for item in items:
        times = ("" if one is None else repr(one) for one in (item.start_seconds, item.end_seconds))
        rows.writerow([item.path, item.name, *times])
    path.write_bytes(listed.getvalue().encode(errors="surrogateescape"))


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
