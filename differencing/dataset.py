"""The benchmark's pairs (VidDiffBench), from parquet, JSON, or a folder that `datasets` saved."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError, MissingExtraError
from .records import Clip, Difference, Pair

# Frames a second at which each domain is looked at, as in the released configuration.
DOMAIN_FPS = {"fitness": 8.0, "ballsports": 5.0, "diving": 6.0, "music": 1.0, "surgery": 1.0}
_FIELDS = ("sample_key", "videos", "action", "action_description", "domain", "split", "differences_annotated", "differences_gt")
_SPANS = {"1": "frame", "gt_1": "several"}


def read_pairs(dataset: str, *, split: str = "all", subset_mode: str = "0", video_root: str | None = None) -> list[Pair]:
    """The pairs in the dataset's order.

    Args:
        dataset: a file or folder; or org/name, fetched from the hub.
        subset_mode: "0", or "K_per_action": the first K pairs of each action.
        video_root: where relative paths start; None is the dataset's folder.

    Raises: InputError that names the record, MissingExtraError.
    """
    path = _local(dataset)
    root = Path(video_root).expanduser() if video_root is not None else path if path.is_dir() else path.parent
    if not root.is_dir():
        raise InputError(f"video_root={video_root}: there is no such folder")
    pairs, seen = [], set[str]()
    for number, row in enumerate(_rows(path), start=1):
        place = f"{dataset}: record {number}"
        if not isinstance(row, Mapping):
            raise InputError(f"{place} is {type(row).__name__}, not a mapping of fields to values")
        absent = [name for name in _FIELDS if row.get(name) is None]
        if absent:
            raise InputError(f"{place} has no {', '.join(absent)}; it has {', '.join(map(str, row))}")
        pair = _pair(f"{place} (sample_key {row['sample_key']})", row, root)
        if pair.key in seen:
            raise InputError(f"{place}: sample_key {pair.key} is there twice")
        seen.add(pair.key)
        pairs.append(pair)
    chosen = [pair for pair in pairs if split in ("all", pair.split)]
    per_action = re.fullmatch(r"(\d+)_per_action", subset_mode)
    if per_action:
        counts, kept = Counter[str](), []
        for pair in chosen:
            counts[pair.action] += 1
            kept += [pair] if counts[pair.action] <= int(per_action[1]) else []
        chosen = kept
    if not chosen:
        raise InputError(f"dataset={dataset}: has no pair of split={split}; it has {dict(Counter(pair.split for pair in pairs))}")
    return chosen


def _local(dataset: str) -> Path:
    path = Path(dataset).expanduser()
    if path.exists():
        return path
    if re.fullmatch(r"[\w.-]+/[\w.-]+", dataset) and not path.suffix:
        from huggingface_hub import snapshot_download

        try:
            # The annotations alone: videos are gigabytes, and for most of them to be had elsewhere.
            wanted = ["*.parquet", "*.arrow"]
            return Path(snapshot_download(dataset, repo_type="dataset", allow_patterns=wanted))
        except Exception as error:  # the hub's client raises a dozen kinds, all of them: it cannot be had
            said = str(error).partition("\n")[0]
            raise InputError(f"dataset={dataset}: is no file here, and cannot be fetched from the hub ({said}): "
                             "give the path of a parquet or JSON file of it that was fetched elsewhere") from error
    raise InputError(f"dataset={dataset}: there is no such file or folder")


def _rows(path: Path) -> list[Any]:
    if path.suffix.lower() in (".json", ".jsonl"):
        try:
            text = path.read_text(encoding="utf-8-sig")
            if path.suffix.lower() == ".jsonl":
                return [json.loads(line) for line in text.splitlines() if line.strip()]
            content = json.loads(text)
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"dataset={path}: is no JSON that can be read ({error})") from error
        if not isinstance(content, list):
            raise InputError(f"dataset={path}: is no JSON list of records")
        return content
    if path.is_file() and path.suffix.lower() not in (".parquet", ".arrow"):
        raise InputError(f"dataset={path}: allowed is a file .parquet, .arrow, .json or .jsonl, or a folder with parquet or arrow "
                         "files")
    # cache-*.arrow: what `datasets` leaves of its own work beside what it saved
    files = [path] if path.is_file() else sorted(path.rglob("*.parquet")) or sorted(
        file for file in path.rglob("*.arrow") if not file.name.startswith("cache-"))
    if not files:
        raise InputError(f"dataset={path}: holds neither parquet nor arrow files")
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", "differencing", "reading parquet") from error
    rows: list[Any] = []
    for file in files:
        try:
            if file.suffix == ".arrow":
                table = _arrow(file)
            else:
                table = pyarrow.parquet.read_table(file)
            wanted = [name for name in table.column_names if not name.endswith("thumbnail")]  # pictures, most of the file
            rows += table.select(wanted).to_pylist()
        except (pyarrow.ArrowException, OSError) as error:
            raise InputError(f"dataset={file}: cannot be read ({error})") from error
    return rows


def _arrow(file: Path) -> Any:
    """`datasets` saves streams; others write files with a footer."""
    import pyarrow

    with pyarrow.memory_map(str(file)) as source:
        try:
            return pyarrow.ipc.open_stream(source).read_all()
        except pyarrow.ArrowInvalid:
            return pyarrow.ipc.open_file(source).read_all()


def _pair(place: str, row: Mapping[str, Any], root: Path) -> Pair:
    videos, annotated, labels = (_nested(place, row, name) for name in ("videos", "differences_annotated", "differences_gt"))
    retrieval = _nested(place, row, "retrieval_frames") if row.get("retrieval_frames") is not None else None
    if not isinstance(videos, list) or len(videos) != 2:
        raise InputError(f"{place}: videos is no list of two")
    if not isinstance(annotated, Mapping) or not isinstance(labels, Mapping):
        raise InputError(f"{place}: differences_annotated and differences_gt must be mappings")
    clips = (_clip(place, videos[0], root), _clip(place, videos[1], root))
    differences = tuple(_difference(place, str(name), one) for name, one in annotated.items() if one is not None)
    known = {one.id for one in differences}
    wrong = {name: label for name, label in labels.items() if label not in ("a", "b", "c", None) or (label and name not in known)}
    if wrong:
        raise InputError(f"{place}: differences_gt {wrong}: allowed is a, b, c or null for an annotated difference")
    limit, seed = (_whole(place, row, name) for name in ("n_differences_open_prediction", "sample_hash"))
    labelled = sum(label is not None for label in labels.values())
    return Pair(
        str(row["sample_key"]), str(row["action"]), str(row["action_description"]), clips, str(row["domain"]), str(row["split"]),
        seed or 0, differences, dict(labels), limit or math.ceil(1.5 * labelled),
        _retrieval(place, retrieval))


def _whole(place: str, row: Mapping[str, Any], name: str) -> int | None:
    value = row.get(name)
    try:
        return None if value is None else int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{place}: {name} is {value!r}, and should be a whole number") from error


def _nested(place: str, row: Mapping[str, Any], name: str) -> Any:
    """The benchmark stores JSON in texts; files made by others may hold the values themselves."""
    value = row[name]
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: {name} is no JSON ({error})") from error


def _clip(place: str, video: Any, root: Path) -> Clip:
    """`frames_trim` is [first, end, step]: the end is exclusive (the original says otherwise, and slices so); there are no
    steps."""
    if not isinstance(video, Mapping) or not isinstance(video.get("path"), str):
        raise InputError(f"{place}: a video has no path")
    trim, fps = video.get("frames_trim") or [0, None], video.get("fps_original")
    try:
        begin, end = int(trim[0] or 0), None if trim[1] is None else int(trim[1])
        if len(trim) > 2 and trim[2] not in (None, 1):
            raise ValueError(f"a step of {trim[2]}")
        return Clip(root / Path(video["path"]).expanduser(), float(fps) if fps else None, begin, end)
    except (TypeError, ValueError, IndexError) as error:
        raise InputError(f"{place}: frames_trim {trim} or fps_original {fps} of {video['path']} cannot be used "
                         f"({error})") from error


def _difference(place: str, name: str, one: Any) -> Difference:
    if not isinstance(one, Mapping) or not isinstance(one.get("description"), str):
        raise InputError(f"{place}: difference {name} has no description")
    frames = str(one.get("num_frames", "1"))
    if frames not in _SPANS:
        raise InputError(f"{place}: difference {name} has num_frames {frames!r}; allowed is {' or '.join(_SPANS)}")
    texts = {field: one.get(field) for field in ("name", "opposite", "query_string")}
    wrong = next((field for field, text in texts.items() if text is not None and not isinstance(text, str)), None)
    if wrong is not None:
        raise InputError(f"{place}: {wrong} of difference {name} is {texts[wrong]!r}, and should be a text")
    return Difference(name, texts["name"] or one["description"], one["description"],
                      "frame" if frames == "1" else "several", texts["opposite"], texts["query_string"])


def _retrieval(place: str, value: Any) -> Any:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2 or not all(isinstance(one, Mapping) for one in value):
        raise InputError(f"{place}: retrieval_frames is no list of two mappings")
    try:
        found = tuple({str(name): None if frames is None else tuple(int(frame) for frame in frames) for name, frames in one.items()}
                      for one in value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{place}: retrieval_frames holds no frame numbers ({error})") from error
    wrong = next(((name, frames) for one in found for name, frames in one.items() if frames and min(frames) < 0), None)
    if wrong is not None:
        raise InputError(f"{place}: retrieval_frames of difference {wrong[0]} are {list(wrong[1])}; they count from 0")
    return found
