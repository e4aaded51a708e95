"""What a video is before and after decoding: an index of its frames, and batches of their pixels."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class PacketTable:
    """The packets of the video stream in file order (decode order), one row each."""

    pts: np.ndarray  # int64 [p], in ticks of the stream's time base
    shows: np.ndarray  # int64 [p], the frame (its place in presentation order) this packet shows; -1: none
    entry: np.ndarray  # bool [p], decoding can start here

    def __post_init__(self):
        if not len(self.pts) == len(self.shows) == len(self.entry):
            raise ValueError(f"columns differ in length: {len(self.pts)}, {len(self.shows)}, {len(self.entry)}")

    def __len__(self) -> int:
        return len(self.pts)


@dataclass(frozen=True, eq=False)
class VideoIndex:
    """Every frame of a video by its presentation time, in presentation order; made without decoding where packets
    can be trusted, else by decoding once (`packets` is None then, and frames are known by their count alone)."""

    path: Path
    width: int  # of the display: after pixel aspect ratio and rotation
    height: int
    time_base: Fraction  # seconds per tick
    start_seconds: Fraction  # where the file's timeline begins: subtracted from every time
    fps: Fraction | None  # the source's own, None when unknown
    pts: np.ndarray  # int64 [n], strictly increasing
    end_pts: int  # the tick at which the last frame leaves the screen
    packets: PacketTable | None
    damage: str | None = None  # why the file looks cut or broken; None: it is whole
    said_end_pts: int | None = None  # where the file says that the stream ends, should that be before `end_pts`

    def __post_init__(self):
        if len(self.pts) and (np.any(np.diff(self.pts) <= 0) or self.end_pts <= self.pts[-1]):
            raise ValueError(f"{self.path}: presentation times do not increase")

    def __len__(self) -> int:
        return len(self.pts)

    def times_ms(self, pts: np.ndarray) -> np.ndarray:
        """Ticks -> milliseconds on the file's timeline, float64, each correctly rounded."""
        scale = 1000 * self.time_base.numerator * self.start_seconds.denominator
        offset = 1000 * self.start_seconds.numerator * self.time_base.denominator
        divisor = self.time_base.denominator * self.start_seconds.denominator
        return np.array([(tick * scale - offset) / divisor for tick in pts.tolist()], dtype=np.float64)

    def ticks(self, seconds: Fraction) -> Fraction:
        """Seconds on the file's timeline -> (fractional) ticks."""
        return (seconds + self.start_seconds) / self.time_base

    @property
    def duration_seconds(self) -> float:
        """From the first frame to the end of the last one."""
        return float((self.end_pts - int(self.pts[0])) * self.time_base) if len(self.pts) else 0.0


@dataclass(frozen=True, eq=False)
class FrameBatch:
    """Pixels of some frames of one video. `timestamps_ms` are true presentation times on the file's timeline."""

    pixels: np.ndarray  # uint8 RGB [n, h, w, 3]
    frames: np.ndarray  # int64 [n], places in presentation order
    timestamps_ms: np.ndarray  # float64 [n]

    def __post_init__(self):
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 4 or self.pixels.shape[3] != 3:
            raise ValueError(f"pixels are {self.pixels.dtype} {self.pixels.shape}, not uint8 [n, h, w, 3]")
        if not len(self.pixels) == len(self.frames) == len(self.timestamps_ms):
            raise ValueError(f"{len(self.pixels)} pictures, {len(self.frames)} frame numbers, "
                             f"{len(self.timestamps_ms)} times")

    def __len__(self) -> int:
        return len(self.pixels)

    def only(self, wanted: np.ndarray) -> FrameBatch:
        """Those of bool [n]."""
        return FrameBatch(self.pixels[wanted], self.frames[wanted], self.timestamps_ms[wanted])

    def __repr__(self) -> str:
        return f"FrameBatch(pixels={self.pixels.shape}, timestamps_ms={self.timestamps_ms.shape})"


@dataclass(frozen=True, eq=False)
class DeviceFrameBatch:
    """As FrameBatch, with pixels that lie where they were decoded."""

    pixels: torch.Tensor  # uint8 RGB [n, h, w, 3]
    frames: np.ndarray  # int64 [n]
    timestamps_ms: np.ndarray  # float64 [n]

    def __len__(self) -> int:
        return len(self.pixels)

    def only(self, wanted: np.ndarray) -> DeviceFrameBatch:
        """Those of bool [n]."""
        return DeviceFrameBatch(self.pixels[np.flatnonzero(wanted).tolist()], self.frames[wanted], self.timestamps_ms[wanted])

    def on_cpu(self) -> FrameBatch:
        return FrameBatch(self.pixels.cpu().numpy(), self.frames, self.timestamps_ms)
