"""Stretches of a video as files of their own: copied as they are, or decoded and encoded to the frame."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .jobs import Job
from .refusal import bad_request
from .session import VideoSession
from .transcode import copy_part, encode_part

if TYPE_CHECKING:
    from .workbench import Workbench

_COPIED = {".mp4", ".m4v", ".mov", ".webm", ".mkv"}  # containers that are written here as they are read
_MOST_KEPT = 20  # folders of clips


def make_clips(bench: Workbench, session: VideoSession, spans: Sequence[tuple[float, float]], mode: Literal["copy", "exact"] | str,
               padding_ms: float) -> Job:
    """A job that cuts [begin, end) in milliseconds. Raises Refusal for none, or one that is empty."""
    whole = session.duration_ms or float("inf")
    padded = [(max(0.0, begin - padding_ms), min(whole, end + padding_ms)) for begin, end in spans]
    if not padded or any(end <= begin for begin, end in padded):
        raise bad_request("segments: allowed are 1 to 200 of {begin_ms, end_ms} with end after begin, inside the video")
    copied = mode == "copy" and session.file.path.suffix.lower() in _COPIED
    suffix = session.file.path.suffix.lower() if copied else ".mp4"
    stem = plain_stem(session.file.path)

    def work(job: Job) -> dict[str, Any]:
        folder = bench.folder / "clips" / job.id
        job.total, before, made, files = round(sum(end - begin for begin, end in padded)), 0.0, [], list[Path]()
        bench.clip_files[job.id] = files  # so that what a broken off job made is removed too
        for number, (begin, end) in enumerate(padded):
            target = folder / f"{stem}_{begin / 1000:.3f}-{end / 1000:.3f}{suffix}"

            def advance(done_ms: float, before: float = before) -> None:
                job.control.check()
                job.advance(round(before + done_ms))

            really = begin
            if copied:
                really = copy_part(session.file.path, target, begin, end, advance)
            else:
                encode_part(session.file.path, target, "mp4", begin, end, advance)
            before += end - begin
            files.append(target)
            made.append({"name": target.name, "url": f"/api/clips/{job.id}/{number}", "begin_ms": really, "end_ms": end})
        remove_clips(bench, _MOST_KEPT)
        note = "copied as it is: each clip begins at the key frame before its segment" if copied else None
        if mode == "copy" and not copied:
            note = f"{session.file.path.suffix} files are not cut as they are: these clips were encoded anew"
        return {"clips": made, "note": note}

    return bench.submit("clips", session.file.id, work)


def plain_stem(path: Path) -> str:
    """A file's stem in characters that every system takes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", path.stem)[:80].strip("._-") or "clip"


def remove_clips(bench: Workbench, kept: int) -> None:
    """Clips are for downloading: but for those of the last `kept` jobs they are removed, and all when the server ends."""
    for job_id in list(bench.clip_files)[:max(0, len(bench.clip_files) - kept)]:
        bench.clip_files.pop(job_id, None)
        shutil.rmtree(bench.folder / "clips" / job_id, ignore_errors=True)
