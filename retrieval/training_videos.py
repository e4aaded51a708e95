"""Which videos are trained on, and by which the epoch is chosen: never by those of the test."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..configs.retrieval_train_schema import RetrievalTrainConfig
from ..errors import InputError
from .annotations import CaptionedVideo, read_annotations

log = logging.getLogger("clipreel")
ANNOTATIONS = "./output/retrieval"  # where the files of dataset= lie when annotations= is not given


@dataclass(frozen=True)
class TrainingVideos:
    """`chosen_by` says in words what `validation` is; it may be empty, and then the last epoch is kept."""

    train: tuple[CaptionedVideo, ...]
    validation: tuple[CaptionedVideo, ...]
    chosen_by: str

    @property
    def digest(self) -> str:
        """64 hex digits of all of it, by which a training knows that it goes on with the same."""
        listed = json.dumps([[[video.video_id, video.captions] for video in some] for some in (self.train, self.validation)])
        return hashlib.sha256(listed.encode()).hexdigest()


def read_training_videos(config: RetrievalTrainConfig) -> TrainingVideos:
    """The videos of the config's annotations. Raises InputError where a file cannot be read or videos are in two parts."""
    train_path, validation_path, test_path = (_path(config, part) for part in ("train", "val", "test"))
    if train_path is None:
        raise InputError(f"annotations={config.annotations}: there is no train.json in it; `retrieval prepare` writes it, or give "
                         "train_annot=")
    train = read_annotations(train_path)
    validation = () if validation_path is None else read_annotations(validation_path)
    tested = {video.video_id for video in (() if test_path is None else read_annotations(test_path))}
    own = {video.video_id for video in train}
    if both := own & tested:
        raise InputError(f"{train_path} and {test_path} share {len(both)} videos ({min(both)}, …): what is tested must not be "
                         "trained on")
    if validation and not tested & {video.video_id for video in validation}:
        if both := own & {video.video_id for video in validation}:
            raise InputError(f"{train_path} and {validation_path} share {len(both)} videos ({min(both)}, …): take them out of one, "
                             "or leave val_annot out and a part of the training videos is set apart")
        return TrainingVideos(train, validation, f"{validation_path}, {len(validation)} videos")
    why = "there is no validation list"
    if validation:
        why = f"{validation_path} holds videos of the test, by which no epoch may be chosen"
    count = round(len(train) * config.validation_fraction)
    if count < 2 or len(train) - count < 2:
        return TrainingVideos(train, (), f"nothing ({why}, and no training videos are set apart): the last epoch is kept")
    apart = set(np.random.default_rng([config.seed, 0]).permutation(len(train))[:count].tolist())
    return TrainingVideos(tuple(video for place, video in enumerate(train) if place not in apart),
                          tuple(video for place, video in enumerate(train) if place in apart),
                          f"{count} of the {len(train)} training videos, set apart because {why}")


def _path(config: RetrievalTrainConfig, part: str) -> Path | None:
    named: str | None = getattr(config, f"{part}_annot")
    base = config.annotations or (f"{ANNOTATIONS}/{config.dataset}" if config.dataset is not None else None)
    folder = None if base is None else Path(base).expanduser()
    if folder is not None and folder.is_file():  # one file: it is trained on
        if part == "train" and named is None:
            return folder
        folder = None
    if named is not None:
        alone = Path(named).expanduser()
        inside = alone if folder is None else folder / alone
        return alone if alone.is_file() and not inside.is_file() else inside
    if folder is None:
        return None
    path = folder / f"{part}.json"
    return path if path.is_file() or (part == "train" and not folder.is_dir()) else None
