"""A feature a frame: OpenAI's CLIP and everything in open_clip."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .decode.nvdec import wait_until_made
from .extractor import Units
from .frames import DeviceFrameBatch, FrameBatch
from .sampling import Samples

if TYPE_CHECKING:
    import torch

    from ..models.base import Encoder, PreprocessSpec


class FramewiseExtractor:
    """Every wanted frame is encoded once, however many rows it stands in."""

    def __init__(self, encoder: Encoder):
        self.encoder = encoder

    def units(self, samples: Samples) -> Units:
        wanted = samples.wanted
        return Units(wanted[:, None], np.searchsorted(wanted, samples.frames), samples.timestamps_ms)

    def prepare(self, batch: FrameBatch | DeviceFrameBatch) -> torch.Tensor:
        return prepared(batch, self.encoder.preprocess)

    def encode(self, crops: torch.Tensor) -> np.ndarray:
        if self.encoder.device.type == "cuda" and not crops.is_cuda:
            crops = crops.pin_memory().to(self.encoder.device, non_blocking=True)
        return self.encoder.encode(crops).float().cpu().numpy()


def prepared(batch: FrameBatch | DeviceFrameBatch, spec: PreprocessSpec) -> torch.Tensor:
    """uint8 [n, 3, S, S]: where the frames lie, if they can be prepared there, else on the CPU."""
    from ..models.device_resize import preprocess_on_device, resizes_on_device
    from ..models.preprocess import preprocess_frames

    if isinstance(batch, FrameBatch):
        return preprocess_frames(batch.pixels, spec)
    if not resizes_on_device(batch.pixels.shape[1], batch.pixels.shape[2], spec):
        return preprocess_frames(batch.on_cpu().pixels, spec)
    crops = preprocess_on_device(batch.pixels, spec)
    wait_until_made(crops)
    return crops
