"""What a run did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from .features import Features


@dataclass(frozen=True)
class Failure:
    """One video that could not be done. `error` is the class of the error, `reason` its message."""

    path: str
    key: str
    error: str
    reason: str
    start_seconds: float | None = None
    end_seconds: float | None = None
    name: str = ""  # as it was named: the CSV's id, else the stem
    metadata: dict[str, str] = field(default_factory=dict)
    content_id: str = ""  # by which a video in quarantine is known again
    decoder_deaths: int = 0  # how often it has killed the process that decodes it; from two on it is in quarantine


@dataclass(frozen=True)
class SelectionUse:
    """What `select=` spent and spared. FLOPs are those that ran, two for a multiplication with its addition."""

    candidate_frames: int  # looked at
    encoded_frames: int
    encoder_flops: int
    choosing_flops: int  # of the cheap looks and the selector

    def __add__(self, other: SelectionUse) -> SelectionUse:
        return SelectionUse(self.candidate_frames + other.candidate_frames, self.encoded_frames + other.encoded_frames,
                            self.encoder_flops + other.encoder_flops, self.choosing_flops + other.choosing_flops)

    @property
    def saved_flops(self) -> float:
        """What the encoder would have spent on the frames that were not chosen, at what it spent on each of the others, less
        the price of choosing; negative where choosing cost more."""
        spared = self.encoder_flops / max(self.encoded_frames, 1) * (self.candidate_frames - self.encoded_frames)
        return spared - self.choosing_flops

    def __str__(self) -> str:
        if not self.encoder_flops:  # it runs elsewhere
            return (f"select: {self.encoded_frames} of {self.candidate_frames} candidate frames encoded; as it ran "
                    f"{self.choosing_flops / 1e9:.3f} GFLOP to choose; those of the encoder were not spent here")
        whole, saved = self.encoder_flops + self.choosing_flops + self.saved_flops, self.saved_flops
        verdict = (f"{saved / 1e9:.3f} GFLOP saved ({100 * saved / max(whole, 1):.1f} %)" if saved >= 0
                   else f"{-saved / 1e9:.3f} GFLOP more than without choosing")
        return (f"select: {self.encoded_frames} of {self.candidate_frames} candidate frames encoded; as it ran "
                f"{self.encoder_flops / 1e9:.3f} GFLOP to encode and {self.choosing_flops / 1e9:.3f} to choose, against "
                f"{whole / 1e9:.3f} to encode every candidate: {verdict}")


@dataclass(frozen=True)
class Report:
    """Keys that were done and skipped (whole in the store already), what failed, and where the seconds went.

    `features` maps every key done or skipped to its Features: read from the store when asked for, or held.
    `probabilities` maps keys to [n, texts] where show_pred asked for them and nothing was saved.
    """

    done: list[str]
    skipped: list[str]
    failed: list[Failure]
    features: Mapping[str, Features]
    frames: int = 0  # rows of features made in this run
    video_seconds: float = 0.0  # watched in this run
    decode_seconds: float = 0.0  # CPU, summed over threads
    encode_seconds: float = 0.0  # wall, summed over devices
    write_seconds: float = 0.0
    wall_seconds: float = 0.0
    batch_sizes: dict[str, list[int]] = field(default_factory=dict)  # device worker -> frames of each forward pass
    probabilities: dict[str, np.ndarray] = field(default_factory=dict)
    elsewhere: list[str] = field(default_factory=list)  # keys of videos that another run is at, or has just done
    selection: SelectionUse | None = None  # where select= chose frames before the encoder

    @property
    def exit_code(self) -> int:
        return 1 if self.failed else 0

    def __str__(self) -> str:
        elsewhere = f", left to another run {len(self.elsewhere)}" if self.elsewhere else ""
        lines = [f"done {len(self.done)}, skipped {len(self.skipped)}, failed {len(self.failed)}{elsewhere} "
                 f"({self.frames} frames in {self.wall_seconds:.1f} s; decode {self.decode_seconds:.1f} s, "
                 f"encode {self.encode_seconds:.1f} s, write {self.write_seconds:.1f} s)"]
        if self.selection is not None:
            lines.append(str(self.selection))
        lines += [f"  failed: {failure.reason}" for failure in self.failed]
        return "\n".join(lines)
