"""What an extractor is: which frames a model needs of a video, and which frames make one feature."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .frames import DeviceFrameBatch, FrameBatch
from .sampling import Samples

if TYPE_CHECKING:
    import torch

    from ..models.base import Encoder


@dataclass(frozen=True, eq=False)
class Units:
    """The forward passes a video needs. A unit is the frames of one feature: one frame, or a window of T."""

    frames: np.ndarray  # int64 [u, T], places in presentation order
    rows: np.ndarray  # int64 [n], the unit whose feature stands in each row
    timestamps_ms: np.ndarray  # float64 [n]
    intervals_ms: np.ndarray | None = None  # float64 [n, 2]

    @property
    def wanted(self) -> np.ndarray:
        """The distinct frames, increasing."""
        return np.unique(self.frames)


class Extractor(Protocol):
    """One model's way from a video to features. `prepare` runs in decode threads, `encode` in the device's worker.

    `prepare`: uint8 [n, 3, S, S] crops of a batch of frames (with select=, a `Candidate` each). `encode`: uint8
    [n, 3, S, S] (windows: [n, T, 3, S, S]) to float32 [n, dim] on the CPU.
    """

    encoder: Encoder

    def units(self, samples: Samples) -> Units: ...

    def prepare(self, batch: FrameBatch | DeviceFrameBatch) -> Iterable[Any]: ...

    def encode(self, crops: torch.Tensor) -> np.ndarray: ...
