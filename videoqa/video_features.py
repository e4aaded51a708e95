"""The videos' features for answering: extracted into the store, or read from it."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ..configs.schema import ExtractConfig
from ..configs.videoqa_schema import VideoqaAnswerConfig
from ..errors import ConfigError, StoredDataError
from ..extract.features import Features
from ..extract.framewise import FramewiseExtractor
from ..extract.registry import EXTRACTORS
from ..extract.report import Report
from ..extract.run import output_folder, run
from ..extract.store.files import write_whole
from ..extract.store.store import FeatureStore
from ..extract.stored import stored_of_one_model
from ..models.base import EncoderIdentity
from ..models.registry import LazyEncoder
from .sources import FRAMES_PER_SECOND

FORMAT: Literal["save_numpy"] = "save_numpy"  # read in a third of the time of save_hdf5, which counts for 900 videos
FRAMEWISE_TOTAL = 8  # frames a video, as many as ViCLIP sees
_NAME = "videoID"  # the column of the list, and so the metadata, that says whose features they are


@dataclass(frozen=True)
class VideoFeatures:
    """Features by videoID, why others failed, and the model of them all. `report` is the extraction's, if there was one."""

    features: Mapping[str, Features]
    failed: Mapping[str, str] = field(default_factory=dict)
    report: Report | None = None


def extract(config: VideoqaAnswerConfig, videos: Mapping[str, Path], identity: EncoderIdentity,
            encoder: LazyEncoder, *, devices: Sequence[str], quiet: bool) -> VideoFeatures:
    """Features of `videos` (by videoID) through the store: what it holds already is not made again. `quiet`: no bar."""
    folder = Path(config.output_path).expanduser()
    listed = io.StringIO(newline="")
    rows = csv.writer(listed)
    rows.writerow(["path", "id", _NAME])
    rows.writerows([os.path.abspath(path), name, name] for name, path in videos.items())
    paths = folder / "videos.csv"
    try:
        write_whole(paths, lambda file: file.write(listed.getvalue().encode(errors="surrogateescape")))
    except OSError as error:
        raise ConfigError(f"output_path={folder}: cannot be written ({error.strerror}); give a folder that can") from error
    total = config.extraction_total
    if EXTRACTORS[identity.feature_type] is FramewiseExtractor and total is None and config.extraction_fps is None:
        total = FRAMEWISE_TOTAL
    wanted = ExtractConfig(
        encoder=config.encoder, file_with_video_paths=str(paths), on_extraction=FORMAT, output_path=str(folder / "features"),
        extraction_fps=config.extraction_fps, extraction_total=total, window_seconds=config.window_seconds,
        stride_seconds=config.stride_seconds, fps=FRAMES_PER_SECOND, batch_size=config.batch_size, workers=config.workers,
        reader=config.reader, device_ids=tuple(devices), allow_truncated=config.allow_truncated, overwrite=config.overwrite)
    store = FeatureStore(output_folder(wanted, identity), FORMAT)
    # Several devices load a model each; with nothing to do none is loaded.
    if encoder.loaded is not None or (len(devices) == 1 and (config.overwrite or not set(videos) <= set(store.keys()))):
        report = run(wanted, encoder=encoder(), quiet=quiet)
    else:
        report = run(wanted, quiet=quiet)
    by_name = {}
    for key in report.features:
        stored = report.features[key]
        by_name[stored.provenance.metadata.get(_NAME, key)] = stored
    name_of = {os.path.abspath(path): name for name, path in videos.items()}
    failed = {name_of.get(failure.path, failure.key): failure.reason for failure in report.failed}
    return VideoFeatures(by_name, failed, report)


def read(folder: str) -> tuple[VideoFeatures, EncoderIdentity]:
    """The features stored below `folder`, and the one model that made them all.

    Raises StoredDataError when there is none, when they are of several models, or what is there is damaged.
    """
    videos, identity = stored_of_one_model(folder)
    features: dict[str, Features] = {}
    for video in videos:
        stored = video.read(False)
        name = stored.provenance.metadata.get(_NAME, video.key)
        if name in features:
            raise StoredDataError(f"features={folder}: holds {name!r} twice, the second time at {video.place}; name one folder")
        features[name] = stored
    return VideoFeatures(features), identity
