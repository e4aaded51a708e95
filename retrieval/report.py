"""An evaluation's figures: as a table for the console and as JSON."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from ..configs.retrieval_evaluate_schema import RetrievalEvaluateConfig
from .evaluate import Measured, RetrievalEvaluation
from .metrics import RECALLS, DirectionMetrics, RetrievalMetrics

_WIDTH = 34


def console(done: RetrievalEvaluation) -> str:
    """Facts, then a line a method: text to video, video to text."""
    metrics = done.method.metrics
    lines = [f"{metrics.gallery_size} videos ({metrics.missing_count} missing, which count as misses), {metrics.query_count} "
             f"queries (concat_captions={done.concat_captions}), {done.num_frm} frames a video to choose from, "
             f"{done.encoder.feature_type} {done.encoder.model_name}"]
    lines += _table([done.method, *done.baselines], available=False)
    if metrics.available_text_to_video is not None:
        lines += ["", f"of the {metrics.gallery_size - metrics.missing_count} videos that are there:"]
        lines += _table([done.method, *done.baselines], available=True)
    lines += ["", "q-score looks at every frame anew for each query: no vector of a video can be stored. Ranks of equals are the "
              "worst ones."]
    counted = done.operations
    if counted.encoder_flops_a_frame is not None:
        lines.append(f"a video: {counted.frames_encoded} frames through the encoder, {counted.encoder_flops_a_frame / 1e9:.3f} "
                     "GFLOP each (a multiplication with its addition is two)")
    if counted.choosing_and_aggregating_flops is not None:
        lines.append(f"a video: {counted.choosing_and_aggregating_flops / 1e9:.4f} GFLOP to choose and aggregate")
    lines += list(done.notes)
    if done.cut_texts:
        lines.append(f"{done.cut_texts} texts are longer than what the model reads of them")
    return "\n".join(lines) + "\n"


def record(done: RetrievalEvaluation, config: RetrievalEvaluateConfig) -> dict[str, Any]:
    """results.json."""
    metrics = done.method.metrics
    return {
        "gallery_size": metrics.gallery_size, "missing": list(done.missing), "queries": metrics.query_count,
        "concat_captions": done.concat_captions, "num_frm": done.num_frm, "cut_texts": done.cut_texts,
        "encoder": asdict(done.encoder), "method": _measured(done.method), "baselines": [_measured(one) for one in done.baselines],
        "operations": asdict(done.operations), "notes": list(done.notes), "seconds": round(done.seconds, 3),
        "config": asdict(config),
    }


def _table(measured: list[Measured], *, available: bool) -> list[str]:
    head = "".join(f"{name:>7}" for name in (*(f"R@{k}" for k in RECALLS), "MedR", "MeanR"))
    interval = "R@1's 95 %"
    lines = ["", f"{'':{_WIDTH}}{'':>4}  text to video{'':{len(head) + 2}}video to text",
             f"{'frames, aggregation':{_WIDTH}}{'k':>4}{head}  {interval:<12}{head}"]
    for number, one in enumerate(measured):
        to_video, to_text = _directions(one.metrics, available)
        if to_video is None or to_text is None:
            continue
        said = to_video.intervals.get("R@1")
        shown = "" if said is None else f"{said[0]:.1f} to {said[1]:.1f}"
        mark = "> " if number == 0 else "  "
        lines.append(f"{mark + one.line.choice + ', ' + one.line.aggregation:{_WIDTH}}{one.line.frames:>4}{_cells(to_video)}  "
                     f"{shown:<12}{_cells(to_text)}")
    return lines


def _directions(metrics: RetrievalMetrics, available: bool) -> tuple[DirectionMetrics | None, DirectionMetrics | None]:
    if available:
        return metrics.available_text_to_video, metrics.available_video_to_text
    return metrics.text_to_video, metrics.video_to_text


def _cells(direction: DirectionMetrics) -> str:
    return "".join(f"{value:7.1f}" for value in direction.figures.values())


def _measured(one: Measured) -> dict[str, Any]:
    named = {"text_to_video": one.metrics.text_to_video, "video_to_text": one.metrics.video_to_text,
             "available_text_to_video": one.metrics.available_text_to_video,
             "available_video_to_text": one.metrics.available_video_to_text}
    return {**asdict(one.line), **{name: _direction(said) for name, said in named.items() if said is not None}}


def _direction(said: DirectionMetrics) -> dict[str, Any]:
    figures = {name: value for name, value in said.figures.items() if math.isfinite(value)}
    return {**figures, "count": said.count, "intervals_95": {name: list(span) for name, span in said.intervals.items()}}
