"""The encoder of every CLIP: an image tower and a text tower with one space, whoever trained them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Protocol

import torch

from ..errors import ConfigError
from .base import EncoderIdentity, PreprocessSpec
from .precision import DTYPES
from .preprocess import normalize

TEXT_BATCH_SIZE = 128


class TwoTowers(Protocol):
    """The network as both clip and open_clip build it."""

    def encode_image(self, image: torch.Tensor) -> torch.Tensor: ...

    def encode_text(self, text: torch.Tensor) -> torch.Tensor: ...


class TwoTowerEncoder:
    """Fulfils `base.Encoder`. `tokenize` turns sentences into token ids [m, context_length], or raises ConfigError; `network`
    is what computes, frozen: who trains it takes a copy."""

    def __init__(
        self, identity: EncoderIdentity, preprocess: PreprocessSpec, network: TwoTowers, *, dim: int,
        device: torch.device, log_logit_scale: float, tokenize: Callable[[list[str]], torch.Tensor],
    ):
        self.identity = identity
        self.preprocess = preprocess
        self.dim = dim
        self.device = device
        self.logit_scale = math.exp(log_logit_scale)
        self.network = network
        self._tokenize = tokenize
        self._dtype = DTYPES[identity.precision]

    @torch.inference_mode()
    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        """uint8 RGB [n, 3, S, S] on any device -> float32 [n, dim] on this encoder's, not normalised.

        Raises:
            ValueError: the frames are not as `preprocess_frames` makes them.
        """
        size = self.preprocess.image_size
        if frames.dtype != torch.uint8 or frames.ndim != 4 or tuple(frames.shape[1:]) != (3, size, size):
            raise ValueError(f"{self.identity.model_name} encodes uint8 RGB frames [n, 3, {size}, {size}], "
                             f"not {frames.dtype} {list(frames.shape)}: pass them through preprocess_frames first")
        if len(frames) == 0:
            return torch.empty(0, self.dim, device=self.device)
        return self._features(frames.to(self.device, non_blocking=True))

    def compiled(self) -> TwoTowerEncoder:
        """The same encoder, whose `encode` torch.compile makes faster for batches of the one size that it sees first."""
        twin = copy.copy(self)
        twin._features = torch.compile(self._features, dynamic=False)
        return twin

    def _features(self, frames: torch.Tensor) -> torch.Tensor:
        """uint8 [n, 3, S, S] on this device -> float32 [n, dim]."""
        return self.network.encode_image(normalize(frames, self.preprocess, self._dtype)).float()

    @torch.inference_mode()
    def encode_text(self, texts: Sequence[str]) -> torch.Tensor:
        """m sentences -> float32 [m, dim], not normalised. Raises ConfigError for one that is too long."""
        if isinstance(texts, str):
            raise ValueError("encode_text takes a list of sentences; for one sentence, a list of one")
        features = [torch.empty(0, self.dim, device=self.device)]
        for start in range(0, len(texts), TEXT_BATCH_SIZE):
            tokens = self._tokenize(list(texts[start : start + TEXT_BATCH_SIZE]))  # [b, context_length]
            features.append(self.network.encode_text(tokens.to(self.device)).float())
        return torch.cat(features)  # [m, dim]

    def fits(self, text: str) -> bool:
        """Whether `encode_text` takes the sentence; it refuses one that is too long."""
        try:
            self._tokenize([text])
        except ConfigError:
            return False
        return True
