"""Scoring as the benchmark's published program does it, its quirks included.

Source: eval_your_results.py of Video-MME (now in thanku-all/parse_answer, 2024-06-23). The right answers come from the
result file itself, and an answer in which no letter is found leaves the denominator.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..configs.videoqa_schema import VideoqaEvaluateConfig
from ..errors import InputError
from .cells import WHOLE, Cell, Judged, Scope, scope_of
from .result_files import read_videos
from .taxonomy import DOMAINS, SUB_CATEGORIES, TASK_TYPES

# Deleted wherever they stand, in this order. The original's list lacks two commas, so that four of its entries are two
# that hardly any answer contains: "Best answer:" stays, and its B is then the first letter found.
_PREFIXES = (
    "The best answer is", "The correct answer is", "The answer is", "The answer", "The best option isThe correct option is",
    "Best answer:Best option:", "Answer:", "Option:", "The correct answer", "The correct option",
)


def extract_letter(response: str) -> str:
    """The first capital A to D once known beginnings are deleted, "" where there is none.

    >>> extract_letter("The best answer is (C) run"), extract_letter("Best answer: C"), extract_letter("c")
    ('C', 'B', '')
    """
    text = response.strip()
    for prefix in _PREFIXES:
        text = text.replace(prefix, "")
    found = re.search("[ABCD]", text)
    return found[0] if found else ""


def judge(config: VideoqaEvaluateConfig) -> list[Judged]:
    """Every question of the asked durations. Raises InputError that names the record."""
    videos = read_videos(config.results_file)
    judged = []
    for duration in config.durations:
        of_duration = [video for video in videos if video["duration"] == duration]
        if not of_duration:
            raise InputError(f"{config.results_file}: has no video of duration {duration}; leave it out of video_duration_type")
        if not config.skip_missing and config.expect_videos not in (None, len(of_duration)):
            raise InputError(
                f"{config.results_file}: has {len(of_duration)} {duration} videos, and the official program takes "
                f"{config.expect_videos} alone (videos, of 3 questions each). Give expect_videos=null to score what is there, or "
                "skip_missing=true to leave out the videos marked missing")
        for video in of_duration:
            judged += _video(config, video)
    return judged


def scopes_of(judged: list[Judged], durations: tuple[str, ...]) -> list[Scope]:
    scopes = [scope_of(name, [one for one in judged if one.duration == name], whole_taxonomy=True) for name in durations]
    return [*scopes, scope_of(WHOLE, judged, whole_taxonomy=True)]


def lines(scopes: list[Scope], config: VideoqaEvaluateConfig) -> str:
    """What the original prints, character for character."""
    pieces = []
    for scope in scopes:
        whole = scope.name == WHOLE
        title = "Evaluation on the entire dataset" if whole else f"Evaluation on video Type: {scope.name}"
        pieces += ["=" * 37, title, "=" * 37]
        if config.return_categories_accuracy:
            pieces += _section("Video Domains" if whole else "Video Categories", scope.domains)
        if config.return_sub_categories_accuracy:
            pieces += _section("Video Sub Categories", scope.sub_categories)
        if config.return_task_types_accuracy:
            pieces += _section("Task Categories", scope.task_types)
        pieces += _section("Overall Performance", {"Overall": scope.overall})
        if not whole:
            pieces += ["", ""]
    return "\n".join(pieces) + "\n"


def _section(title: str, cells: Mapping[str, Cell]) -> list[str]:
    return ["-" * 37, title, "-" * 37, *(f"{name}: {cell.accuracy: .1f}%" for name, cell in cells.items())]


def _video(config: VideoqaEvaluateConfig, video: Mapping[str, Any]) -> list[Judged]:
    place = f"{config.results_file}: video_id {video['video_id']}"
    if config.skip_missing:
        if "missing" not in video:
            raise InputError(f"{place}: has no `missing`, which skip_missing=true reads")
        if video["missing"]:
            return []
    for field, allowed in (("domain", DOMAINS), ("sub_category", SUB_CATEGORIES)):
        if video[field] not in allowed:
            raise InputError(f"{place}: {field} {video[field]!r} is none of the benchmark's: {', '.join(allowed)}")
    return [_question(config, place, video, question) for question in video["questions"]]


def _question(config: VideoqaEvaluateConfig, place: str, video: Mapping[str, Any], question: Mapping[str, Any]) -> Judged:
    place = f"{place}, question_id {question.get('question_id')}"
    for field in ("task_type", config.gt_answer_key, config.your_answer_key):
        if not isinstance(question.get(field), str):
            said = "is not there" if field not in question else f"is {question[field]!r}, no text"
            raise InputError(f"{place}: {field} {said}")
    if question["task_type"] not in TASK_TYPES:
        raise InputError(f"{place}: task_type {question['task_type']!r} is none of the benchmark's: {', '.join(TASK_TYPES)}")
    letter, right = extract_letter(question[config.your_answer_key]), question[config.gt_answer_key]
    options = question.get("options")
    known = isinstance(options, list) and all(isinstance(option, str) for option in options)
    return Judged(
        str(video["video_id"]), str(question.get("question_id")), video["duration"], video["domain"], video["sub_category"],
        question["task_type"], tuple(options) if known and options is not None else (), right,
        "invalid" if not letter else "right" if letter == right else "wrong", bool(letter), question.get("status") == "tied")
