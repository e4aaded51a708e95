"""From a video's stored frames to the one vector that an index holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from ..errors import ConfigError, StoredDataError
from ..extract.features import Features
from ..extract.sampling import thinned
from ..extract.store.find import StoredVideo
from ..models.adaclip.checkpoint import Checkpoint
from ..models.base import EncoderIdentity
from .baselines import k_medoids, unit
from .gallery import stored_by_id
from .index_files import IndexedVideo, IndexIdentity
from .policy_rows import policy_rows

TOP_K = 12


@dataclass(frozen=True)
class FeaturesIdentity:
    """Which model made stored features, and the checkpoint that chose their frames beforehand, if one did."""

    encoder: EncoderIdentity
    selected_by: str | None

    @classmethod
    def of(cls, name: str, videos: Mapping[str, StoredVideo], encoder: EncoderIdentity) -> FeaturesIdentity:
        """Raises StoredDataError where frames were chosen in different ways."""
        ways = {video.mark.provenance.settings.select for video in videos.values() if video.mark is not None}
        if len(ways) > 1:
            raise StoredDataError(f"features={name}: of some videos the frames were chosen before encoding (select=), of others "
                                  "not, or by another checkpoint: name a folder of one kind")
        return cls(encoder, next(iter(ways)))


class VideoVectors(Protocol):
    """Makes vectors. `of`: float32 [B, D], unit rows, of B videos by id. Raises StoredDataError for features that do not go
    with it."""

    identity: IndexIdentity

    def of(self, videos: Mapping[str, Features]) -> np.ndarray: ...


class MeanVectors:
    """The mean direction of some of a video's frames."""

    def __init__(self, features: FeaturesIdentity, selection: str, top_k: int | None):
        k = None if selection == "all" else top_k or TOP_K
        self.identity = IndexIdentity(features.encoder, selection, k)
        self._choose = _SELECTIONS[selection]

    def of(self, videos: Mapping[str, Features]) -> np.ndarray:
        frames = [unit(features.features.astype(np.float32)) for features in videos.values()]
        return unit(np.stack([one[self._choose(one, self.identity.k or 0)].mean(axis=0) for one in frames]))


class LearnedVectors:
    """What a trained model makes of a video's frames, thinned to as many as it knows."""

    def __init__(self, features: FeaturesIdentity, checkpoint: Checkpoint, name: str, policy_features: str | None,
                 wanted: set[str], device: str):
        _refuse_strangers(features, checkpoint, name)
        self.identity = IndexIdentity(features.encoder, "adaclip", checkpoint.options.top_k, checkpoint.fingerprint,
                                      features.selected_by)
        self._model, self._num_frm, self._device = checkpoint.model.to(device), checkpoint.options.num_frm, device
        self._policies: Mapping[str, StoredVideo] | None = None
        eyes = checkpoint.policy if features.selected_by is None else None  # chosen already, there is nothing to look at
        if (policy_features is not None) != (eyes is not None):
            sees = "the features themselves: leave policy_features= out" if eyes is None else (
                f"features of {eyes.model_name}: give policy_features=")
            raise ConfigError(f"checkpoint={name}: its selector looks at {sees}")
        if policy_features is not None:
            self._policies, identity = stored_by_id("policy_features", policy_features, wanted)
            if identity != checkpoint.policy:
                raise ConfigError(f"policy_features={policy_features} are of {identity}, and checkpoint={name} looks at those of "
                                  f"{checkpoint.policy}")

    def of(self, videos: Mapping[str, Features]) -> np.ndarray:
        import torch

        rows = {video_id: thinned(len(features), self._num_frm) for video_id, features in videos.items()}
        frames = np.stack([features.features[rows[video_id]].astype(np.float32) for video_id, features in videos.items()])
        mask = np.stack([np.diff(mine, prepend=-1) > 0 for mine in rows.values()])  # a repeat is no frame of its own
        policy = None
        if self._policies is not None:
            policy = torch.from_numpy(np.stack([self._policy_rows(video_id, features, rows[video_id])
                                                for video_id, features in videos.items()])).to(self._device)
        with torch.inference_mode():
            vectors = self._model.encode_videos(torch.from_numpy(frames).to(self._device), torch.from_numpy(mask).to(self._device),
                                                policy)
        return vectors.float().cpu().numpy()

    def _policy_rows(self, video_id: str, features: Features, rows: np.ndarray) -> np.ndarray:
        assert self._policies is not None
        if video_id not in self._policies:
            raise StoredDataError(f"policy_features: hold none of {video_id!r}, whose features are there: extract both from the "
                                  "same videos")
        return policy_rows(features, self._policies[video_id].read(False), rows)


def _refuse_strangers(features: FeaturesIdentity, checkpoint: Checkpoint, name: str) -> None:
    if checkpoint.options.query_dependent:
        raise ConfigError(f"checkpoint={name}: its frame_agg=qscore weighs frames anew for every query, so a video has no vector "
                          "of its own; index with another, and search with rerank=qscore")
    if checkpoint.encoder != features.encoder:
        raise ConfigError(f"checkpoint={name} knows features of {checkpoint.encoder}, and these are of {features.encoder}: give "
                          "the features that it was trained on")
    if features.selected_by not in (None, checkpoint.fingerprint):
        raise ConfigError(f"checkpoint={name}: the frames of these features were chosen by another one before they were encoded; "
                          "give that one, or features of all frames")


def place_of(video_id: str, video: StoredVideo, folder: Path) -> IndexedVideo:
    """Where a video's features lie, and which version of them; root 0. Raises StoredDataError for half written ones."""
    if video.mark is None:
        video.read(False)  # says what is wrong
        raise StoredDataError(f"{video.place}: is half written; run the extraction again")
    name = video.mark.provenance.settings.encoder.feature_type
    digests = [said["sha256"] for file, said in sorted(video.mark.contents.items())
               if file == name or Path(file).stem.endswith(f"_{name}")]
    file = video.file.relative_to(folder) if video.file != folder else Path(video.file.name)
    return IndexedVideo(video_id, 0, str(file), video.key, digests[0], video.mark.provenance.source.path)


def _every(frames: np.ndarray, k: int) -> np.ndarray:
    return np.arange(len(frames))


def _uniform(frames: np.ndarray, k: int) -> np.ndarray:
    return np.unique(thinned(len(frames), k))


_SELECTIONS: dict[str, Callable[[np.ndarray, int], Sequence[int] | np.ndarray]] = {
    "all": _every,
    "uniform": _uniform,
    "kmedoids": k_medoids,
}
