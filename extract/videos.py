"""From what the user names (paths, folders, globs, lists, CSVs) to the videos to work on, one item each."""

from __future__ import annotations

import csv
import glob
import hashlib
import io
import logging
import math
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

from ..errors import ConfigError, InputError, UnreadableVideoError
from . import remote
from .decode.images import PICTURE_SUFFIXES, pictures_in

log = logging.getLogger("clipreel")

VIDEO_SUFFIXES = {
    ".mp4", ".m4v", ".mov", ".qt", ".mkv", ".webm", ".avi", ".divx", ".mpg", ".mpeg", ".m2v", ".vob", ".ts", ".m2ts",
    ".mts", ".flv", ".f4v", ".wmv", ".asf", ".3gp", ".3g2", ".ogv", ".ogm", ".mxf", ".rm", ".rmvb", ".y4m", ".h264",
    ".264", ".h265", ".265", ".hevc", ".ivf", ".obu", ".dv", ".gif", ".nut", ".wtv", ".amv",
}
_LIST_SUFFIXES = {".txt", ".csv"}
_PATH_COLUMNS = ("path", "video_path", "video")
_NO_METADATA: dict[str, str] = {}  # one for all


@dataclass(frozen=True, slots=True)  # one a video, and there may be millions
class VideoItem:
    """One video, or one segment of it (seconds, half open), as the user named it."""

    location: str  # its path; as text, since a Path is five times as large
    name: str  # the wanted key: the CSV's id, else the stem
    start_seconds: float | None = None
    end_seconds: float | None = None
    metadata: dict[str, str] = field(default_factory=lambda: _NO_METADATA)
    url: str | None = None  # where it is, when that is no file here; the path then gives its name and suffix
    size_bytes: int | None = None  # of what is at the URL, once that was asked

    def __str__(self) -> str:
        """As the user named it."""
        return self.url or self.location

    @property
    def path(self) -> Path:
        return Path(self.location)

    @property
    def place(self) -> str:
        """Where it is, in full."""
        return self.url or os.path.abspath(self.location)


Change = Callable[[VideoItem], VideoItem]


def find_videos(paths: Iterable[str | os.PathLike[str]]) -> list[VideoItem]:
    """Every video named, in the order named; a path that does not exist stays an item (it fails by itself later).

    Raises InputError for a folder or a list without a video, ConfigError for a malformed CSV.
    """
    items = _once(item for path in paths for item in _expand_or_read(os.fspath(path)))
    if not items:
        raise InputError("no video is named: give video_paths= (a path, folder, glob or […] list) "
                         "or file_with_video_paths=")
    return items


def read_list(name: str) -> list[VideoItem]:
    """The videos of `file_with_video_paths`. Raises InputError when it cannot be read or names none, ConfigError for a
    malformed CSV."""
    if remote.is_url(name):
        return _once(_read_list(name))
    path = Path(os.path.expanduser(remote.local_name(name)))
    if path.is_dir() or not os.path.exists(path):
        raise InputError(f"file_with_video_paths={name}: there is no such file")
    return _once(_read_list(path))


