"""Two videos beside each other: results of differencing, and by how much one is behind the other."""

from __future__ import annotations

from typing import Any

from ..endpoint import Asked, get, number_of, post
from ..offset import estimate_offset
from ..refusal import Refusal, bad_request


def results(asked: Asked) -> dict[str, Any]:
    return {"results": asked.workbench.differences.found()}


def open_result(asked: Asked) -> dict[str, Any]:
    return asked.workbench.differences.open_path(asked.text("path"))


def result(asked: Asked) -> dict[str, Any]:
    return asked.workbench.differences.record(asked.path["result"])


def set_frames(asked: Asked) -> dict[str, Any]:
    times = asked.content.get("times_ms")
    if not isinstance(times, list) or len(times) > 100:
        raise bad_request("times_ms: allowed is a list of numbers")
    chosen = [number_of("times_ms", one) for one in times]
    return asked.workbench.differences.set_frames(asked.path["result"], asked.text("difference", most=200),
                                                  asked.text("side", most=1), chosen)


def judge_again(asked: Asked) -> dict[str, Any]:
    return asked.workbench.differences.judge_again(asked.path["result"], asked.text("difference", most=200))


def offset(asked: Asked) -> dict[str, Any]:
    """An estimate from both videos' features."""
    bench = asked.workbench
    snapshots = []
    for name in ("a", "b"):
        session = bench.session(asked.query.get(name, ""))
        session.load(bench.model.identity())
        snapshots.append(session.rows.snapshot())
        if len(snapshots[-1]) < 2:
            raise Refusal(409, "conflict", f"{session.file.name} is not analysed", "analyse both videos first")
    first, second = snapshots
    found = estimate_offset(first.times_ms, first.features, second.times_ms, second.features)
    seconds = found.offset_ms / 1000
    words = f"B is {abs(seconds):.1f} s {'later' if seconds > 0 else 'earlier'}" if abs(seconds) >= 0.05 else "both begin together"
    if found.confidence < 0.5:
        words += " (a guess: other offsets look nearly as good)"
    return {"offset_ms": found.offset_ms, "confidence": found.confidence, "words": words}


ROUTES = [
    get("/api/differences", results), post("/api/differences", open_result), get("/api/differences/{result}", result),
    post("/api/differences/{result}/frames", set_frames), post("/api/differences/{result}/rerun", judge_again),
    get("/api/compare/offset", offset),
]
