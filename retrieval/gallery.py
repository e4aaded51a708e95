"""The videos that are searched: their stored features, thinned to a fixed number of frames."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ConfigError, StoredDataError
from ..extract.sampling import thinned
from ..extract.store.find import StoredVideo
from ..extract.stored import stored_of_one_model
from ..models.base import EncoderIdentity
from .policy_rows import policy_rows

if TYPE_CHECKING:
    from ..models.adaclip.checkpoint import Checkpoint

log = logging.getLogger("clipreel")
ID_COLUMN = "video_id"  # the column of the list of videos, and so the metadata, that says whose features they are


@dataclass(frozen=True, eq=False)
class Gallery:
    """V videos in the order asked for. A video of fewer than N frames has masked repeats; a missing one is masked
    altogether, with features of 0 and times of NaN."""

    video_ids: tuple[str, ...]
    features: np.ndarray  # float32 [V, N, dim], not normalised
    mask: np.ndarray  # bool [V, N], true where there is a frame
    timestamps_ms: np.ndarray  # float64 [V, N]
    missing: tuple[str, ...]
    encoder: EncoderIdentity
    policy: np.ndarray | None = None  # float32 [V, N, d], what a selector with features of its own sees
    policy_encoder: EncoderIdentity | None = None
    selected_by: str | None = None  # the fingerprint of the checkpoint that chose the frames before they were encoded

    def __len__(self) -> int:
        return len(self.video_ids)

    @property
    def available(self) -> np.ndarray:
        """bool [V]: the videos that have features."""
        return np.any(self.mask, axis=1)


def load_gallery(
    features_path: str | os.PathLike[str], video_ids: Sequence[str] | None = None, num_frm: int | None = None,
    policy_features: str | os.PathLike[str] | None = None,
) -> Gallery:
    """The stored features of the videos asked for.

    Args:
        features_path: a folder or file of stored features in any format, all of one model.
        video_ids: which videos, in this order; None is everything stored, in order of names.
        num_frm: frames a video, by `thinned`; None is every stored row, shorter videos masked at the end.
        policy_features: stored features of feature_type=policy, of the same frames.

    Raises: StoredDataError where nothing is stored, none of the videos is, two have one id, several models made them, what is
        there is damaged, or a frame lacks its policy features. Videos without features stay, and are counted aloud.
    """
    found, encoder = stored_by_id("features", features_path, None if video_ids is None else set(video_ids))
    wanted = tuple(found) if video_ids is None else tuple(video_ids)
    missing = tuple(video_id for video_id in wanted if video_id not in found)
    if missing:
        log.warning("%d of %d videos have no stored features below %s: they stay in the gallery and count as misses (%s)",
                    len(missing), len(wanted), features_path, _some(missing))
    longest = max(_rows(video) for video in found.values()) if num_frm is None else num_frm
    dim = _dim(next(iter(found.values())))
    features = np.zeros((len(wanted), longest, dim), dtype=np.float32)
    mask = np.zeros((len(wanted), longest), dtype=bool)
    times = np.full((len(wanted), longest), np.nan)
    policies, policy, policy_encoder = dict[str, StoredVideo](), None, None
    if policy_features is not None:
        policies, policy_encoder = stored_by_id("policy_features", policy_features, set(found))
        policy = np.zeros((len(wanted), longest, _dim(next(iter(policies.values())))), dtype=np.float32)
    for place, video_id in enumerate(wanted):
        if video_id not in found:
            continue
        stored = found[video_id].read(False)
        rows = np.arange(len(stored)) if num_frm is None else thinned(len(stored), num_frm)
        features[place, :len(rows)] = stored.features[rows]
        times[place, :len(rows)] = stored.timestamps_ms[rows]
        mask[place, :len(rows)] = np.diff(rows, prepend=-1) > 0  # a repeat is no frame of its own
        if policy is not None:
            if video_id not in policies:
                raise StoredDataError(f"policy_features={policy_features}: holds none of {video_id!r}, whose features are there: "
                                      "extract both from the same videos")
            policy[place, :len(rows)] = policy_rows(stored, policies[video_id].read(False), rows)
    return Gallery(wanted, features, mask, times, missing, encoder, policy, policy_encoder, _selection(features_path, found))


def stored_by_id(key: str, path: str | os.PathLike[str], wanted: set[str] | None, *,
                 among: Callable[[list[StoredVideo]], list[StoredVideo]] | None = None
                 ) -> tuple[dict[str, StoredVideo], EncoderIdentity]:
    """What is stored of the videos that are wanted, by id, and the one model of all of it. `among` chooses what counts at all."""
    videos, encoder = stored_of_one_model(os.fspath(path))
    videos = among(videos) if among is not None else videos
    found: dict[str, StoredVideo] = {}
    for video in videos:
        video_id = video.mark.provenance.metadata.get(ID_COLUMN, video.key) if video.mark is not None else video.key
        if video_id in found:
            raise StoredDataError(f"{key}={path}: holds {video_id!r} twice, at {found[video_id].place} and at {video.place}; "
                                  "name one folder")
        found[video_id] = video
    if wanted is not None and wanted.isdisjoint(found):
        raise StoredDataError(f"{key}={path}: holds features of {_some(list(found))}, and of none of the {len(wanted)} videos "
                              f"asked for ({_some(sorted(wanted))}); features are known by the video's file name, or by the column "
                              f"`{ID_COLUMN}` of file_with_video_paths=, as `retrieval prepare` writes it")
    return {video_id: video for video_id, video in found.items() if wanted is None or video_id in wanted}, encoder


def chosen_before(selected_by: str | None, checkpoint: Checkpoint, name: str) -> bool:
    """Whether stored frames are those that this checkpoint chose before they were encoded (`select=`). Raises ConfigError where
    another one chose them."""
    if selected_by is not None and selected_by != checkpoint.fingerprint:
        raise ConfigError(f"checkpoint={name}: the features are of frames that another checkpoint chose before they were encoded "
                          f"(select: {selected_by[:12]}…, this one is {checkpoint.fingerprint[:12]}…): give that one, or features "
                          "of every frame")
    return selected_by is not None


def _selection(path: str | os.PathLike[str], videos: Mapping[str, StoredVideo]) -> str | None:
    """Raises StoredDataError where the videos' frames were not chosen alike."""
    selections = {video.mark.provenance.settings.select for video in videos.values() if video.mark is not None}
    if len(selections) > 1:
        raise StoredDataError(f"features={path}: of some videos the frames were chosen by another select= than of others, or by "
                              "none; name a folder of one kind")
    return next(iter(selections), None)


def _rows(video: StoredVideo) -> int:
    return video.mark.shape[0] if video.mark is not None else 0


def _dim(video: StoredVideo) -> int:
    return video.mark.shape[1] if video.mark is not None else 0


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
