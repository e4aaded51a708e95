"""From the chosen frames of a video to one vector, with the formulas of AdaCLIP (ACM MM 2023)."""

from __future__ import annotations

from typing import ClassVar, Literal, Protocol

import torch
from torch import nn
from torch.nn import functional

from .block import Block, initialize, quick_gelu

AggregatorName = Literal["mean", "mlp", "transformer", "qscore"]


class Aggregator(Protocol):
    """Frames [B, k, D], bool [B, k] (True where there is a frame) -> [B, D], not normalised."""

    query_dependent: ClassVar[bool]

    def __call__(self, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor: ...


class Mean(nn.Module):
    """The mean of the frames' directions."""

    query_dependent: ClassVar[bool] = False

    def __init__(self, dim: int, temperature: float):
        super().__init__()

    def forward(self, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        present = mask[..., None].to(frames.dtype)  # [B, k, 1]
        return (unit(frames) * present).sum(dim=1) / present.sum(dim=1).clamp(min=1)


class MlpScore(nn.Module):
    """MLP-Score: frames weighted by the softmax of a score that a perceptron gives each; they keep their lengths."""

    query_dependent: ClassVar[bool] = False
    HIDDEN = (1024, 512)

    def __init__(self, dim: int, temperature: float):
        super().__init__()
        wide, narrow = self.HIDDEN
        self.temperature = temperature
        self.layer_1, self.layer_2, self.layer_3 = nn.Linear(dim, wide), nn.Linear(wide, narrow), nn.Linear(narrow, 1)
        self.apply(initialize)

    def forward(self, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        hidden = quick_gelu(self.layer_2(quick_gelu(self.layer_1(frames))))  # [B, k, 512]
        return weighted(frames, self.layer_3(hidden).squeeze(-1), mask, self.temperature)


class TransformerScore(nn.Module):
    """As MlpScore, the scores from a block that sees the chosen frames together."""

    query_dependent: ClassVar[bool] = False

    def __init__(self, dim: int, temperature: float):
        super().__init__()
        self.temperature = temperature
        self.block, self.score = Block(dim), nn.Linear(dim, 1)
        self.apply(initialize)

    def forward(self, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return weighted(frames, self.score(self.block(frames, mask)).squeeze(-1), mask, self.temperature)


class QScore(nn.Module):
    """Q-Score (Bain et al. 2022, "A CLIP-Hitchhiker's Guide to Long Video Retrieval"): frames weighted by their likeness
    to the text, so a vector for every pair of text and video."""

    query_dependent: ClassVar[bool] = True

    def __init__(self, dim: int, temperature: float):
        super().__init__()
        self.temperature = temperature

    def similarity(self, texts: torch.Tensor, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Unit texts [Q, D], frames [B, k, D] -> cosines [Q, B]. A video without frames gets 0.

        The cosine follows from the frames' likenesses and products alone, so [Q, B, D] never lies in memory.
        """
        likeness = torch.einsum("qd,bkd->qbk", texts, unit(frames))  # [Q, B, k]
        weights = masked_softmax(likeness / self.temperature, mask)  # [Q, B, k]
        along = (weights * torch.einsum("qd,bkd->qbk", texts, frames)).sum(dim=-1)  # [Q, B], text · video
        products = frames @ frames.transpose(1, 2)  # [B, k, k]
        squared = (torch.einsum("qbk,bkl->qbl", weights, products) * weights).sum(dim=-1)  # [Q, B], the video's length
        return along / squared.clamp(min=1e-12).sqrt()

    def forward(self, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        raise ValueError("frame_agg=qscore weighs frames anew for every text, so a video has no vector of its own")


def weighted(frames: torch.Tensor, scores: torch.Tensor, mask: torch.Tensor, temperature: float) -> torch.Tensor:
    """Frames [B, k, D] weighted by softmax(scores [B, k] / temperature) over those that are there -> [B, D]."""
    return torch.einsum("bk,bkd->bd", masked_softmax(scores / temperature, mask), frames)


def masked_softmax(scores: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Over the last axis, where `mask` (of the last two axes' shape, or broadcast to it) is True; rows of none are zero."""
    some = mask.any(dim=-1, keepdim=True)
    return scores.masked_fill(~mask & some, -torch.inf).softmax(dim=-1) * some


def unit(vectors: torch.Tensor) -> torch.Tensor:
    """Rows of length 1; zeros stay zeros."""
    return functional.normalize(vectors, dim=-1, eps=1e-12)


AGGREGATORS: dict[str, type[Mean] | type[MlpScore] | type[TransformerScore] | type[QScore]] = {
    "mean": Mean,
    "mlp": MlpScore,
    "transformer": TransformerScore,
    "qscore": QScore,
}
