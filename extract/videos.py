"""From what the user names (paths, folders, globs, lists, CSVs) to the videos to work on, one item each."""

from __future__ import annotations

import csv
import glob
import hashlib
import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import ConfigError, InputError, UnreadableVideoError
from .decode.images import PICTURE_SUFFIXES

VIDEO_SUFFIXES = {
    ".mp4", ".m4v", ".mov", ".qt", ".mkv", ".webm", ".avi", ".divx", ".mpg", ".mpeg", ".m2v", ".vob", ".ts", ".m2ts",
    ".mts", ".flv", ".f4v", ".wmv", ".asf", ".3gp", ".3g2", ".ogv", ".ogm", ".mxf", ".rm", ".rmvb", ".y4m", ".h264",
    ".264", ".h265", ".265", ".hevc", ".ivf", ".obu", ".dv", ".gif", ".nut", ".wtv", ".amv",
}
_LIST_SUFFIXES = {".txt", ".csv"}
_PATH_COLUMNS = ("path", "video_path", "video")


@dataclass(frozen=True)
class VideoItem:
    """One video, or one segment of it (seconds, half open), as the user named it."""

    path: Path
    name: str  # the wanted key: the CSV's id, else the stem
    start_seconds: float | None = None
    end_seconds: float | None = None
    metadata: dict[str, str] = field(default_factory=dict)


def find_videos(paths: Iterable[str | os.PathLike[str]]) -> list[VideoItem]:
    """Every video named, in the order named; a path that does not exist stays an item (it fails by itself later).

    Raises InputError for a folder or a list without a video, ConfigError for a malformed CSV.
    """
    items: list[VideoItem] = []
    for path in paths:
        found = list(_expand(os.fspath(path), None))
        if not found:
            raise InputError(f"{path}: no video in it (looked for {', '.join(sorted(VIDEO_SUFFIXES))}, "
                             "and folders of pictures)")
        items += found
    if not items:
        raise InputError("no video is named: give video_paths= (a path, folder, glob or […] list) "
                         "or file_with_video_paths=")
    # a video named twice is done once
    return list({(os.path.abspath(item.path), item.name, item.start_seconds, item.end_seconds): item
                 for item in reversed(items)}.values())[::-1]


