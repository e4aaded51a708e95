"""What each choice of the recipe would give, one away from the recipe at hand, from features that are there already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, get_args

import numpy as np

from ..configs.videoqa_schema import DURATIONS, Pooling, TextForm
from .answers import accuracy, answer
from .scoring import Evidence, Recipe, score_options
from .text_features import TextFeatures


@dataclass(frozen=True)
class AblationRow:
    """Accuracies in percent, over the questions of videos with features; None where there is none of a duration.
    `lacking`: texts that no run has encoded yet; then there are no accuracies."""

    recipe: Recipe
    change: str  # what differs from the run's own recipe
    accuracy: float | None
    by_duration: dict[str, float | None]
    questions: int
    tied: int
    lacking: int = 0


def ablate(evidence: Evidence, texts: TextFeatures, recipe: Recipe, own: Mapping[str, np.ndarray]) -> list[AblationRow]:
    """A row a recipe, the run's own first, whose scores are `own`. Encodes nothing."""
    rows = []
    for change, one in _neighbours(evidence, recipe):
        lacking = len(texts.lacking(evidence.phrases(one)))
        if lacking:
            rows.append(AblationRow(one, change, None, {}, 0, 0, lacking))
        else:
            rows.append(_row(evidence, texts, one, change, own if one == recipe else score_options(evidence, texts, one)))
    return rows


def table(rows: list[AblationRow]) -> str:
    """Lines for the console."""
    width = max(len(row.change) for row in rows)
    durations = [name for name in DURATIONS if any(row.by_duration.get(name) is not None for row in rows)]
    lines = [f"{'recipe':<{width}}  {'all':>6}  {'  '.join(f'{name:>6}' for name in durations)}  {'ties':>5}"]
    for row in rows:
        if row.lacking:
            lines.append(f"{row.change:<{width}}  {row.lacking} texts are not encoded yet: run once with these keys")
        else:
            cells = "  ".join(_percent(row.by_duration[name]) for name in durations)
            lines.append(f"{row.change:<{width}}  {_percent(row.accuracy)}  {cells}  {row.tied:>5}")
    return "\n".join(lines) + "\n"


def records(rows: list[AblationRow]) -> list[dict[str, Any]]:
    return [asdict(row) for row in rows]


def _percent(value: float | None) -> str:
    return f"{'-' if value is None else f'{value:.1f}':>6}"


def _neighbours(evidence: Evidence, recipe: Recipe) -> list[tuple[str, Recipe]]:
    found = [("this run", recipe)]
    found += [(f"pooling={name}", replace(recipe, pooling=name)) for name in get_args(Pooling) if name != recipe.pooling]
    found.append((f"strip_letters={str(not recipe.strip_letters).lower()}",
                  replace(recipe, strip_letters=not recipe.strip_letters)))
    found += [(f"text={name}", replace(recipe, text=name)) for name in get_args(TextForm) if name != recipe.text]
    if len(evidence.videos) > 1:
        found.append((f"prior_correction={str(not recipe.prior_correction).lower()}",
                      replace(recipe, prior_correction=not recipe.prior_correction)))
    if evidence.subtitles:
        weight = 0.0 if recipe.subtitle_weight else 1.0
        found.append((f"subtitle_weight={weight:g}", replace(recipe, subtitle_weight=weight)))
    return found


def _row(evidence: Evidence, texts: TextFeatures, recipe: Recipe, change: str, scores: Mapping[str, np.ndarray]) -> AblationRow:
    questions = {question.question_id: (video.duration, question) for video in evidence.videos for question in video.questions}
    given = [(questions[name][0], answer(questions[name][1], values, texts.logit_scale or 1.0, is_cut=False))
             for name, values in scores.items()]
    by_duration = {name: accuracy([one for duration, one in given if duration == name]) for name in DURATIONS}
    return AblationRow(recipe, change, accuracy([one for _, one in given]), by_duration, len(questions),
                       sum(one.status == "tied" for _, one in given))
