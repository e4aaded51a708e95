"""From features to a score for each option, by a recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..configs.videoqa_schema import Pooling, TextForm, VideoqaAnswerConfig
from ..errors import ConfigError
from .dataset import QaVideo
from .pooling import pooled_scores, total_scores, unit
from .text_features import TextFeatures
from .texts import Phrase, phrases_of


@dataclass(frozen=True)
class Recipe:
    """How options are scored; the keys' meanings are those of VideoqaAnswerConfig."""

    pooling: Pooling = "mean"
    text: TextForm = "option"
    strip_letters: bool = True
    prior_correction: bool = False
    subtitle_weight: float = 0.0

    @classmethod
    def of(cls, config: VideoqaAnswerConfig) -> Recipe:
        return cls(config.pooling, config.text, config.strip_letters, config.prior_correction, config.subtitle_weight)


@dataclass(frozen=True, eq=False)
class Evidence:
    """The videos that have features, all their rows one behind the other, and their subtitles' lines by videoID."""

    videos: Sequence[QaVideo]
    rows: np.ndarray  # float32 [n, dim], unit
    starts: np.ndarray  # int64 [v]
    subtitles: Mapping[str, Sequence[Phrase]]

    @classmethod
    def of(cls, videos: Sequence[QaVideo], features: Mapping[str, np.ndarray],
           subtitles: Mapping[str, Sequence[str]]) -> Evidence:
        """`features` by videoID, [n, dim]; a video without them is left out."""
        present = [video for video in videos if video.name in features]
        if not present:
            return cls([], np.empty((0, 0), dtype=np.float32), np.empty(0, dtype=np.int64), {})
        blocks = [features[video.name] for video in present]
        starts = np.cumsum([0, *(len(block) for block in blocks[:-1])])
        lines = {name: [Phrase(text) for text in texts] for name, texts in subtitles.items()}
        return cls(present, unit(np.concatenate(blocks)), starts, lines)

    def phrases(self, recipe: Recipe) -> list[Phrase]:
        """Every text that the recipe needs."""
        needed = [phrase for video in self.videos for question in video.questions
                  for phrase in phrases_of(question, recipe.text, recipe.strip_letters)]
        if recipe.subtitle_weight:
            needed += [phrase for video in self.videos for phrase in self.subtitles.get(video.name, ())]
        return needed


def score_options(evidence: Evidence, texts: TextFeatures, recipe: Recipe) -> dict[str, np.ndarray]:
    """question_id -> float64 [options]. Every phrase of the recipe must be in `texts`.

    The prior is the mean of the video term over the other videos. The subtitle term is the pooled cosine between the
    video's lines and the option, 0 for a video without lines.

    Raises ConfigError where the prior has no other video.
    """
    if recipe.prior_correction and len(evidence.videos) < 2:
        raise ConfigError(f"prior_correction=true needs two videos with features at least, and there are "
                          f"{len(evidence.videos)}: leave it out")
    of_video = [[texts.rows(phrases_of(question, recipe.text, recipe.strip_letters)) for question in video.questions]
                for video in evidence.videos]
    used, totals = np.empty(0, dtype=np.int64), np.empty(0)
    if recipe.prior_correction:
        used = np.unique(np.concatenate([rows for of_one in of_video for rows in of_one]))
        totals = total_scores(evidence.rows, evidence.starts, texts.matrix[used], recipe.pooling)  # [used]
    scores: dict[str, np.ndarray] = {}
    ends = [*evidence.starts[1:], len(evidence.rows)]
    for number, video in enumerate(evidence.videos):
        wanted = np.concatenate(of_video[number])
        options = texts.matrix[wanted]
        rows = evidence.rows[evidence.starts[number]:ends[number]]
        values = pooled_scores(rows, np.zeros(1, dtype=np.int64), options, recipe.pooling)[0].astype(np.float64)
        if recipe.prior_correction:
            values -= (totals[np.searchsorted(used, wanted)] - values) / (len(evidence.videos) - 1)
        lines = evidence.subtitles.get(video.name, ()) if recipe.subtitle_weight else ()
        if lines:
            said = texts.matrix[texts.rows(lines)]
            values += recipe.subtitle_weight * pooled_scores(said, np.zeros(1, dtype=np.int64), options, recipe.pooling)[0]
        begin = 0
        for question in video.questions:
            scores[question.question_id] = values[begin:begin + len(question.options)]
            begin += len(question.options)
    return scores
