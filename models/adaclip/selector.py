"""The selector: a score for every frame of a video, from the features of all of them."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from .block import Block, initialize

SequenceModel = Literal["transformer", "lstm", "bilstm", "none"]
ScorerName = Literal["mlp", "fc"]


class Selector(nn.Module):
    """A sequence model over the frames, then a scorer of each (AdaCLIP, ACM MM 2023, frame selection).

    Args:
        input_dim: of the features that it sees.
        num_frm: frames a video; the transformer learns a position each.
        rnn: transformer (one block, features projected and positions added), lstm, bilstm (directions averaged), none.
        hidden_dim: width of the sequence model.
        mlp_type: mlp scores by two layers, mlp_hidden_dim between them; fc by one.
    """

    def __init__(self, input_dim: int, *, num_frm: int, rnn: SequenceModel = "transformer", hidden_dim: int = 512,
                 mlp_type: ScorerName = "mlp", mlp_hidden_dim: int = 1024):
        super().__init__()
        self.sequence = SEQUENCE_MODELS[rnn](input_dim, hidden_dim, num_frm)
        width = input_dim if rnn == "none" else hidden_dim
        self.scorer: nn.Module = nn.Linear(width, 1)
        if mlp_type == "mlp":
            self.scorer = nn.Sequential(nn.Linear(width, mlp_hidden_dim), nn.ReLU(), nn.Linear(mlp_hidden_dim, 1))
        self.apply(initialize)

    def forward(self, inputs: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """[B, N, input_dim], bool [B, N] (True where there is a frame) -> logits [B, N]."""
        return self.scorer(self.sequence(inputs, mask)).squeeze(-1)


class _Transformer(nn.Module):
    def __init__(self, input_dim: int, hidden_dim: int, num_frm: int):
        super().__init__()
        self.projection = nn.Linear(input_dim, hidden_dim)
        self.positions = nn.Embedding(num_frm, hidden_dim)
        self.block = Block(hidden_dim)

    def forward(self, inputs: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """[B, N, d] -> [B, N, W]"""
        return self.block(self.projection(inputs) + self.positions.weight, mask)


class _Recurrent(nn.Module):
    """Masked frames are stepped over, wherever they lie."""

    def __init__(self, input_dim: int, hidden_dim: int, both_ways: bool):
        super().__init__()
        self.recurrent = nn.LSTM(input_dim, hidden_dim, batch_first=True, bidirectional=both_ways)
        self._directions = 2 if both_ways else 1

    def forward(self, inputs: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """[B, N, d] -> [B, N, W]; the rows of masked frames are zero."""
        if mask is None:
            return self._averaged(self.recurrent(inputs)[0])
        order = (~mask).to(torch.int8).argsort(dim=-1, stable=True)  # [B, N], the frames that are there first
        gathered = inputs.gather(1, order[..., None].expand_as(inputs))
        counts = mask.sum(dim=-1).clamp(min=1).cpu()
        packed = nn.utils.rnn.pack_padded_sequence(gathered, counts, batch_first=True, enforce_sorted=False)
        hidden, _ = nn.utils.rnn.pad_packed_sequence(self.recurrent(packed)[0], batch_first=True, total_length=mask.shape[1])
        back = order.argsort(dim=-1)  # [B, N]
        return self._averaged(hidden.gather(1, back[..., None].expand_as(hidden)))

    def _averaged(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden.unflatten(-1, (self._directions, -1)).mean(dim=-2)


class _Lstm(_Recurrent):
    def __init__(self, input_dim: int, hidden_dim: int, num_frm: int):
        super().__init__(input_dim, hidden_dim, both_ways=False)


class _Bilstm(_Recurrent):
    def __init__(self, input_dim: int, hidden_dim: int, num_frm: int):
        super().__init__(input_dim, hidden_dim, both_ways=True)


class _Nothing(nn.Module):
    def __init__(self, input_dim: int, hidden_dim: int, num_frm: int):
        super().__init__()

    def forward(self, inputs: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        return inputs


SEQUENCE_MODELS: dict[str, type[nn.Module]] = {
    "transformer": _Transformer,
    "lstm": _Lstm,
    "bilstm": _Bilstm,
    "none": _Nothing,
}
