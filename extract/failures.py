"""`failures.jsonl` at the output root (of a shard: `failures.3-of-16.jsonl`): what the last run could not do, a line a video."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from ..errors import InputError
from .features import made
from .report import Failure
from .store.files import write_whole
from .videos import VideoItem

log = logging.getLogger("clipreel")


def failures_file(folder: Path, shard: tuple[int, int] | None = None) -> Path:
    return folder / ("failures.jsonl" if shard is None else f"failures.{shard[0]}-of-{shard[1]}.jsonl")


def write_failures(path: Path, failures: Iterable[Failure]) -> None:
    """Replace the list. A full disk is only logged: the report says all the same what failed."""
    lines = "".join(json.dumps(asdict(failure), ensure_ascii=False) + "\n" for failure in failures)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda file: file.write(lines.encode(errors="backslashreplace")))
    except OSError as error:
        log.error("%s could not be written (%s)", path, error.strerror)


def read_failures(path: Path) -> list[Failure]:
    """The last run's list. Raises InputError when there is none or it is not one."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return [made(Failure, json.loads(line)) for line in lines]
    except FileNotFoundError as error:
        raise InputError(f"retry_failed=true: there is no {path}; run once without it") from error
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(f"{path}: is no list of failures ({error})") from error


def item_of(failure: Failure) -> VideoItem:
    """The video to try again, as it was named then."""
    return VideoItem(Path(failure.path), failure.name, failure.start_seconds, failure.end_seconds, failure.metadata)
