"""What an encoder is: a network, its preprocessing, precision and device, loaded by one call and never apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch

Precision = Literal["auto", "float32", "float16", "bfloat16"]
Crop = Literal["center", "squash", "pad"]
PreprocessBackend = Literal["tensor", "pil"]
RecipeName = Literal["demo", "train"]


@dataclass(frozen=True)
class EncoderIdentity:
    """Everything about an encoder that changes its numbers; part of every stored feature's provenance.

    `precision` is resolved (never "auto"), `crop` and `recipe` are the ones really used; `recipe` is None where the
    encoder has none.
    """

    feature_type: str
    model_name: str
    pretrained: str | None
    weights_sha256: str
    precision: str
    crop: str
    preprocess: str
    recipe: str | None = None


@dataclass(frozen=True)
class PreprocessSpec:
    """From an RGB frame of any size to the square the network was trained on."""

    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Literal["bicubic", "bilinear", "opencv_bilinear"] = "bicubic"
    crop: Crop = "center"
    backend: PreprocessBackend = "tensor"
    resize_size: int | None = None  # of the short side before the centre crop; None is image_size


class FrameEncoder(Protocol):
    """Encodes single frames. `encode` takes uint8 RGB [n, 3, S, S] on any device, gives float32 [n, dim] on its own."""

    identity: EncoderIdentity
    preprocess: PreprocessSpec
    dim: int
    device: torch.device

    def encode(self, frames: torch.Tensor) -> torch.Tensor: ...


class TextEncoder(Protocol):
    """Encodes sentences into the frames' space: float32 [m, dim], not normalised. `logit_scale` is exp(log scale)."""

    @property
    def logit_scale(self) -> float: ...

    def encode_text(self, texts: Sequence[str]) -> torch.Tensor: ...


class Encoder(FrameEncoder, TextEncoder, Protocol):
    """Both towers, as every CLIP has them."""


class WindowEncoder(Encoder, Protocol):
    """Encodes windows of frames: `encode` takes uint8 RGB [n, num_frames, 3, S, S], a feature a window.

    `choose_frames`: which of `count` frames in presentation order a window of them is seen by, int64 [num_frames],
    never decreasing; raises ValueError for no frame.
    """

    num_frames: int

    def choose_frames(self, count: int) -> np.ndarray: ...


class EncoderFamily(Protocol):
    """A feature type's own module: `identify` must not load the network (a rerun with nothing to do stays cheap)."""

    def identify(
        self, model_name: str, *, checkpoint: str | None, pretrained: str | None, precision: Precision,
        crop: Crop | None, preprocess: PreprocessBackend, recipe: RecipeName | None, device: str,
    ) -> EncoderIdentity: ...

    def load(
        self, model_name: str, *, checkpoint: str | None, pretrained: str | None, precision: Precision,
        crop: Crop | None, preprocess: PreprocessBackend, recipe: RecipeName | None, device: str,
    ) -> Encoder: ...
