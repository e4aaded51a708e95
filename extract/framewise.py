"""A feature a frame: OpenAI's CLIP and everything in open_clip."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .extractor import Units
from .frames import FrameBatch
from .sampling import Samples

if TYPE_CHECKING:
    import torch

    from ..models.base import Encoder


class FramewiseExtractor:
    """Every wanted frame is encoded once, however many rows it stands in."""

    def __init__(self, encoder: Encoder):
        self.encoder = encoder

    def units(self, samples: Samples) -> Units:
        wanted = samples.wanted
        return Units(wanted[:, None], np.searchsorted(wanted, samples.frames), samples.timestamps_ms)

    def prepare(self, batch: FrameBatch) -> torch.Tensor:
        from ..models.preprocess import preprocess_frames

        return preprocess_frames(batch.pixels, self.encoder.preprocess)

    def encode(self, crops: torch.Tensor) -> np.ndarray:
        if self.encoder.device.type == "cuda":
            crops = crops.pin_memory().to(self.encoder.device, non_blocking=True)
        return self.encoder.encode(crops).float().cpu().numpy()
