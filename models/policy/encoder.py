"""The encoder of feature_type=policy: a cheap backbone with its preprocessing, precision and device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import torch
from torch import nn

from ...errors import ConfigError
from ..base import EncoderIdentity, PreprocessSpec
from ..precision import DTYPES
from ..preprocess import normalize


class PolicyEncoder:
    """Fulfils `base.Encoder`, but that it has no text tower and says so. `network`: pixels [n, 3, S, S] -> [n, dim]."""

    def __init__(self, identity: EncoderIdentity, preprocess: PreprocessSpec, network: nn.Module, *, dim: int,
                 device: torch.device):
        self.identity = identity
        self.preprocess = preprocess
        self.network = network
        self.dim = dim
        self.device = device
        self._dtype = DTYPES[identity.precision]

    @torch.inference_mode()
    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        """uint8 RGB [n, 3, S, S] on any device -> float32 [n, dim] on this encoder's.

        Raises:
            ValueError: the frames are not as `preprocess_frames` makes them.
        """
        return self.features(frames)

    def features(self, frames: torch.Tensor) -> torch.Tensor:
        """As `encode`, for training: gradients reach the network where it is not frozen."""
        size = self.preprocess.image_size
        if frames.dtype != torch.uint8 or frames.ndim != 4 or tuple(frames.shape[1:]) != (3, size, size):
            raise ValueError(f"{self.identity.model_name} looks at uint8 RGB frames [n, 3, {size}, {size}], "
                             f"not {frames.dtype} {list(frames.shape)}: pass them through preprocess_frames first")
        if len(frames) == 0:
            return torch.empty(0, self.dim, device=self.device)
        pixels = normalize(frames.to(self.device, non_blocking=True), self.preprocess, self._dtype)  # [n, 3, S, S]
        return self.network(pixels).float()  # [n, dim]

    @property
    def logit_scale(self) -> float:
        self._refuse_texts()

    def encode_text(self, texts: Sequence[str]) -> torch.Tensor:
        """Raises ConfigError."""
        self._refuse_texts()

    def _refuse_texts(self) -> NoReturn:
        raise ConfigError(f"feature_type=policy ({self.identity.model_name}) looks at pictures only and has no text tower: "
                          "for texts, show_pred and search use feature_type=clip, open_clip or viclip")
