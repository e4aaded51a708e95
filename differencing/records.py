"""The things that pass between the stages. Everything is joined by ids, never by names.

Seconds are on a clip's own clock: 0 is its first frame's time, whatever was cut away before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

Side = Literal["a", "b"]
Span = Literal["frame", "several"]  # what a difference can be seen in: one frame, or only in several ("gt_1")
# What is said of a difference: it holds more for A, more for B, for neither clearly; the judge's own two questions
# disagree; its answer could not be read.
Answer = Literal["a", "b", "none", "undecided", "invalid"]


@dataclass(frozen=True)
class Clip:
    """One video of a pair: a file or a folder of pictures, cut to frames [begin, end) of the source's frame numbers."""

    path: Path
    fps: float | None = None  # the source's as the dataset says it; None: read from the file
    begin_frame: int = 0
    end_frame: int | None = None  # exclusive; None: to the end

    def __post_init__(self):
        if self.begin_frame < 0 or (self.end_frame is not None and self.end_frame <= self.begin_frame):
            raise ValueError(f"{self.path}: frames [{self.begin_frame}, {self.end_frame}) are none")


@dataclass(frozen=True)
class Difference:
    """A way in which the two performances may differ, as a statement that may be truer of one video than of the other."""

    id: str
    name: str
    statement: str
    span: Span = "frame"
    opposite: str | None = None  # the statement turned round: "the feet are closer together"
    query: str | None = None  # the dataset's own question form; not used to compare


@dataclass(frozen=True)
class Stage:
    """A part of the action, in the order in which the parts happen, with texts that its frames should match."""

    id: str
    name: str
    description: str
    retrieval_strings: tuple[str, ...]
    difference_ids: tuple[str, ...]  # the differences to be seen in it; one may be linked to several stages

    def __post_init__(self):
        if not self.retrieval_strings:
            raise ValueError(f"stage {self.id} ({self.name}) has no retrieval string")


@dataclass(frozen=True)
class Proposal:
    """Stage 1's result for a pair or an action: every difference is linked to at least one stage."""

    action: str
    differences: tuple[Difference, ...]
    stages: tuple[Stage, ...]

    def __post_init__(self):
        known = {difference.id for difference in self.differences}
        if len(known) != len(self.differences) or len({stage.id for stage in self.stages}) != len(self.stages):
            raise ValueError(f"{self.action}: an id is there twice")
        linked = {one: stage.id for stage in self.stages for one in stage.difference_ids}
        loose, absent = sorted(known - linked.keys()), sorted(linked.keys() - known)
        if loose:
            raise ValueError(f"{self.action}: difference {loose[0]!r} is linked to no stage")
        if absent:
            raise ValueError(f"{self.action}: stage {linked[absent[0]]!r} has a link to difference {absent[0]!r}, which is not "
                             "there")

    def stages_of(self, difference_id: str) -> tuple[int, ...]:
        """Places of the stages that a difference is linked to, in stage order; at least one."""
        return tuple(place for place, stage in enumerate(self.stages) if difference_id in stage.difference_ids)


@dataclass(frozen=True)
class Pair:
    """Two clips of one action, with what a benchmark knows about them (empty for videos of one's own)."""

    key: str
    action: str  # the action's id in a benchmark, else its description
    action_description: str
    clips: tuple[Clip, Clip]
    domain: str = ""
    split: str = ""
    seed: int = 0  # the benchmark's sample_hash
    differences: tuple[Difference, ...] = ()  # annotated, for closed runs
    truth: Mapping[str, Literal["a", "b", "c"] | None] = field(default_factory=dict)  # difference id -> label
    allowed_differences: int | None = None  # how many an open answer may hold
    # For each video: difference id -> frame numbers of the clip (0 is `begin_frame`) where it is to be seen, or None.
    retrieval_frames: tuple[Mapping[str, tuple[int, ...] | None], Mapping[str, tuple[int, ...] | None]] | None = None


@dataclass(frozen=True, eq=False)
class Track:
    """A clip as it was sampled: frame times on the clip's own clock, and features beside them."""

    timestamps_seconds: np.ndarray  # float64 [n], increasing from 0
    file_timestamps_ms: np.ndarray  # float64 [n], the same frames on the file's timeline: what `frames_at` takes
    features: np.ndarray  # float32 [n, dim], rows of length 1
    source_fps: float | None

    def __len__(self) -> int:
        return len(self.timestamps_seconds)


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Where each stage lies in one clip. Ends are exclusive; with segmentation `window` segments may overlap."""

    segments: tuple[tuple[int, int], ...]  # [begin, end) of sampled frames, one a stage
    curves: np.ndarray  # float32 [stages, n], mean cosine of the stage's strings with each frame


@dataclass(frozen=True)
class ChosenFrames:
    """The frames shown to the judge for one difference in one clip: places in the Track, in time order."""

    difference_id: str
    frames: tuple[int, ...]


@dataclass(frozen=True)
class Localization:
    """Stage 2's result for one clip of a pair."""

    segmentation: Segmentation
    chosen: Mapping[str, ChosenFrames]  # by difference id


@dataclass(frozen=True, eq=False)
class Pictures:
    """What a judge sees of one clip for one difference."""

    pixels: np.ndarray  # uint8 RGB [n, h, w, 3]
    timestamps_seconds: np.ndarray  # float64 [n], on the clip's own clock


@dataclass(frozen=True, eq=False)
class Question:
    """One difference of one pair, put to a judge: pictures of A, then of B."""

    key: str  # the pair's key and the difference's id, for messages and logs
    action: str
    difference: Difference
    a: Pictures
    b: Pictures


@dataclass(frozen=True)
class Verdict:
    """A judge's word on one difference. `confidence` is 0 to 1, None where the judge cannot say."""

    difference_id: str
    answer: Answer
    confidence: float | None = None
    explanation: str = ""
