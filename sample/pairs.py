"""Pairs of drawn videos of one action that differ in known ways, with labels and times: the world of differencing.

The action is a parade: a circle, then a square, then a triangle. Each form's part of the parade is a stage, and each pair
differs in one way a stage: colour, shape (a ring stands in for the form), size, side, height, order (to which side it goes) or
speed; each difference is to be seen within its stage alone. Both videos of a pair may have another frame rate and other
durations of the stages.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .scene import COLOURS, Colour, Form, Motion, Place, Scene, Shape, Size, VideoScript
from .video import write_video

Kind = Literal["colour", "shape", "size", "side", "height", "order", "speed"]
KINDS: tuple[Kind, ...] = ("colour", "shape", "size", "side", "height", "order", "speed")
STAGES: tuple[Form, ...] = ("circle", "square", "triangle")
ACTION = "a parade of shapes"
DESCRIPTION = "a parade of three shapes: first a circle, then a square, then a triangle"
SECONDS = (1.0, 2.0)  # a stage, but for those that differ in speed
FAST_SECONDS, SLOW_SECONDS = 0.8, 2.4  # a crossing


@dataclass(frozen=True)
class DrawnDifference:
    """One difference of a pair: `label` is the video of which the statement is truer; spans are seconds in A and in B."""

    id: str
    kind: Kind
    form: Form
    statement: str
    opposite: str
    label: Literal["a", "b"]
    spans: tuple[tuple[float, float], tuple[float, float]]

    @property
    def is_several(self) -> bool:
        return self.kind in ("order", "speed")


@dataclass(frozen=True)
class DrawnPair:
    key: str
    scripts: tuple[VideoScript, VideoScript]
    differences: tuple[DrawnDifference, ...]


def draw_pair(seed: int, *, width: int = 96, height: int = 72, fps: Fraction = Fraction(8)) -> DrawnPair:
    """A pair from a seed: every stage differs in another way; of a third of the pairs B has one and a half times the rate."""
    generator = np.random.default_rng([seed, 7])
    kinds = [KINDS[place] for place in generator.permutation(len(KINDS))[:len(STAGES)]]
    scenes: tuple[list[Scene], list[Scene]] = ([], [])
    differences = []
    for form, kind in zip(STAGES, kinds, strict=True):
        more = int(generator.integers(2))  # the side of which the statement is true
        begins = [side[-1].end_seconds if side else 0.0 for side in scenes]
        parts = _parts(generator, form, kind)
        for side in (0, 1):
            shape, motion, seconds = parts.true if side == more else parts.false
            scenes[side].append(Scene(shape, begins[side], seconds, motion))
        spans = tuple((begin, side[-1].end_seconds) for begin, side in zip(begins, scenes, strict=True))
        label: Literal["a", "b"] = "a" if more == 0 else "b"
        differences.append(DrawnDifference(str(len(differences)), kind, form, parts.statement, parts.opposite, label,
                                           (spans[0], spans[1])))
    rates = (fps, fps * Fraction(3, 2) if generator.random() < 1 / 3 else fps)
    scripts = tuple(VideoScript(tuple(side), width, height, rate, int(generator.integers(1 << 30)))
                    for side, rate in zip(scenes, rates, strict=True))
    return DrawnPair(f"pair_{seed}", (scripts[0], scripts[1]), tuple(differences))


@dataclass(frozen=True)
class _Parts:
    """What the stage shows where the statement is true, and where it is not."""

    true: tuple[Shape, Motion, float]
    false: tuple[Shape, Motion, float]
    statement: str
    opposite: str


def _parts(generator: np.random.Generator, form: Form, kind: Kind) -> _Parts:
    def seconds() -> float:
        return round(float(generator.uniform(*SECONDS)), 2)

    colours: list[Colour] = [COLOURS[place] for place in generator.permutation(len(COLOURS))[:2]]
    size: Size = "large" if generator.random() < 0.5 else "small"

    def still(colour: Colour, size: Size, place: Place) -> tuple[Shape, Motion, float]:
        return Shape(colour, form, size, place), "still", seconds()

    def crossing(motion: Motion, length: float) -> tuple[Shape, Motion, float]:
        return Shape(colours[0], form, "small", "middle"), motion, length

    if kind == "colour":
        return _Parts(still(colours[0], size, "middle"), still(colours[1], size, "middle"),
                      f"a {colours[0]} {form}", f"a {colours[1]} {form}")
    if kind == "shape":
        ring = Shape(colours[0], "ring", size, "middle")
        return _Parts(still(colours[0], size, "middle"), (ring, "still", seconds()), f"a {form}", "a ring")
    if kind == "size":
        return _Parts(still(colours[0], "large", "middle"), still(colours[0], "small", "middle"),
                      f"a large {form}", f"a small {form}")
    if kind == "side":
        return _Parts(still(colours[0], size, "left"), still(colours[0], size, "right"),
                      f"a {form} on the left", f"a {form} on the right")
    if kind == "height":
        return _Parts(still(colours[0], size, "top"), still(colours[0], size, "bottom"),
                      f"a {form} at the top", f"a {form} at the bottom")
    if kind == "order":
        length = seconds()
        return _Parts(crossing("left to right", length), crossing("right to left", length),
                      f"the {form} is on the left before it is on the right",
                      f"the {form} is on the right before it is on the left")
    motion: Motion = "left to right" if generator.random() < 0.5 else "right to left"
    return _Parts(crossing(motion, FAST_SECONDS), crossing(motion, SLOW_SECONDS),
                  f"the {form} crosses the picture faster", f"the {form} crosses the picture more slowly")


def write_pairs(folder: Path, seeds: Iterator[int] | range) -> Path:
    """Videos, `pairs.json` in the benchmark's fields, and `proposals.json`; returns the first."""
    records, proposals = [], {}
    for seed in seeds:
        pair = draw_pair(seed)
        names = [f"{pair.key}_{side}.mp4" for side in "ab"]
        folder.mkdir(parents=True, exist_ok=True)
        for script, name in zip(pair.scripts, names, strict=True):
            write_video(script, folder / name)
        records.append(record_of(pair, names))
        proposals[pair.key] = proposal_of(pair)
    (folder / "pairs.json").write_text(json.dumps(records, indent=1))
    (folder / "proposals.json").write_text(json.dumps(proposals, indent=1))
    return folder / "pairs.json"


