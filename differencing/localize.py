"""Stage 2: where the stages of an action lie in a clip, and which frames show each difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .choose import Choice, Place, choose
from .records import ChosenFrames, Localization, Pair, Proposal, Segmentation, Track
from .segment import Segmenter, segment, stage_curves

HIT_SECONDS = 0.5


def localize(proposal: Proposal, track: Track, stage_features: Sequence[np.ndarray], *, segmentation: Segmenter = "viterbi",
             frames: Choice = "spaced", key: str = "") -> Localization:
    """Segments and frames of one clip.

    Args:
        stage_features: for each stage its retrieval strings' features, rows of length 1, [strings, dim].
        key: the clip's name, from which the baseline `frames="random"` draws.
    """
    similarities = [texts @ track.features.T for texts in stage_features]  # [strings, n] each
    segments, curves = segment(similarities, segmentation), stage_curves(similarities)
    chosen = {}
    for difference in proposal.differences:
        linked = list(proposal.stages_of(difference.id))
        place = Place(f"{key}/{difference.id}", track.timestamps_seconds, [segments[stage] for stage in linked], curves[linked])
        chosen[difference.id] = ChosenFrames(difference.id, choose(place, difference, frames))
    return Localization(Segmentation(segments, curves.astype(np.float32)), chosen)


@dataclass(frozen=True)
class LocalizationScore:
    """How near the chosen frames are to the annotated ones: of every clip and difference that has any, the mean over
    annotated frames of the distance to the nearest chosen one. None where nothing is annotated."""

    clips: int  # pairs of a clip and a difference
    mean_error_seconds: float | None
    median_error_seconds: float | None
    hit_rate: float | None  # share of them within HIT_SECONDS


def score_localization(pair: Pair, tracks: Sequence[Track], localizations: Sequence[Localization],
                       frame_seconds: Sequence[np.ndarray]) -> list[float]:
    """Errors in seconds against `pair.retrieval_frames`, one a clip and difference.

    Args:
        frame_seconds: for each clip the times of its frames, as the annotated numbers count them, [frames].

    Numbers beyond a clip's end are its last frame.
    """
    errors = []
    if pair.retrieval_frames is None:
        return errors
    for side, truth in enumerate(pair.retrieval_frames):
        track, chosen = tracks[side], localizations[side].chosen
        for difference_id, numbers in truth.items():
            if numbers and difference_id in chosen:
                ours = track.timestamps_seconds[list(chosen[difference_id].frames)]
                theirs = frame_seconds[side][np.minimum(numbers, len(frame_seconds[side]) - 1)]
                errors.append(float(np.abs(theirs[:, None] - ours[None]).min(axis=1).mean()))
    return errors


def summarize(errors: Sequence[float]) -> LocalizationScore:
    if not errors:
        return LocalizationScore(0, None, None, None)
    return LocalizationScore(len(errors), float(np.mean(errors)), float(np.median(errors)),
                             float(np.mean([error <= HIT_SECONDS for error in errors])))


def linked_texts(proposal: Proposal) -> list[str]:
    """Every retrieval string of the proposal, distinct."""
    return list(dict.fromkeys(text for stage in proposal.stages for text in stage.retrieval_strings))


def stage_features_of(proposal: Proposal, features: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """[strings, dim] a stage, from features by text."""
    return [np.stack([features[text] for text in stage.retrieval_strings]) for stage in proposal.stages]
