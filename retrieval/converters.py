"""The published annotation files of text-to-video retrieval, as splits of videos with captions.

Each converter takes the folder (or the file) that `annotations=` names and gives, by split, what the field calls that split's
videos in the order of their lists. Other fields of a video (`timestamps`, `duration`) travel along.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..errors import InputError

DatasetName = Literal["msrvtt", "didemo", "activitynet", "csv", "json"]
_ID_FIELDS = ("video_id", "video", "path", "id", "clip_id")
_CAPTION_FIELDS = ("caption", "sentence", "text", "description")


@dataclass
class Annotated:
    """A video's captions as they are gathered, and what else is said of it."""

    sentences: list[str] = field(default_factory=list)
    said: dict[str, Any] = field(default_factory=dict)


Splits = dict[str, dict[str, Annotated]]  # split -> video id -> captions


def msrvtt(source: Path) -> Splits:
    """MSRVTT_data.json (or the challenge's …videodatainfo.json files) with MSRVTT_train.9k.csv and MSRVTT_JSFUSION_test.csv:
    9k videos with all their captions to train on; val is the list 1k-A with its one caption each, which the field tests on."""
    folder = source if source.is_dir() else source.parent
    files = [source] if source.is_file() else _named(folder, "MSRVTT_data.json", "*videodatainfo*.json", "*train_val*.json")
    captions: dict[str, Annotated] = {}
    for path in files:
        content = _json(path)
        if not isinstance(content, dict):
            raise InputError(f"{path}: holds no `videos` and `sentences`, so it is not the published file")
        for row in _rows(path, content.get("videos"), "videos"):
            times = [row[name] for name in ("start time", "end time") if name in row]
            captions[_text(path, row, "video_id")] = Annotated(said={"timestamps": [times]} if len(times) == 2 else {})
        for row in _rows(path, content.get("sentences"), "sentences"):
            name = _text(path, row, "video_id")
            if name not in captions:
                raise InputError(f"{path}: a sentence is about {name!r}, which is none of its videos")
            captions[name].sentences.append(_text(path, row, "caption", blank=True))
    (train_list,) = _named(folder, "MSRVTT_train.9k.csv")
    (test_list,) = _named(folder, "MSRVTT_JSFUSION_test.csv")
    train: dict[str, Annotated] = {}
    for row in _csv(train_list):
        name = _text(train_list, row, "video_id")
        if name not in captions:
            raise InputError(f"{train_list}: names {name!r}, of which {files[0].name} says nothing")
        train[name] = captions[name]
    test = {name: Annotated([_text(test_list, row, "sentence", blank=True)], captions[name].said if name in captions else {})
            for row in _csv(test_list) for name in [_text(test_list, row, "video_id")]}
    return {"train": train, "val": test}


def didemo(source: Path) -> Splits:
    """train_data.json, val_data.json, test_data.json of LocalizingMoments, with Collaborative Experts' {train,val,test}_list.txt
    where they lie beside them. A description ends with a full stop."""
    splits: Splits = {}
    for split in ("train", "val", "test"):
        (path,) = _named(source, f"{split}_data.json")
        videos: dict[str, Annotated] = {}
        for row in _rows(path, _json(path), "a list"):
            said = _text(path, row, "description", blank=True).strip()
            said = said if not said or said.endswith(".") else f"{said}."
            videos.setdefault(_text(path, row, "video"), Annotated()).sentences.append(said)
        listed = source / f"{split}_list.txt"
        if listed.is_file():
            by_stem = {Path(name).stem: name for name in videos}
            lines = [line.strip() for line in _read(listed).splitlines() if line.strip()]
            unknown = [line for line in lines if line not in videos and Path(line).stem not in by_stem]
            if unknown:
                raise InputError(f"{listed}: names {unknown[0]!r}, of which {path.name} says nothing")
            names = [line if line in videos else by_stem[Path(line).stem] for line in lines]
            videos = {name: videos[name] for name in names}
        splits[split] = videos
    return splits