def record_of(pair: DrawnPair, names: list[str]) -> dict[str, Any]:
    """The pair under VidDiffBench's names, nested values as JSON texts."""
    retrieval = [{one.id: _frames(one, side, script) for one in pair.differences} for side, script in enumerate(pair.scripts)]
    annotated = {one.id: {"name": f"{one.kind} of the {one.form}", "description": one.statement, "opposite": one.opposite,
                          "query_string": one.statement, "num_frames": "gt_1" if one.is_several else "1"}
                 for one in pair.differences}
    return {
        "sample_key": pair.key, "action": "parade_0", "action_name": ACTION, "action_description": DESCRIPTION,
        "source_dataset": "drawn", "domain": "drawn", "split": "easy", "sample_hash": int(pair.key.rpartition("_")[2]),
        "videos": json.dumps([{"path": name, "fps_original": float(script.fps), "frames_trim": [0, script.frame_count, None]}
                              for name, script in zip(names, pair.scripts, strict=True)]),
        "retrieval_frames": json.dumps(retrieval), "differences_annotated": json.dumps(annotated),
        "differences_gt": json.dumps({one.id: one.label for one in pair.differences}),
        "n_differences_open_prediction": 5,
    }


def proposal_of(pair: DrawnPair) -> dict[str, Any]:
    """What stage 1 should come to: the stages by form, each difference in its form's stage."""
    return {
        "action": "parade_0",
        "differences": [{"id": one.id, "name": f"{one.kind} of the {one.form}", "statement": one.statement,
                         "opposite": one.opposite, "span": "several" if one.is_several else "frame"} for one in pair.differences],
        "stages": [{"id": str(number), "name": form, "description": f"the {form} is shown",
                    "retrieval_strings": [f"a {shown}" for shown in _shown(pair, form)]
                    + [f"a {colour} {shown}" for shown in _shown(pair, form) for colour in COLOURS],
                    "difference_ids": [one.id for one in pair.differences if one.form == form]}
                   for number, form in enumerate(STAGES)],
    }


def _shown(pair: DrawnPair, form: Form) -> list[Form]:
    """What a stage may show: its form, and a ring where that is the difference."""
    return [form, "ring"] if any(one.form == form and one.kind == "shape" for one in pair.differences) else [form]


def _frames(one: DrawnDifference, side: int, script: VideoScript) -> list[int]:
    begin, end = one.spans[side]
    middle = int((begin + end) / 2 * script.fps)
    return [middle] if not one.is_several else [int(begin * script.fps) + 1, middle, int(end * script.fps) - 1]