def content_id(item: VideoItem) -> str:
    """32 hex digits by which a store knows a video again: size and three pieces of the file (of a folder of pictures:
    names, sizes and the first picture), and the segment. Raises UnreadableVideoError."""
    if item.url is not None:
        raise UnreadableVideoError(f"{item}: is at a URL, which only extraction and dry_run read; fetch it first")
    try:
        return content_id_of_file(item.path, item)
    except FileNotFoundError as error:
        raise UnreadableVideoError(f"{item.path}: there is no such file") from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise UnreadableVideoError(f"{item.path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error


def check_unchanged(item: VideoItem, identity: str) -> None:
    """Raises UnreadableVideoError where the file is no longer that of the content id."""
    if item.url is None and content_id(item) != identity:
        raise UnreadableVideoError(f"{item}: changed while this run was at work (it was replaced, or is still being written): run "
                                   "again when it is whole")


def content_id_of_file(place: Path, item: VideoItem) -> str:
    """The content id of the item's segment of a file or folder of pictures, wherever that lies. Raises OSError, ValueError,
    UnreadableVideoError."""
    digest = hashlib.sha256()
    if os.path.isdir(place):
        files = pictures_in(place)
        for path in files:
            digest.update(b"%s\0%d\0" % (os.fsencode(path.name), path.stat().st_size))
    else:
        files = [place]
    for path in files[:1]:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
            raise UnreadableVideoError(f"{path}: is no file but a pipe, socket or device")
        with open(path, "rb") as file:
            return content_id_of_pieces(digest, file, status.st_size, item)
    return _of_segment(digest, item)


def content_id_of_pieces(digest: hashlib._Hash, file: BinaryIO, size: int, item: VideoItem) -> str:
    digest.update(size.to_bytes(8, "big"))
    for offset in (0, max(0, size // 2 - 32768), max(0, size - 65536)) if size else ():  # of no size: the kernel's, some wait
        file.seek(offset)
        digest.update(file.read(65536))
    return _of_segment(digest, item)


def _of_segment(digest: hashlib._Hash, item: VideoItem) -> str:
    if item.start_seconds is not None or item.end_seconds is not None:
        digest.update(f"{item.start_seconds}..{item.end_seconds}".encode())
    return digest.hexdigest()[:32]


def size_bytes(path: Path) -> int:
    """Of a file, or of all files in a folder of pictures."""
    return sum(entry.stat().st_size for entry in path.iterdir()) if path.is_dir() else path.stat().st_size


def _once(items: Iterable[VideoItem]) -> list[VideoItem]:
    """A video named twice is done once, where it was named first."""
    first: dict[tuple, VideoItem] = {}
    for item in items:
        first.setdefault((item.place, item.name, item.start_seconds, item.end_seconds), item)
    return list(first.values())


def _expand_or_read(name: str) -> Iterator[VideoItem]:
    if remote.is_url(name):
        yield from _read_list(name) if remote.path_in(name).suffix.lower() in _LIST_SUFFIXES else _expand_url(name)
        return
    name = remote.local_name(name)
    path = Path(os.path.expanduser(name))
    if path.suffix.lower() in _LIST_SUFFIXES and os.path.exists(path) and not os.path.isdir(path):
        yield from _read_list(path)
    else:
        yield from _expand(name, None)


def _expand_url(name: str) -> Iterator[VideoItem]:
    """The videos behind a URL: a file's, a folder's, or with a *. Raises InputError where that cannot be told or is none."""
    try:
        found = remote.find_videos_at(name, VIDEO_SUFFIXES)
    except OSError as error:
        raise InputError(f"{name}: cannot be searched ({error.strerror or error})") from error
    if not found:
        raise InputError(f"{name}: no video there; looked for files with {', '.join(sorted(VIDEO_SUFFIXES))}")
    for url in found:
        path = Path(remote.path_in(url))
        yield VideoItem(str(path), path.stem, url=url)


def _expand(name: str, list_folder: Path | None) -> Iterator[VideoItem]:
    """The videos behind one name: a file, a folder or a glob. Raises InputError for a folder or glob without a video."""
    name = remote.local_name(name)
    path = Path(os.path.expanduser(name))
    if list_folder is not None and not path.is_absolute() and _matches(list_folder / path):
        path = list_folder / path
    if os.path.isdir(path):
        found = list(_search(path))
    elif os.path.exists(path) or ("*" not in name and not _matches(path)):
        found = [VideoItem(str(path), path.stem)]  # brackets and ? are common in names: without a match they are no pattern
    else:
        found = [item for match in sorted(glob.iglob(str(path), recursive=True)) for item in _of_match(path, Path(match))]
    if not found:
        raise InputError(f"{name}: no video in it; looked for files with {', '.join(sorted(VIDEO_SUFFIXES))}, "
                         "and folders of pictures only")
    yield from found


def _of_match(pattern: Path, match: Path) -> Iterator[VideoItem]:
    """The videos behind one match. A pattern that leaves the suffix open means videos, not what lies beside them."""
    if match.is_dir():
        yield from _search(match)
    elif pattern.suffix == match.suffix and match.suffix.lower() in _LIST_SUFFIXES:
        yield from _read_list(match)
    elif pattern.suffix == match.suffix or match.suffix.lower() in VIDEO_SUFFIXES:
        yield VideoItem(str(match), match.stem)


def _matches(path: Path) -> bool:
    return os.path.exists(path) or (glob.has_magic(str(path)) and any(glob.iglob(str(path), recursive=True)))


def _search(folder: Path) -> Iterator[VideoItem]:
    """Videos below the folder, sorted, hidden ones left out; a folder that holds only pictures is one video."""
    visited: set[tuple[int, int]] = set()
    for current, folders, files in os.walk(folder, followlinks=True, onerror=_warn):
        status = os.stat(current)
        if (status.st_dev, status.st_ino) in visited:  # a link back up
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        shown = [Path(current, name) for name in sorted(files) if not name.startswith(".")]
        yield from (VideoItem(str(path), path.stem) for path in shown if path.suffix.lower() in VIDEO_SUFFIXES)
        if shown and not folders and all(path.suffix.lower() in PICTURE_SUFFIXES for path in shown):
            yield VideoItem(current, Path(current).resolve().name)


def _warn(error: OSError) -> None:
    log.warning("%s: this folder cannot be searched (%s)", error.filename, error.strerror)


def _read_list(path: Path | str) -> Iterator[VideoItem]:
    """Of a file, or of one at a URL, whose relative names then begin there too."""
    try:
        text = path.read_text(encoding="utf-8-sig") if isinstance(path, Path) else remote.read_bytes(path).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is no readable list of videos, which is a text file in UTF-8 ({error})") from error
    count = 0
    suffix = path.suffix if isinstance(path, Path) else remote.path_in(path).suffix
    for name, change in _read_csv(path, text) if suffix.lower() == ".csv" else _read_lines(text):
        if Path(name).suffix.lower() in _LIST_SUFFIXES:
            raise InputError(f"{path}: names another list, {name}; name videos, folders or globs")
        if isinstance(path, str) and not remote.is_url(name):
            name = f"{path.partition('?')[0].rpartition('/')[0]}/{name}"
        for item in _expand_url(name) if remote.is_url(name) else _expand(name, path.parent if isinstance(path, Path) else None):
            count += 1
            yield change(item)
    if not count:
        raise InputError(f"{path}: names no video")


def _read_lines(text: str) -> Iterator[tuple[str, Change]]:
    for line in text.split("\n"):  # not splitlines: it breaks at characters that file names may hold
        if line.strip() and not line.lstrip().startswith("#"):
            yield line.strip(), lambda item: item


def _read_csv(path: Path | str, text: str) -> Iterator[tuple[str, Change]]:
    """(path, what its row says of the item). Raises ConfigError that names the line."""
    rows = csv.DictReader(io.StringIO(text, newline=""), restval="")
    try:
        columns = {(name or "").strip().lower(): name for name in rows.fieldnames or []}
        column = next((columns[name] for name in _PATH_COLUMNS if name in columns), None)
        if column is None:
            raise ConfigError(f"{path}: has no path column; its columns are {', '.join(columns) or '(none)'}, "
                              f"allowed names are {', '.join(_PATH_COLUMNS)} (separated by commas)")
        special = {column, *(columns[name] for name in ("id", "start", "end") if name in columns)}
        for row in rows:
            place = f"{path}: line {rows.line_num}"
            if None in row:
                raise ConfigError(f"{place} has more fields than the header: put quotes around a text with a comma")
            if not row[column].strip():
                raise ConfigError(f"{place} has no path")
            start, end = (_seconds(place, row, columns.get(name)) for name in ("start", "end"))
            if start is not None and end is not None and end <= start:
                raise ConfigError(f"{place}: end={end:g} is not after start={start:g}")
            # it names files
            identifier = row[columns["id"]].strip().replace("/", "_").replace("\0", "_") if "id" in columns else ""
            metadata = {name: value for name, value in row.items() if name not in special}
            yield row[column].strip(), partial(_changed, identifier, start, end, metadata)
    except csv.Error as error:
        raise ConfigError(f"{path}: is no CSV after line {rows.line_num} ({error})") from error


def _changed(
    identifier: str, start: float | None, end: float | None, metadata: dict[str, str], item: VideoItem,
) -> VideoItem:
    return replace(item, name=identifier or item.name, start_seconds=start, end_seconds=end, metadata=metadata)


def _seconds(place: str, row: dict[str, str], column: str | None) -> float | None:
    word = row[column].strip() if column is not None else ""
    if not word:
        return None
    try:
        seconds = float(word)
    except ValueError as error:
        raise ConfigError(f"{place}: {column}={word} is no number of seconds") from error
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ConfigError(f"{place}: {column}={word}: allowed is a number of seconds from 0 up")
    return seconds