def activitynet(source: Path) -> Splits:
    """train.json and val_1.json of ActivityNet Captions: val is val_1, which the field tests on."""
    splits: Splits = {}
    for split, name in (("train", "train.json"), ("val", "val_1.json")):
        (path,) = _named(source, name)
        splits[split] = _by_id(path, _json(path))
    return splits


def from_csv(source: Path) -> Splits:
    """Any CSV with a column of videos (video_id, video, path, id) and one of captions (caption, sentence, text, description), a row
    a caption; a column `split` if there are several."""
    return _of_rows(source, _csv(source))


def from_json(source: Path) -> Splits:
    """Any JSON: a list of objects with the fields of `from_csv`, or an object keyed by video id: a caption, a list of captions,
    or an object with `sentences`."""
    content = _json(source)
    if isinstance(content, list):
        return _of_rows(source, _rows(source, content, "a list"))
    return {"all": _by_id(source, content)}


def _by_id(path: Path, content: Any) -> dict[str, Annotated]:
    if not isinstance(content, dict):
        raise InputError(f"{path}: allowed is an object keyed by video id")
    videos: dict[str, Annotated] = {}
    for name, said in content.items():
        fields = said if isinstance(said, dict) else {"sentences": said}
        sentences = fields.get("sentences")
        sentences = [sentences] if isinstance(sentences, str) else sentences
        if not isinstance(sentences, list) or not all(isinstance(one, str) for one in sentences):
            raise InputError(f"{path}: video {name!r} needs `sentences`, a list of texts")
        videos[name] = Annotated(list(sentences), {key: fields[key] for key in ("timestamps", "duration") if key in fields})
    return videos


def _of_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> Splits:
    splits: Splits = {}
    for row in rows:
        of, caption = (next((name for name in names if row.get(name)), None) for names in (_ID_FIELDS, _CAPTION_FIELDS))
        if of is None or caption is None:
            raise InputError(f"{path}: {dict(row)} needs a video ({', '.join(_ID_FIELDS)}) and a caption "
                             f"({', '.join(_CAPTION_FIELDS)})")
        name = Path(str(row[of])).stem if of in ("path", "video") else str(row[of])
        split = splits.setdefault(str(row.get("split") or "all"), {})
        split.setdefault(name, Annotated()).sentences.append(str(row[caption]))
    return splits


def _named(folder: Path, *patterns: str) -> list[Path]:
    """The files of the first pattern that has some. Raises InputError."""
    for pattern in patterns:
        if found := sorted(folder.glob(pattern)):
            return found
    raise InputError(f"annotations={folder}: holds no {' or '.join(patterns)}; give the folder with the published files")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"annotations: {path} cannot be read ({error})") from error


def _json(path: Path) -> Any:
    try:
        return json.loads(_read(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"annotations: {path} is no JSON ({error})") from error


def _csv(path: Path) -> Iterable[Mapping[str, Any]]:
    rows = csv.DictReader(io.StringIO(_read(path), newline=""))
    try:
        yield from rows
    except csv.Error as error:
        raise InputError(f"annotations: {path} is no CSV after line {rows.line_num} ({error})") from error


def _rows(path: Path, rows: Any, what: str) -> list[Mapping[str, Any]]:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{path}: holds no {what} of objects, so it is not the published file")
    return rows


def _text(path: Path, row: Mapping[str, Any], name: str, *, blank: bool = False) -> str:
    """Raises InputError where there is none. `blank`: an empty one may be, and is counted later."""
    value = row.get(name)
    if not isinstance(value, str) or not (blank or value.strip()):
        raise InputError(f"{path}: {dict(row)} has no {name!r}, so it is not the published file")
    return value


CONVERTERS: dict[str, Callable[[Path], Splits]] = {
    "msrvtt": msrvtt,
    "didemo": didemo,
    "activitynet": activitynet,
    "csv": from_csv,
    "json": from_json,
}
