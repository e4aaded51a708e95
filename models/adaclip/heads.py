"""What may stand around the aggregation: a temporal head over the chosen frames, words of a text, residual adapters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import nn

from ...errors import ConfigError
from .aggregators import weighted
from .block import Block, initialize, quick_gelu

HeadName = Literal["meanP", "seqTransf", "transformer"]
WordAggregatorName = Literal["none", "mlp", "transformer"]
_LAYERS = {"seqTransf": (0, 1, 2, 3), "transformer": (4,)}  # of CLIP's text tower, whose weights they begin with


class TemporalHead(nn.Module):
    """seqTransf: CLIP4Clip's four blocks with positions, added to the frames; transformer: one block, without positions."""

    def __init__(self, name: HeadName, dim: int, num_frm: int):
        super().__init__()
        self.name = name
        self.positions = nn.Embedding(num_frm, dim) if name == "seqTransf" else None
        self.blocks = nn.ModuleList(Block(dim) for _ in _LAYERS[name])
        self.apply(initialize)

    def forward(self, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Frames in time order [B, k, D], bool [B, k] -> [B, k, D]."""
        tokens = frames if self.positions is None else frames + self.positions.weight[:frames.shape[1]]
        for block in self.blocks:
            tokens = block(tokens, mask)
        return tokens if self.positions is None else frames + tokens

    def begin_as(self, text_tower: Mapping[str, torch.Tensor]) -> None:
        """Take the weights of CLIP's text tower, by the names of its state dict. Raises ConfigError where they do not fit."""
        state = {f"blocks.{place}.{name}": text_tower.get(f"transformer.resblocks.{layer}.{name}")
                 for place, layer in enumerate(_LAYERS[self.name]) for name in self.blocks[0].state_dict()}
        if self.positions is not None:
            positions, count = text_tower.get("positional_embedding"), self.positions.num_embeddings
            state["positions.weight"] = positions[:count] if positions is not None and len(positions) >= count else None
        unfit = [name for name, own in self.state_dict().items() if (found := state[name]) is None or found.shape != own.shape]
        if unfit:
            raise ConfigError(f"sim_header={self.name} begins with layers {', '.join(map(str, _LAYERS[self.name]))} of the CLIP's "
                              f"text tower, and this one's do not fit ({unfit[0]}): it needs as many layers, and a text tower as "
                              "wide as the features; leave sim_header out")
        self.load_state_dict(state)


class WordAggregator(nn.Module):
    """A text's vector as the weighted mean of its words' projected states, in place of the last one alone."""

    def __init__(self, name: WordAggregatorName, dim: int, temperature: float):
        super().__init__()
        self.temperature = temperature
        self.block = Block(dim) if name == "transformer" else None
        self.score: nn.Module = nn.Linear(dim, 1)
        if name == "mlp":
            self.score = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, 1))
        self.apply(initialize)

    def forward(self, words: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """[B, L, D], bool [B, L] (True on the text, its marks included) -> [B, D]."""
        seen = words if self.block is None else self.block(words, mask)
        return weighted(words, self.score(seen).squeeze(-1), mask, self.temperature)


class Adapter(nn.Module):
    """x + W2 g(W1 norm(x)); W2 begins at zero, so that nothing changes until something is learned."""

    def __init__(self, dim: int, hidden_dim: int):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.down, self.up = nn.Linear(dim, hidden_dim), nn.Linear(hidden_dim, dim)
        self.apply(initialize)
        nn.init.zeros_(self.up.weight)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """[…, D] -> […, D]"""
        return vectors + self.up(quick_gelu(self.down(self.norm(vectors))))
