"""The second stage: the best videos' stored frames, looked at once more for each query, which also says when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import StoredDataError
from ..extract.store.find import OpenStore
from ..models.base import EncoderIdentity
from .baselines import unit
from .index_files import IndexedVideo


@dataclass(frozen=True, eq=False)
class VideoFrames:
    """A video's frames."""

    features: np.ndarray  # float32 [n, D], unit rows
    timestamps_ms: np.ndarray  # float64 [n]


class StoredFrames:
    """Frames of an index's videos, from where the features lie. `roots`: folders or packed files, by the index's number for
    each."""

    def __init__(self, roots: Sequence[Path], encoder: EncoderIdentity):
        self._roots, self._encoder, self._store = roots, encoder, OpenStore()

    def of(self, video: IndexedVideo) -> VideoFrames:
        """Raises StoredDataError where the features are gone, or are not those that were indexed."""
        root = self._roots[video.root]
        place = root / video.file if root.is_dir() else root  # a packed file
        try:
            mark, features, timestamps_ms = self._store.read(place, video.key)
        except StoredDataError as error:
            raise StoredDataError(f"the features of {video.video_id!r} cannot be looked at again ({error}); if they were moved, "
                                  "give features=, the folder where they are now") from error
        if mark.provenance.settings.encoder != self._encoder or video.sha256 not in {
                said["sha256"] for said in mark.contents.values()}:
            raise StoredDataError(f"the features of {video.video_id!r} at {place} are not those that were indexed: run `retrieval "
                                  "index` again, which takes what has changed")
        return VideoFrames(unit(features.astype(np.float32)), timestamps_ms)


def q_score(likeness: np.ndarray, frames: np.ndarray, temperature: float) -> float:
    """The cosine of a text with the mean of a video's frames, weighted by softmax(likeness / temperature).

    Args:
        likeness: the text's cosines with the frames, float32 [n]. frames: unit rows [n, D].

    Source: Q-Scoring, Bain et al., "A CLIP-Hitchhiker's Guide to Long Video Retrieval" (2022).
    """
    weights = np.exp((likeness - likeness.max()) / temperature)  # [n]
    length = float(np.linalg.norm(weights @ frames))
    return float(weights @ likeness) / max(length, 1e-12)


def max_sim(likeness: np.ndarray, frames: np.ndarray, temperature: float) -> float:
    """The text's cosine with the frame that is most like it."""
    return float(likeness.max())


def second_looks(text: np.ndarray, videos: Sequence[VideoFrames], rule: str, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """(scores float32 [V], seconds float64 [V]: when the frame that is most like the text is on screen). `text`: unit [D]."""
    scores, moments = np.empty(len(videos), dtype=np.float32), np.empty(len(videos))
    for place, video in enumerate(videos):
        likeness = video.features @ text  # [n]
        scores[place] = SECOND_STAGES[rule](likeness, video.features, temperature)
        moments[place] = video.timestamps_ms[int(likeness.argmax())] / 1000
    return scores, moments


SECOND_STAGES: dict[str, Callable[[np.ndarray, np.ndarray, float], float]] = {
    "qscore": q_score,
    "maxsim": max_sim,
}
