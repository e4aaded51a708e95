"""Segments and scores as files that other programs read: CSV, JSON, WebVTT, EDL, chapters. Pure.

CSV cells that a spreadsheet would take for a formula get an apostrophe in front.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from .segments import Segment


@dataclass(frozen=True)
class QuerySegments:
    """One query's label and what was found for it."""

    label: str
    segments: Sequence[Segment]
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ExportedVideo:
    """What all formats say of the video. `fps` is the source's, for EDL's frame counts; `made_with` goes into JSON."""

    name: str
    duration_ms: float
    fps: float
    made_with: Mapping[str, Any]


def segments_csv(video: ExportedVideo, queries: Sequence[QuerySegments]) -> str:
    rows = [[video.name, query.label, f"{one.begin_ms / 1000:.3f}", f"{one.end_ms / 1000:.3f}", f"{one.peak_ms / 1000:.3f}",
             f"{one.peak:.6f}", f"{one.mean:.6f}", one.state or ""] for query in queries for one in query.segments]
    return _csv(["video", "query", "begin_seconds", "end_seconds", "peak_seconds", "peak_score", "mean_score", "state"], rows)


def scores_csv(times_ms: np.ndarray, labels: Sequence[str], curves: np.ndarray) -> str:
    """A row a frame, a column a query; times [n], curves [m, n]."""
    rows = [[f"{time:.3f}", *(f"{score:.6f}" for score in column)] for time, column in zip(times_ms, curves.T, strict=True)]
    return _csv(["timestamps_ms", *labels], rows)


def segments_json(video: ExportedVideo, queries: Sequence[QuerySegments]) -> str:
    return _json({**_head(video), "queries": [{"label": query.label, "settings": dict(query.settings),
                                               "segments": [asdict(one) for one in query.segments]} for query in queries]})


def scores_json(video: ExportedVideo, times_ms: np.ndarray, labels: Sequence[str], curves: np.ndarray) -> str:
    return _json({**_head(video), "timestamps_ms": times_ms.tolist(),
                  "queries": [{"label": label, "scores": [round(float(score), 6) for score in curve]}
                              for label, curve in zip(labels, curves, strict=True)]})


def segments_vtt(video: ExportedVideo, queries: Sequence[QuerySegments]) -> str:
    """WebVTT cues, in order of time."""
    blocks = []
    for one, label in _cues(queries):
        begin_ms = round(one.begin_ms)
        end_ms = max(round(one.end_ms), begin_ms + 1)  # a cue that ends where it begins is no cue
        blocks.append(f"{_clock(begin_ms)} --> {_clock(end_ms)}\n{_cue_text(label)}\n")
    return "\n".join(["WEBVTT\n", *blocks])


def segments_edl(video: ExportedVideo, queries: Sequence[QuerySegments]) -> str:
    """CMX 3600: one cut after the other. Timecodes number the video's frames: at 29.97 a second, 01:00:00:00 is the 108,000th."""
    fps = video.fps if math.isfinite(video.fps) and video.fps > 0 else 25.0
    rate = max(1, round(fps))
    lines, record = [f"TITLE: {_line(video.name)}", "FCM: NON-DROP FRAME", ""], 0
    for number, (one, label) in enumerate(_cues(queries), start=1):
        begin = round(one.begin_ms * fps / 1000)
        length = max(1, round(one.end_ms * fps / 1000) - begin)
        lines += [f"{number:03d}  AX       V     C        {_timecode(begin, rate)} {_timecode(begin + length, rate)} "
                  f"{_timecode(record, rate)} {_timecode(record + length, rate)}",
                  f"* FROM CLIP NAME: {_line(video.name)}", f"* COMMENT: {_line(label)}", ""]
        record += length
    return "\n".join(lines) + "\n"


def segments_chapters(video: ExportedVideo, queries: Sequence[QuerySegments]) -> str:
    """`0:00 label` lines, as video sites read them: the first is at 0:00, none twice."""
    cues = _cues(queries)
    lines: dict[int, str] = {} if cues and cues[0][0].begin_ms < 1000 else {0: "beginning"}
    for one, label in cues:
        lines.setdefault(int(one.begin_ms // 1000), _line(label))
    return "".join(f"{second // 3600}:{second // 60 % 60:02d}:{second % 60:02d} {label}\n" if second >= 3600
                   else f"{second // 60}:{second % 60:02d} {label}\n" for second, label in sorted(lines.items()))


def _cues(queries: Sequence[QuerySegments]) -> list[tuple[Segment, str]]:
    """Every segment with its query's label, in order of time."""
    return sorted(((one, query.label) for query in queries for one in query.segments), key=lambda cue: cue[0].begin_ms)


def _head(video: ExportedVideo) -> dict[str, Any]:
    return {"video": video.name, "duration_ms": video.duration_ms, "made_with": dict(video.made_with)}


def _json(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _csv(header: list[str], rows: list[list[str]]) -> str:
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow([_cell(word) for word in header])
    table.writerows([[_cell(word) for word in row] for row in rows])
    return text.getvalue()


def _cell(word: str) -> str:
    if word[:1] in ("=", "+", "-", "@", "\t", "\r") and not _is_number(word):
        return f"'{word}"
    return word


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _cue_text(label: str) -> str:
    return _line(label).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _line(text: str) -> str:
    return " ".join(text.split()) or "-"


def _clock(milliseconds: float) -> str:
    whole = max(0, round(milliseconds))
    return f"{whole // 3_600_000:02d}:{whole // 60_000 % 60:02d}:{whole // 1000 % 60:02d}.{whole % 1000:03d}"


def _timecode(frames: int, rate: int) -> str:
    seconds, left = divmod(max(0, frames), rate)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{left:02d}"


SEGMENT_FORMATS: dict[str, Callable[[ExportedVideo, Sequence[QuerySegments]], str]] = {
    "csv": segments_csv, "json": segments_json, "vtt": segments_vtt, "edl": segments_edl, "chapters": segments_chapters,
}
MEDIA_TYPES = {"csv": "text/csv", "json": "application/json", "vtt": "text/vtt", "edl": "text/plain", "chapters": "text/plain"}
