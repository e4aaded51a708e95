"""Judged answers, and the figures of any group of them."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from .dataset import LETTERS, option_text
from .taxonomy import DOMAINS, SUB_CATEGORIES, TASK_TYPES

Outcome = Literal["right", "wrong", "invalid", "missing"]
WHOLE = "entire dataset"


@dataclass(frozen=True)
class Judged:
    """One question's outcome. `is_counted`: it stands in the denominator. `options` may be unknown: ()."""

    video_id: str
    question_id: str
    duration: str
    domain: str
    sub_category: str
    task_type: str
    options: tuple[str, ...]
    answer: str
    outcome: Outcome
    is_counted: bool
    is_tied: bool = False


@dataclass(frozen=True)
class Cell:
    """Percentages of the `n` questions that count (0 where there is none). `standard_error` is clustered by video, None for
    fewer than two videos; the baselines are None where the options are unknown. `invalid`, `missing` and `tied` are counts."""

    n: int
    videos: int
    right: int
    accuracy: float
    standard_error: float | None
    invalid: int
    missing: int
    tied: int
    uniform: float | None
    majority: float | None
    longest: float | None


@dataclass(frozen=True)
class Scope:
    """One duration, or all of them: cells by name in the benchmark's order."""

    name: str
    domains: dict[str, Cell]
    sub_categories: dict[str, Cell]
    task_types: dict[str, Cell]
    overall: Cell
    majority_letter: str


def scope_of(name: str, judged: Sequence[Judged], *, whole_taxonomy: bool) -> Scope:
    """`whole_taxonomy`: also the names without a question."""
    letters = Counter(one.answer for one in judged if one.is_counted)
    majority = max(sorted(letters), key=letters.__getitem__, default="A")

    def cells(of: Callable[[Judged], str], order: tuple[str, ...]) -> dict[str, Cell]:
        groups: dict[str, list[Judged]] = defaultdict(list)
        for one in judged:
            groups[of(one)].append(one)
        names = [known for known in order if whole_taxonomy or known in groups]
        names += [other for other in groups if other not in order]
        return {known: cell(groups[known], majority) for known in names}

    return Scope(name, cells(lambda one: one.domain, DOMAINS), cells(lambda one: one.sub_category, SUB_CATEGORIES),
                 cells(lambda one: one.task_type, TASK_TYPES), cell(judged, majority), majority)


def cell(judged: Sequence[Judged], majority_letter: str) -> Cell:
    counted = [one for one in judged if one.is_counted]
    n, right = len(counted), sum(one.outcome == "right" for one in counted)
    known = n > 0 and all(one.options for one in counted)
    return Cell(
        n, len({one.video_id for one in counted}), right, 100 * right / n if n else 0.0, _clustered_error(counted),
        sum(one.outcome == "invalid" for one in judged), sum(one.outcome == "missing" for one in judged),
        sum(one.is_tied for one in judged),
        100 * sum(1 / len(one.options) for one in counted) / n if known else None,
        100 * sum(one.answer == majority_letter for one in counted) / n if n else None,
        100 * sum(one.answer == longest_option(one.options) for one in counted) / n if known else None)


def longest_option(options: Sequence[str]) -> str:
    """The letter of the longest text, the first of equals."""
    texts = [option_text(option, place) for place, option in enumerate(options)]
    return LETTERS[max(range(len(texts)), key=lambda place: len(texts[place]))]


def _clustered_error(counted: Sequence[Judged]) -> float | None:
    """Of the accuracy, in percentage points: questions of one video are not independent of each other."""
    n, clusters = len(counted), defaultdict[str, float](float)
    share = sum(one.outcome == "right" for one in counted) / n if n else 0.0
    for one in counted:
        clusters[one.video_id] += (one.outcome == "right") - share
    if len(clusters) < 2:
        return None
    correction = len(clusters) / (len(clusters) - 1)
    return 100 * math.sqrt(correction * sum(value * value for value in clusters.values())) / n
