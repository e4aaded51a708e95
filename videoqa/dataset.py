"""The questions: Video-MME's columns, from parquet, JSON or CSV."""

from __future__ import annotations

import ast
import csv
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, MissingExtraError

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_VIDEO_COLUMNS = ("video_id", "videoID", "duration", "domain", "sub_category")
_QUESTION_COLUMNS = ("question_id", "task_type", "question", "options")
# What files from before the middle of 2024 call them.
OLD_NAMES = {"duration_category": "duration", "video_category": "domain", "video_subcategory": "sub_category"}


@dataclass(frozen=True)
class Question:
    """`options` as the dataset words them, mostly with their letters; `answer` is the right letter, None if unpublished."""

    question_id: str
    task_type: str
    question: str
    options: tuple[str, ...]
    answer: str | None


@dataclass(frozen=True)
class QaVideo:
    """`video_id` is the benchmark's number ("001"), `name` its videoID, which names the files."""

    video_id: str
    name: str
    duration: str
    domain: str
    sub_category: str
    questions: tuple[Question, ...]


def read_dataset(file: str) -> list[QaVideo]:
    """The videos in the order of their first questions. Raises InputError that names the record, MissingExtraError."""
    path = Path(file).expanduser()
    if not path.is_file():
        raise InputError(f"dataset={file}: there is no such file")
    videos: dict[str, tuple[tuple[str, str, str, str, str], list[Question]]] = {}
    seen: set[str] = set()
    for number, record in enumerate(_rows(path), start=1):
        place = f"{path}: record {number}"
        if not isinstance(record, Mapping):
            raise InputError(f"{place} is {type(record).__name__}, not a mapping of columns to values")
        row: dict[str, Any] = {OLD_NAMES.get(str(column), str(column)): value for column, value in record.items()}
        absent = [column for column in (*_VIDEO_COLUMNS, *_QUESTION_COLUMNS) if row.get(column) in (None, "")]
        if absent:
            raise InputError(f"{place} has no {', '.join(absent)}; it has {', '.join(map(str, row))}")
        question = _question(f"{place} (question_id {row['question_id']})", row)
        if question.question_id in seen:
            raise InputError(f"{place}: question_id {question.question_id} is there twice")
        seen.add(question.question_id)
        video_id, name, duration, domain, sub_category = (str(row[column]) for column in _VIDEO_COLUMNS)
        said = (video_id, name, duration, domain, sub_category)
        known, questions = videos.setdefault(name, (said, []))
        if known != said:
            raise InputError(f"{place}: says {dict(zip(_VIDEO_COLUMNS, said, strict=True))} of a video of which an earlier "
                             f"record says {dict(zip(_VIDEO_COLUMNS, known, strict=True))}")
        if not re.fullmatch(r"[^/\\\0]+", name) or name in (".", ".."):
            raise InputError(f"{place}: videoID {name!r} cannot name a file")
        questions.append(question)
    if not videos:
        raise InputError(f"{path}: holds no question")
    return [QaVideo(*said, tuple(questions)) for said, questions in videos.values()]


def option_text(option: str, place: int) -> str:
    """The option without its letter: "A. Apples." at place 0 is "Apples."; any other letter is part of the text."""
    text = re.sub(rf"^\s*\(?{LETTERS[place]}[.):]+\s*", "", option)
    return text or option


def _question(place: str, row: Mapping[str, Any]) -> Question:
    options = _options(place, row["options"])
    answer = row.get("answer")
    answer = None if answer in (None, "") else str(answer).strip()
    if answer is not None and answer not in tuple(LETTERS[:len(options)]):
        raise InputError(f"{place}: answer {answer!r} is none of {', '.join(LETTERS[:len(options)])}")
    return Question(str(row["question_id"]), str(row["task_type"]), str(row["question"]), options, answer)


def _options(place: str, value: Any) -> tuple[str, ...]:
    """From a list, or from the text of one with stray NULs, which is read as a literal and never executed."""
    if isinstance(value, str):
        try:
            value = ast.literal_eval(value.replace("\0", ""))
        except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
            raise InputError(f"{place}: options {value[:80]!r} is no list of texts such as ['A. One.', 'B. Two.']") from error
    if not isinstance(value, (list, tuple)) or not all(isinstance(option, str) and option.strip() for option in value):
        raise InputError(f"{place}: options {str(value)[:80]!r} is no list of texts such as ['A. One.', 'B. Two.']")
    if not 2 <= len(value) <= len(LETTERS):
        raise InputError(f"{place}: has {len(value)} options; allowed is 2 to {len(LETTERS)}")
    return tuple(option.replace("\0", "").strip() for option in value)


def _rows(path: Path) -> list[Any]:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _parquet(path)
    if suffix not in (".json", ".jsonl", ".csv"):
        raise InputError(f"dataset={path}: allowed is a .parquet, .json, .jsonl or .csv file")
    try:
        text = path.read_text(encoding="utf-8-sig")
        if suffix == ".csv":
            return list(csv.DictReader(io.StringIO(text, newline="")))
        if suffix == ".jsonl":
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        content = json.loads(text)
    except (OSError, ValueError, RecursionError, csv.Error) as error:
        raise InputError(f"dataset={path}: cannot be read ({error})") from error
    if not isinstance(content, list):
        raise InputError(f"dataset={path}: is no JSON list of records")
    return [row for record in content for row in _flat(record)]


def _flat(record: Any) -> list[Any]:
    """A record of a video with its `questions`, as one row a question; any other as it is."""
    if not isinstance(record, Mapping) or not isinstance(record.get("questions"), list):
        return [record]
    video = {name: value for name, value in record.items() if name != "questions"}
    return [{**video, **question} if isinstance(question, Mapping) else question for question in record["questions"]]


def _parquet(path: Path) -> list[Any]:
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", "videoqa", "reading a parquet file") from error
    try:
        return parquet.read_table(path).to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise InputError(f"dataset={path}: is no parquet file that can be read ({error})") from error
