"""Reading answers: the benchmark's schema (a record a video), and flat predictions (a record a question)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError
from .dataset import OLD_NAMES

_VIDEO_FIELDS = ("video_id", "duration", "domain", "sub_category", "questions")


def read_videos(name: str) -> list[dict[str, Any]]:
    """The records of a grouped file, each with the fields that a video has; old names of fields are read as the new ones.

    Raises InputError that names the record.
    """
    videos = []
    for place, record in _records(name):
        record = {OLD_NAMES.get(field, field): value for field, value in record.items()}
        if "questions" not in record and "question_id" in record:
            raise InputError(f"{place}: is a record of a question, and the benchmark's schema has one a video; give the file "
                             "viclip_output_test.json, or scoring=strict")
        absent = [field for field in _VIDEO_FIELDS if field not in record]
        if absent:
            raise InputError(f"{place} (video_id {record.get('video_id')}) has no {', '.join(absent)}")
        if not isinstance(record["questions"], list) or not all(isinstance(one, Mapping) for one in record["questions"]):
            raise InputError(f"{place} (video_id {record['video_id']}): questions is no list of mappings")
        videos.append(record)
    return videos


def read_answers(name: str) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """question_id -> (where it stands, its record), from either kind of file. Raises InputError that names the record."""
    answers: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for place, record in _records(name):
        questions = record.get("questions", [record])
        if not isinstance(questions, list):
            raise InputError(f"{place}: questions is no list")
        for number, question in enumerate(questions, start=1):
            here = f"{place}, question {number}" if "questions" in record else place
            if not isinstance(question, Mapping) or not isinstance(question.get("question_id"), str):
                raise InputError(f"{here}: has no question_id")
            if question["question_id"] in answers:
                raise InputError(f"{here}: question_id {question['question_id']} is there twice")
            answers[question["question_id"]] = (f"{here} (question_id {question['question_id']})", question)
    return answers


def _records(name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    path = Path(name).expanduser()
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise InputError(f"results_file={name}: there is no such file") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"results_file={name}: is no JSON that can be read ({error})") from error
    if not isinstance(content, list) or not content:
        raise InputError(f"results_file={name}: is no JSON list of records")
    for number, record in enumerate(content, start=1):
        if not isinstance(record, Mapping):
            raise InputError(f"{name}: record {number} is {type(record).__name__}, not a mapping")
        yield f"{name}: record {number}", record
