"""`failures.jsonl` at the output root (of a shard: `failures.3-of-16.jsonl`): what the last run could not do, a line a video."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from ..errors import InputError
from .features import made
from .remote import RemoteFile, is_url, path_in
from .report import Failure
from .store.files import remove_stale, write_whole
from .videos import VideoItem

log = logging.getLogger("clipreel")


def failures_name(shard: tuple[int, int] | None = None) -> str:
    return shard_name("failures.jsonl", shard)


def shard_name(name: str, shard: tuple[int, int] | None) -> str:
    """A file of a run in its own name, so that runs side by side do not replace each other's."""
    stem, _, suffix = name.partition(".")
    return name if shard is None else f"{stem}.{shard[0]}-of-{shard[1]}.{suffix}"


def write_failures(path: Path | RemoteFile, failures: Iterable[Failure]) -> None:
    """Replace the list. A full disk is only logged: the report says all the same what failed."""
    lines = "".join(json.dumps(asdict(failure), ensure_ascii=False) + "\n" for failure in failures)
    content = lines.encode(errors="backslashreplace")
    try:
        if isinstance(path, RemoteFile):
            path.write_bytes(content)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_stale(path.parent)
        write_whole(path, lambda file: file.write(content))
    except OSError as error:
        log.error("%s could not be written (%s)", path, error.strerror)


def read_failures(path: Path | RemoteFile) -> list[Failure]:
    """The last run's list. Raises InputError when there is none or it is not one."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return [made(Failure, json.loads(line)) for line in lines]
    except FileNotFoundError as error:
        raise InputError(f"retry_failed=true: there is no {path}; run once without it") from error
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(f"{path}: is no list of failures ({error})") from error


def read_deaths(path: Path | RemoteFile) -> list[Failure]:
    """Of the last run's list the videos that killed the process that decodes them. A list that cannot be read is said."""
    try:
        return [row for row in read_failures(path) if row.decoder_deaths] if path.is_file() else []
    except (InputError, OSError) as error:  # such as a folder whose name is too long
        log.warning("%s: which videos are in quarantine is not known", error)
        return []


def item_of(failure: Failure) -> VideoItem:
    """The video to try again, as it was named then."""
    if is_url(failure.path):
        return VideoItem(str(path_in(failure.path)), failure.name, failure.start_seconds, failure.end_seconds, failure.metadata,
                         failure.path)
    return VideoItem(failure.path, failure.name, failure.start_seconds, failure.end_seconds, failure.metadata)
