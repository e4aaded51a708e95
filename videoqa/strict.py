"""Strict scoring: answers joined to the dataset by question, where what is missing or invalid counts as wrong."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..configs.videoqa_schema import VideoqaEvaluateConfig
from ..errors import InputError
from .cells import WHOLE, Judged, Outcome, Scope, scope_of
from .dataset import LETTERS, QaVideo, Question, option_text, read_dataset
from .result_files import read_answers


def chosen_letter(response: str, options: Sequence[str]) -> str:
    """The letter that the answer is, "" where it is none: a letter alone or before a full stop, colon or bracket ("C",
    "(C)", "C. run"), or the exact text of one option.

    >>> chosen_letter("(b) run", ["A. sit", "B. run"]), chosen_letter("run", ["A. sit", "B. run"])
    ('', 'B')
    """
    text = response.strip()
    found = re.match(r"\(?([A-Z])(?:[.):]|$)", text)
    if found and found[1] in LETTERS[:len(options)]:
        return found[1]
    same = [place for place, option in enumerate(options) if text in (option, option_text(option, place))]
    return LETTERS[same[0]] if len(same) == 1 else ""


def judge(config: VideoqaEvaluateConfig) -> list[Judged]:
    """Every question of the dataset with an asked duration. Raises InputError that names the record."""
    videos = read_dataset(config.dataset or "")
    answers = read_answers(config.results_file)
    known = {question.question_id for video in videos for question in video.questions}
    stranger = next((place for name, (place, _) in answers.items() if name not in known), None)
    if stranger is not None:
        raise InputError(f"{stranger}: is no question of dataset={config.dataset}; give the dataset that was answered")
    judged = []
    for duration in config.durations:
        of_duration = [video for video in videos if video.duration == duration]
        if not of_duration:
            raise InputError(f"dataset={config.dataset}: has no video of duration {duration}; leave it out of video_duration_type")
        for video in of_duration:
            for question in video.questions:
                place, record = answers.get(question.question_id, (None, {}))
                response = record.get(config.your_answer_key, "" if place is None else None)
                if not isinstance(response, str) and not (response is None and config.your_answer_key in record):
                    said = "is not there" if config.your_answer_key not in record else f"is {response!r}, no text"
                    raise InputError(f"{place}: {config.your_answer_key} {said}")
                judged.append(_judged(config, video, question, response or "", record.get("status") == "tied"))
    return judged


def scopes_of(judged: list[Judged], durations: tuple[str, ...]) -> list[Scope]:
    scopes = [scope_of(name, [one for one in judged if one.duration == name], whole_taxonomy=False) for name in durations]
    return [*scopes, scope_of(WHOLE, judged, whole_taxonomy=False)] if len(durations) > 1 else scopes


def _judged(config: VideoqaEvaluateConfig, video: QaVideo, question: Question, response: str, is_tied: bool) -> Judged:
    if question.answer is None:
        raise InputError(f"dataset={config.dataset}: question_id {question.question_id} has no answer to score against")
    letter = chosen_letter(response, question.options)
    outcome: Outcome = ("missing" if not response.strip() else "invalid" if not letter
                        else "right" if letter == question.answer else "wrong")
    return Judged(video.video_id, question.question_id, video.duration, video.domain, video.sub_category, question.task_type,
                  question.options, question.answer, outcome, True, is_tied)