def content_id(item: VideoItem) -> str:
    """32 hex digits by which a store knows a video again: size and three pieces of the file (of a folder of pictures:
    names, sizes and the first picture), and the segment. Raises UnreadableVideoError."""
    digest = hashlib.sha256()
    try:
        if item.path.is_dir():
            pictures = sorted(path for path in item.path.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
            for path in pictures:
                digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
            first = pictures[:1]
        else:
            first = [item.path]
        for path in first:
            size = path.stat().st_size
            digest.update(size.to_bytes(8, "big"))
            with open(path, "rb") as file:
                for offset in (0, max(0, size // 2 - 32768), max(0, size - 65536)):
                    file.seek(offset)
                    digest.update(file.read(65536))
    except FileNotFoundError as error:
        raise UnreadableVideoError(f"{item.path}: there is no such file") from error
    except OSError as error:
        raise UnreadableVideoError(f"{item.path}: cannot be read ({error.strerror})") from error
    if item.start_seconds is not None or item.end_seconds is not None:
        digest.update(f"{item.start_seconds}..{item.end_seconds}".encode())
    return digest.hexdigest()[:32]


def size_bytes(path: Path) -> int:
    """Of a file, or of all files in a folder of pictures."""
    return sum(entry.stat().st_size for entry in path.iterdir()) if path.is_dir() else path.stat().st_size


def _expand(name: str, list_folder: Path | None) -> Iterator[VideoItem]:
    path = Path(name).expanduser()
    if list_folder is not None and not path.is_absolute() and _matches(list_folder / path):
        path = list_folder / path
    if path.is_dir():
        yield from _search(path)
    elif path.exists():
        yield from (_read_list(path) if path.suffix.lower() in _LIST_SUFFIXES else [VideoItem(path, path.stem)])
    elif glob.has_magic(name):
        for found in sorted(glob.glob(str(path), recursive=True)):
            yield from _expand(found, None)
    else:
        yield VideoItem(path, path.stem)


def _matches(path: Path) -> bool:
    return path.exists() or (glob.has_magic(str(path)) and any(glob.iglob(str(path), recursive=True)))


def _search(folder: Path) -> Iterator[VideoItem]:
    """Videos below the folder, sorted; a folder of pictures and nothing else to watch is one video."""
    visited: set[tuple[int, int]] = set()
    for current, folders, files in os.walk(folder, followlinks=True):
        status = os.stat(current)
        if (status.st_dev, status.st_ino) in visited:  # a link back up
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders.sort()
        shown = [Path(current, name) for name in sorted(files) if not name.startswith(".")]
        videos = [path for path in shown if path.suffix.lower() in VIDEO_SUFFIXES]
        yield from (VideoItem(path, path.stem) for path in videos)
        if not videos and shown and all(path.suffix.lower() in PICTURE_SUFFIXES for path in shown):
            yield VideoItem(Path(current), Path(current).resolve().name)


def read_list(name: str) -> list[VideoItem]:
    """The videos of `file_with_video_paths`. Raises InputError when it cannot be read or names none."""
    path = Path(name).expanduser()
    if not path.is_file():
        raise InputError(f"file_with_video_paths={name}: there is no such file")
    items = list(_read_list(path))
    if not items:
        raise InputError(f"file_with_video_paths={name}: names no video")
    return items


def _read_list(path: Path) -> Iterator[VideoItem]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is no readable list of videos ({error})") from error
    if path.suffix.lower() == ".csv":
        yield from _read_csv(path, text)
        return
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            if Path(line.strip()).suffix.lower() in _LIST_SUFFIXES:
                raise InputError(f"{path}: names another list, {line.strip()}; name videos, folders or globs")
            yield from _expand(line.strip(), path.parent)


def _read_csv(path: Path, text: str) -> Iterator[VideoItem]:
    rows = csv.DictReader(io.StringIO(text, newline=""))
    columns = {(name or "").strip().lower(): name for name in rows.fieldnames or []}
    column = next((columns[name] for name in _PATH_COLUMNS if name in columns), None)
    if column is None:
        raise ConfigError(f"{path}: has no path column; its columns are {', '.join(columns) or '(none)'}, "
                          f"allowed names are {', '.join(_PATH_COLUMNS)}")
    special = {column, *(columns[name] for name in ("id", "start", "end") if name in columns)}
    for number, row in enumerate(rows, start=2):
        if not (row[column] or "").strip():
            raise ConfigError(f"{path}: line {number} has no path")
        start, end = (_seconds(path, number, row, columns.get(name)) for name in ("start", "end"))
        if start is not None and end is not None and end <= start:
            raise ConfigError(f"{path}: line {number}: end={end:g} is not after start={start:g}")
        identifier = (row[columns["id"]] or "").strip().replace("/", "_") if "id" in columns else ""
        metadata = {name: value or "" for name, value in row.items() if name not in special and isinstance(name, str)}
        for item in _expand(row[column].strip(), path.parent):
            yield VideoItem(item.path, identifier or item.name, start, end, metadata)


def _seconds(path: Path, number: int, row: dict[str, str], column: str | None) -> float | None:
    word = (row.get(column) or "").strip() if column is not None else ""
    if not word:
        return None
    try:
        seconds = float(word)
    except ValueError as error:
        raise ConfigError(f"{path}: line {number}: {column}={word} is no number of seconds") from error
    if not seconds >= 0 or seconds == float("inf"):
        raise ConfigError(f"{path}: line {number}: {column}={word}: allowed is a number of seconds from 0 up")
    return seconds
