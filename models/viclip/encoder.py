"""The encoder around a ViCLIP network: windows of bytes and sentences in, features of one space out."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence

import numpy as np
import torch

from ..base import EncoderIdentity, PreprocessSpec
from ..precision import DTYPES
from ..preprocess import normalize
from .architecture import Architecture
from .network import ViCLIP
from .recipes import Recipe
from .tokenizer import count_tokens, tokenize

LOGIT_SCALE = 100.0  # the original scores with this constant, not with the temperature it stores
TEXT_BATCH_SIZE = 128

logger = logging.getLogger(__name__)


class ViCLIPEncoder:
    """Fulfils `base.WindowEncoder`."""

    logit_scale = LOGIT_SCALE

    def __init__(self, identity: EncoderIdentity, preprocess: PreprocessSpec, recipe: Recipe, architecture: Architecture,
                 network: ViCLIP, device: torch.device):
        self.identity = identity
        self.preprocess = preprocess
        self.device = device
        self.dim = architecture.embed_dim
        self.num_frames = architecture.num_frames
        self.context_length = architecture.context_length
        self._recipe = recipe
        self._network = network
        self._dtype = DTYPES[identity.precision]

    def choose_frames(self, count: int) -> np.ndarray:
        """See `base.WindowEncoder`."""
        return self._recipe.choose_frames(count, self.num_frames)

    @torch.inference_mode()
    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        """uint8 RGB [n, T, 3, S, S] on any device -> float32 [n, dim] on this encoder's, not normalised.

        T is num_frames; or 1, which is a still picture and not the same as one that stands for num_frames.

        Raises:
            ValueError: the frames are not as `preprocess_frames` makes them, or of another number.
        """
        size, lengths = self.preprocess.image_size, {1, self.num_frames}
        if (frames.dtype != torch.uint8 or frames.ndim != 5 or frames.shape[1] not in lengths
                or tuple(frames.shape[2:]) != (3, size, size)):
            raise ValueError(f"{self.identity.model_name} encodes uint8 RGB frames [n, {self.num_frames}, 3, {size}, {size}], "
                             f"not {frames.dtype} {list(frames.shape)}: pass them through preprocess_frames first")
        if len(frames) == 0:
            return torch.empty(0, self.dim, device=self.device)
        # On a CPU window by window: what lies between the layers stays in its caches, which is a fifth faster than 8 at once.
        at_once = 1 if self.device.type == "cpu" else len(frames)
        return torch.cat([self._features(some.to(self.device, non_blocking=True)) for some in frames.split(at_once)])  # [n, dim]

    def compiled(self) -> ViCLIPEncoder:
        """The same encoder, whose `encode` torch.compile makes faster for batches of the one size that it sees first."""
        twin = copy.copy(self)
        twin._features = torch.compile(self._features, dynamic=False)
        return twin

    def _features(self, frames: torch.Tensor) -> torch.Tensor:
        """uint8 [n, T, 3, S, S] on this device -> float32 [n, dim]."""
        return self._network.encode_clips(normalize(frames, self.preprocess, self._dtype)).float()

    @torch.inference_mode()
    def encode_text(self, texts: Sequence[str]) -> torch.Tensor:
        """m sentences -> float32 [m, dim], not normalised. Of one longer than context_length tokens the end is not
        read, which is logged; `token_counts` tells beforehand."""
        if isinstance(texts, str):
            raise ValueError("encode_text takes a list of sentences; for one sentence, a list of one")
        self._warn_of_cuts(texts)
        features = [torch.empty(0, self.dim, device=self.device)]
        for start in range(0, len(texts), TEXT_BATCH_SIZE):
            tokens = tokenize(list(texts[start : start + TEXT_BATCH_SIZE]), self.context_length)  # [b, context_length]
            features.append(self._network.encode_text(tokens.to(self.device)).float())
        return torch.cat(features)  # [m, dim]

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each has, start and end marks included; those above context_length are cut."""
        return [count_tokens(text) for text in texts]

    def _warn_of_cuts(self, texts: Sequence[str]) -> None:
        cut = [text for text, count in zip(texts, self.token_counts(texts), strict=True) if count > self.context_length]
        if cut:
            logger.warning("note: %s reads the first %d tokens of a text: %d of %d texts are longer, and their ends are not "
                           "read (the first: %r)", self.identity.model_name, self.context_length, len(cut), len(texts), cut[0])
