"""Files of texts: what is in them, in their order."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigError, InputError

COLUMNS = ("caption", "sentence", "text")  # of which one is taken when none is named


@dataclass(frozen=True)
class TextFile:
    """The texts of a file as written (so that who asks for one later finds it), and how many entries were empty."""

    texts: tuple[str, ...]
    empty: int


def read_texts(name: str, *, column: str | None = None, joined: bool = False) -> TextFile:
    """The texts of a .csv, .tsv, .txt or .json file.

    Args:
        column: of a CSV; None takes one of COLUMNS.
        joined: of a JSON of videos: a video's sentences are one text, joined by blanks.

    Raises: InputError for a file that cannot be read or holds no text; ConfigError for a column that is not there or a kind of
        file that is not read.
    """
    path = Path(name).expanduser()
    kind = path.suffix.lower()
    if kind not in _KINDS:
        raise ConfigError(f"{name}: allowed are files of texts ending in {', '.join(_KINDS)}")
    if column is not None and kind not in (".csv", ".tsv"):
        raise ConfigError(f"column={column}: goes with a CSV, and {name} is none; leave it out")
    if joined and kind != ".json":
        raise ConfigError(f"concat_captions=concat: goes with a JSON of videos, and {name} is none; leave it out")
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{name}: is no readable file of texts in UTF-8 ({error})") from error
    found = _KINDS[kind](name, content, column, joined)
    texts = tuple(text for text in found if text.strip())
    if not texts:
        raise InputError(f"{name}: holds no text")
    return TextFile(texts, len(found) - len(texts))


def _lines(name: str, content: str, column: str | None, joined: bool) -> list[str]:
    return [line.strip() for line in content.rstrip("\n").split("\n")]


def _cells(name: str, content: str, column: str | None, joined: bool) -> list[str]:
    rows = csv.DictReader(io.StringIO(content, newline=""), restval="", delimiter="\t" if name.lower().endswith(".tsv") else ",")
    try:
        columns = {(word or "").strip().lower(): word for word in rows.fieldnames or []}
        found = column.strip().lower() if column is not None else next((word for word in COLUMNS if word in columns), "")
        if found not in columns:
            asked = f"column={column} is not there" if column is not None else f"none of {', '.join(COLUMNS)}: give column="
            raise ConfigError(f"{name}: {asked}; its columns are {', '.join(columns) or '(none)'}")
        cells = []
        for row in rows:
            if None in row:
                raise InputError(f"{name}: line {rows.line_num} has more fields than the header: put quotes around a text with a "
                                 "comma")
            cells.append(row[columns[found]])
    except csv.Error as error:
        raise InputError(f"{name}: is no CSV after line {rows.line_num} ({error})") from error
    return cells


def _sentences(name: str, content: str, column: str | None, joined: bool) -> list[str]:
    try:
        videos = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name}: is no JSON ({error})") from error
    if not isinstance(videos, dict):
        raise InputError(f'{name}: allowed is an object of videos, {{"video7020": {{"sentences": ["a dog runs"]}}}}')
    texts: list[str] = []
    for video, said in videos.items():
        sentences: Any = said.get("sentences") if isinstance(said, dict) else None
        if not isinstance(sentences, list) or not all(isinstance(sentence, str) for sentence in sentences):
            raise InputError(f"{name}: video {video!r} has no `sentences`, a list of texts")
        texts += [" ".join(sentences)] if joined else sentences
    return texts


_KINDS: dict[str, Callable[[str, str, str | None, bool], list[str]]] = {
    ".csv": _cells,
    ".tsv": _cells,
    ".txt": _lines,
    ".json": _sentences,
}
