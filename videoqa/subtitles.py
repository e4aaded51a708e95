"""A video's subtitles as the lines that go with its sampled frames."""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError

_TIME = r"(\d+):(\d\d):(\d\d)[,.](\d{1,3})"
_SPAN = re.compile(rf"{_TIME}\s*-->\s*{_TIME}")
_TAG = re.compile(r"<[^>]*>")


@dataclass(frozen=True)
class Line:
    """Said from `begin_ms` to `end_ms`, half open; both None where the file has no times."""

    text: str
    begin_ms: float | None = None
    end_ms: float | None = None


def read_subtitles(path: Path) -> list[Line]:
    """The lines of an .srt, a subtitles.txt (one a frame) or a <videoID>.json (`frames` with `subtitle`), without markup.

    Raises InputError when the file cannot be read or is malformed.
    """
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise InputError(f"{path}: cannot be read as subtitles ({error.strerror})") from error
    if path.suffix.lower() == ".srt":
        lines = _srt(text)
    elif path.suffix.lower() == ".json":
        lines = _json(path, text)
    else:
        lines = [Line(_clean(line)) for line in text.split("\n")]
    return [line for line in lines if line.text]


def lines_at(lines: list[Line], spans_ms: np.ndarray) -> list[str]:
    """The distinct texts on screen in any of the spans [n, 2] (begin = end is an instant), in order; those without times all."""
    shown = [line.text for line in lines if line.begin_ms is None or line.end_ms is None
             or bool(((spans_ms[:, 0] < line.end_ms) & (spans_ms[:, 1] >= line.begin_ms)).any())]
    return list(dict.fromkeys(shown))


def _srt(text: str) -> list[Line]:
    lines = []
    for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n")):
        span = _SPAN.search(block)
        if span:
            lines.append(Line(_clean(block[span.end():]), _ms(span.groups()[:4]), _ms(span.groups()[4:])))
    return lines


def _ms(parts: tuple[str, ...]) -> float:
    hours, minutes, seconds, fraction = parts
    return 1000.0 * (3600 * int(hours) + 60 * int(minutes) + int(seconds)) + float(fraction.ljust(3, "0"))


def _json(path: Path, text: str) -> list[Line]:
    try:
        return [Line(_clean(str(frame.get("subtitle") or ""))) for frame in json.loads(text)["frames"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: has no list `frames` of mappings with `subtitle` ({error})") from error


def _clean(text: str) -> str:
    return " ".join(html.unescape(_TAG.sub(" ", text)).split())
