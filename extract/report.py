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

    @property
    def exit_code(self) -> int:
        return 1 if self.failed else 0

    def __str__(self) -> str:
        lines = [f"done {len(self.done)}, skipped {len(self.skipped)}, failed {len(self.failed)} "
                 f"({self.frames} frames in {self.wall_seconds:.1f} s; decode {self.decode_seconds:.1f} s, "
                 f"encode {self.encode_seconds:.1f} s, write {self.write_seconds:.1f} s)"]
        lines += [f"  failed: {failure.reason}" for failure in self.failed]
        return "\n".join(lines)
