"""The architecture of a ViCLIP: read off the shapes of its tensors, and built."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import torch

from ...errors import ConfigError, WeightsError
from ..weights import StateDict, fill

if TYPE_CHECKING:
    from .network import ViCLIP

HEAD_WIDTH = 64
VOCABULARY_SIZE = 49408
_TEXT_POSITIONS = "text_encoder.positional_embedding"
# What else a checkpoint may be, told by how one of its names begins.
_OTHER_KINDS = {
    "visual.": "a CLIP (use feature_type=clip)",
    "text.transformer.": "an open_clip network (use feature_type=open_clip)",
    "text_model.": "a CLIP of Hugging Face transformers, which names its tensors otherwise",
}


@dataclass(frozen=True)
class Architecture:
    """What shapes a ViCLIP. `num_frames` is T of the clips it sees."""

    embed_dim: int
    image_size: int
    patch_size: int
    num_frames: int
    vision_width: int
    vision_layers: int
    context_length: int
    text_width: int
    text_layers: int


ARCHITECTURES = {
    "ViCLIP-L": Architecture(768, 224, 14, 8, 1024, 24, 32, 768, 12),
    "ViCLIP-B": Architecture(512, 224, 16, 8, 768, 12, 32, 512, 12),
}


def infer(state: StateDict, path: Path) -> Architecture:
    """Reads the architecture off the tensors' shapes. Raises WeightsError where the file is no ViCLIP."""

    def refuse(fault: str) -> NoReturn:
        kinds = [f" but {kind}" for prefix, kind in _OTHER_KINDS.items() if any(key.startswith(prefix) for key in state)]
        raise WeightsError(f"the checkpoint {path} is no ViCLIP{''.join(kinds[:1])}: it {fault}")

    def shape(key: str, ndim: int) -> list[int]:
        if key not in state:
            refuse(f"lacks {key}")
        if state[key].ndim != ndim:
            refuse(f"has {key} in the shape {list(state[key].shape)}, where {ndim} numbers belong")
        return list(state[key].shape)

    def layers(tower: str) -> int:
        prefix = f"{tower}_encoder.transformer.resblocks."
        return len({key.removeprefix(prefix).split(".")[0] for key in state if key.startswith(prefix)})

    vision_width, _, _, patch_size, _ = shape("vision_encoder.conv1.weight", 5)
    cells = shape("vision_encoder.positional_embedding", 2)[0] - 1
    side = round(max(cells, 0) ** 0.5)
    if side < 1 or side * side != cells:
        refuse(f"has vision_encoder.positional_embedding for {cells} cells, which is no square")
    num_frames = shape("vision_encoder.temporal_positional_embedding", 3)[1]
    context_length, text_width = shape(_TEXT_POSITIONS, 2)
    vocabulary_size = shape("text_encoder.token_embedding.weight", 2)[0]
    if vocabulary_size != VOCABULARY_SIZE:
        refuse(f"has {vocabulary_size} tokens, where the tokenizer has {VOCABULARY_SIZE}")
    for tower, width in (("vision", vision_width), ("text", text_width)):
        if width % HEAD_WIDTH:
            refuse(f"has a {tower} tower {width} wide, which is no multiple of {HEAD_WIDTH}")
    return Architecture(shape("text_encoder.text_projection", 2)[1], patch_size * side, patch_size, num_frames,
                        vision_width, layers("vision"), context_length, text_width, layers("text"))


def name_of(architecture: Architecture) -> str | None:
    """Its published name, if it is one of the two."""
    return next((name for name, known in ARCHITECTURES.items() if known == architecture), None)


def with_context_length(state: StateDict, context_length: int, *, untrained: bool = False) -> StateDict:
    """The weights for texts of another length, in tokens.

    Raises:
        ConfigError: it is longer than was trained, unless `untrained` allows for rows of zeros (as the original's own
            loader fills up), which no training has seen.
    """
    rows = state[_TEXT_POSITIONS]  # [trained length, Wt]
    if context_length < 3:
        raise ConfigError(f"context_length={context_length}: allowed is 3 (a start mark, a word, an end mark) or more")
    if context_length > len(rows) and not untrained:
        raise ConfigError(f"context_length={context_length} is longer than the {len(rows)} tokens that this checkpoint was "
                          f"trained with: shorten the texts, or ask for untrained positions (untrained_context=True)")
    zeros = rows.new_zeros(max(0, context_length - len(rows)), rows.shape[1])
    return {**state, _TEXT_POSITIONS: torch.cat([rows[:context_length], zeros])}


def build(architecture: Architecture, state: StateDict, path: Path) -> ViCLIP:
    """The network in float32 and evaluation mode. Raises WeightsError where a tensor does not fit."""
    from .network import ViCLIP

    with torch.device("meta"):  # no memory and no random numbers for weights that come from the file
        network = ViCLIP(architecture)
    # Copied, since safetensors maps the file: later changes to it must not reach into a running network.
    weights = {key: value.to(torch.float32, copy=True) for key, value in state.items()}
    name = name_of(architecture) or "the ViCLIP that its shapes suggest"
    fill(network, weights, path=path, name=name, assign=True)
    return network.eval().requires_grad_(False)
