"""The architecture of an OpenAI CLIP: read off the shapes of its tensors, and built."""

from __future__ import annotations

import warnings
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import torch

from ...errors import ConfigError, WeightsError
from ..weights import StateDict, fill

if TYPE_CHECKING:
    from clip.model import CLIP

HEAD_WIDTH = 64
VOCABULARY_SIZE = 49408
# What else a checkpoint may be, told by how one of its names begins.
_OTHER_KINDS = {
    "text.transformer.": "an open_clip network (use feature_type=open_clip)",
    "visual.trunk.": "an open_clip network (use feature_type=open_clip)",
    "vision_encoder.": "a ViCLIP (use feature_type=viclip)",
    "text_model.": "a CLIP of Hugging Face transformers, which names its tensors otherwise",
    "layer1.0.": "a ResNet classifier",
    "blocks.0.": "a vision transformer without text tower",
}


@dataclass(frozen=True)
class Architecture:
    """The arguments of `clip.model.CLIP`, in its order. A ResNet has four counts of layers and no patches."""

    embed_dim: int
    image_size: int
    vision_layers: int | tuple[int, ...]
    vision_width: int
    patch_size: int | None
    context_length: int
    vocabulary_size: int
    text_width: int
    text_heads: int
    text_layers: int


def _official(embed_dim: int, image_size: int, layers: int | tuple[int, ...], width: int, patch_size: int | None,
              text_width: int) -> Architecture:
    return Architecture(embed_dim, image_size, layers, width, patch_size, 77, VOCABULARY_SIZE, text_width,
                        text_width // HEAD_WIDTH, 12)


ARCHITECTURES = {
    "RN50": _official(1024, 224, (3, 4, 6, 3), 64, None, 512),
    "RN101": _official(512, 224, (3, 4, 23, 3), 64, None, 512),
    "RN50x4": _official(640, 288, (4, 6, 10, 6), 80, None, 640),
    "RN50x16": _official(768, 384, (6, 8, 18, 8), 96, None, 768),
    "RN50x64": _official(1024, 448, (3, 15, 36, 10), 128, None, 1024),
    "ViT-B/32": _official(512, 224, 12, 768, 32, 512),
    "ViT-B/16": _official(512, 224, 12, 768, 16, 512),
    "ViT-L/14": _official(768, 224, 24, 1024, 14, 768),
    "ViT-L/14@336px": _official(768, 336, 24, 1024, 14, 768),
}


def infer(state: StateDict, path: Path) -> Architecture:
    """Reads the architecture off the tensors' shapes. Raises WeightsError where the file is no OpenAI CLIP."""

    def shape(key: str, ndim: int) -> list[int]:
        if key not in state:
            _refuse(f"lacks {key}")
        if state[key].ndim != ndim:
            _refuse(f"has {key} in the shape {list(state[key].shape)}, where {ndim} numbers belong")
        return list(state[key].shape)

    def _refuse(fault: str) -> NoReturn:
        kinds = [f" but {kind}" for prefix, kind in _OTHER_KINDS.items()
                 if any(key.startswith(prefix) for key in state)]
        raise WeightsError(f"the checkpoint {path} is no CLIP of OpenAI's architecture{''.join(kinds[:1])}: it {fault}")

    def count(prefix: str) -> int:
        return len({key.removeprefix(prefix).split(".")[0] for key in state if key.startswith(prefix)})

    def grid(key: str) -> int:
        cells = shape(key, 2)[0] - 1
        side = round(max(cells, 0) ** 0.5)
        if side < 1 or side * side != cells:
            _refuse(f"has {key} for {cells} cells, which is no square")
        return side

    text_width, embed_dim = shape("text_projection", 2)
    context_length = shape("positional_embedding", 2)[0]
    vocabulary_size = shape("token_embedding.weight", 2)[0]
    if vocabulary_size != VOCABULARY_SIZE:
        _refuse(f"has {vocabulary_size} tokens, where the tokenizer has {VOCABULARY_SIZE}")
    if "visual.proj" in state:
        vision_width, _, _, patch_size = shape("visual.conv1.weight", 4)
        image_size = patch_size * grid("visual.positional_embedding")
        layers: int | tuple[int, ...] = count("visual.transformer.resblocks.")
    else:
        vision_width, patch_size = shape("visual.layer1.0.conv1.weight", 4)[0], None
        image_size = 32 * grid("visual.attnpool.positional_embedding")
        layers = tuple(count(f"visual.layer{stage}.") for stage in (1, 2, 3, 4))
    for tower, width in (("text", text_width), ("vision", vision_width if patch_size else 32 * vision_width)):
        if width % HEAD_WIDTH:
            _refuse(f"has a {tower} tower {width} wide, which is no multiple of {HEAD_WIDTH}")
    return Architecture(embed_dim, image_size, layers, vision_width, patch_size, context_length, vocabulary_size,
                        text_width, text_width // HEAD_WIDTH, count("transformer.resblocks."))


def name_of(architecture: Architecture) -> str | None:
    """OpenAI's name for it, if it is one of the nine."""
    return next((name for name, known in ARCHITECTURES.items() if known == architecture), None)


def build(architecture: Architecture, state: StateDict, path: Path) -> CLIP:
    """The network in float32 and evaluation mode. Raises WeightsError where a tensor does not fit."""
    import_clip()
    from clip.model import CLIP

    with torch.device("meta"):  # no memory and no random numbers (2 s) for weights that come from the file
        network = CLIP(*astuple(architecture))  # pyright: ignore[reportArgumentType]
    # Copied, since safetensors maps the file: later changes to it must not reach into a running network.
    weights = {key: value.to(torch.float32, copy=True) if value.is_floating_point() else value.clone()
               for key, value in state.items()}
    name = name_of(architecture) or "the architecture that its shapes suggest"
    fill(network, weights, path=path, name=name, assign=True)
    mask = network.build_attention_mask()  # [context_length, context_length]; no parameter, so still on "meta"
    for block in network.transformer.resblocks:
        block.attn_mask = mask  # pyright: ignore[reportArgumentType]
    return network.eval().requires_grad_(False)


def import_clip() -> None:
    """Imports the package without its one warning. Raises ConfigError where its own needs are not met."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
        warnings.filterwarnings("ignore", message="Deprecated call to `pkg_resources")
        try:
            import clip  # noqa: F401
        except ModuleNotFoundError as error:
            if error.name != "pkg_resources":
                raise
            raise ConfigError("the package clip needs pkg_resources, which setuptools dropped: "
                              "pip install 'setuptools<81'") from error
