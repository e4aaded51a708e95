"""Hard-Top-k: a differentiable choice of k of N frames, and the plain choice of evaluation.

Relaxed subset sampling (Xie and Ermon 2019, "Reparameterizable Subset Sampling via Continuous Relaxations") made hard by
the straight-through estimator, as AdaCLIP (ACM MM 2023) selects frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

NO_FRAME = -1  # fills the places of a video that has fewer than k frames
_LEAST_PROBABILITY = 1e-8
_LEAST_REMAINDER = 1e-40


@dataclass(frozen=True, eq=False)
class Selection:
    """`weights` are one-hot rows going forward, and have the gradient of `soft` going back."""

    indices: torch.Tensor  # int64 [B, k], in the order drawn; NO_FRAME where a video has fewer than k frames
    weights: torch.Tensor  # [B, k, N]; a place without a frame is a row of zeros
    soft: torch.Tensor  # [B, k, N]

    def in_time_order(self) -> Selection:
        """The same choice with its places sorted by time, those without a frame last."""
        frames = self.weights.shape[-1]
        order = self.indices.masked_fill(self.indices == NO_FRAME, frames).argsort(dim=-1, stable=True)  # [B, k]
        rows = order[..., None].expand_as(self.weights)  # [B, k, N]
        return Selection(self.indices.gather(1, order), self.weights.gather(1, rows), self.soft.gather(1, rows))


def hard_top_k(logits: torch.Tensor, k: int, tau: float, *, mask: torch.Tensor | None = None,
               noise: torch.Tensor | None = None) -> Selection:
    """Draws k distinct frames of every row, likelier ones more often; for training.

    Args:
        logits: [B, N], one a frame; only their differences within a row count.
        k: from 1 to N.
        tau: the temperature of `soft`, above 0.
        mask: bool [B, N], True where there is a frame; None: everywhere. A row without any selects nothing.
        noise: [B, N] of Gumbel(0, 1); None draws it. Zeros make the choice the plain top-k.

    Raises:
        ValueError: k or tau is out of bounds.
    """
    _check(logits, k)
    if not tau > 0:
        raise ValueError(f"tau={tau}: allowed is a temperature above 0")
    blocked, counts = _blocked(logits, mask)
    probabilities = logits.masked_fill(blocked, -torch.inf).softmax(dim=-1)
    log_probabilities = probabilities.clamp_min(_LEAST_PROBABILITY).log().masked_fill(blocked, -torch.inf)
    scores = log_probabilities + (gumbel(logits.shape, device=logits.device) if noise is None else noise)  # [B, N]
    taken, soft, indices = blocked, [], []
    for _ in range(k):  # each round depends on the one before
        if soft:
            scores = scores + (1 - soft[-1]).clamp_min(_LEAST_REMAINDER).log()
        soft.append((scores / tau).softmax(dim=-1))
        index = soft[-1].masked_fill(taken, -1.0).argmax(dim=-1, keepdim=True)  # [B, 1]
        taken = taken.scatter(1, index, True)
        indices.append(index)
    chosen, relaxed = torch.cat(indices, dim=1), torch.stack(soft, dim=1)  # [B, k], [B, k, N]
    there = torch.arange(k, device=logits.device) < counts[:, None]  # [B, k]
    hard = torch.nn.functional.one_hot(chosen, logits.shape[-1]).to(relaxed.dtype)
    # The relaxed part adds an exact zero, so that going forward the weights are one-hot to the bit.
    weights = (hard + (relaxed - relaxed.detach())) * there[..., None]
    return Selection(chosen.masked_fill(~there, NO_FRAME), weights, relaxed)


def top_k(logits: torch.Tensor, k: int, mask: torch.Tensor | None = None) -> torch.Tensor:
    """The k likeliest frames of every row in time order, int64 [B, k]; for evaluation. Of equals the earlier are taken.

    Places beyond a row's frames are NO_FRAME and come last. Raises ValueError where k is no number from 1 to N.
    """
    _check(logits, k)
    blocked, counts = _blocked(logits, mask)
    ranked = logits.masked_fill(blocked, -torch.inf).argsort(dim=-1, descending=True, stable=True)[:, :k]  # [B, k]
    there = torch.arange(k, device=logits.device) < counts[:, None]
    frames = logits.shape[-1]
    ordered = ranked.masked_fill(~there, frames).sort(dim=-1).values
    return ordered.masked_fill(ordered == frames, NO_FRAME)


def uniform(k: int, mask: torch.Tensor) -> torch.Tensor:
    """k frames spread evenly over those that are there, int64 [B, k]: the beginnings of k equal parts.

    A row with fewer than k frames gives them all, and NO_FRAME after them. Raises ValueError as `top_k` does.
    """
    _check(mask, k)
    counts = mask.sum(dim=-1, keepdim=True)  # [B, 1]
    wanted = counts.clamp(max=k)
    place = torch.arange(k, device=mask.device)  # [k]
    nth = (place * (counts.double() / wanted.clamp(min=1))).floor().long()  # [B, k], among the frames that are there
    order = (~mask).to(torch.int8).argsort(dim=-1, stable=True)  # [B, N], the frames that are there first
    return order.gather(1, nth.clamp(max=mask.shape[-1] - 1)).masked_fill(place >= wanted, NO_FRAME)


def gumbel(shape: tuple[int, ...] | torch.Size, *, generator: torch.Generator | None = None,
           device: torch.device | str = "cpu") -> torch.Tensor:
    """Gumbel(0, 1) noise. Drawn on the CPU, so that a seed gives the same on every device."""
    uniform_noise = torch.rand(shape, generator=generator).clamp_(1e-20, 1 - 2**-24)
    return (-(-uniform_noise.log()).log()).to(device)


def _check(rows: torch.Tensor, k: int) -> None:
    if not 1 <= k <= rows.shape[-1]:
        raise ValueError(f"k={k}: allowed is from 1 to the number of frames, {rows.shape[-1]}")


def _blocked(logits: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Where not to choose, bool [B, N], and how many frames each row has, int64 [B]. A row without frames is blocked
    nowhere, since nothing can be normalised over nothing; its count keeps it from choosing."""
    if mask is None:
        mask = torch.ones_like(logits, dtype=torch.bool)
    counts = mask.sum(dim=-1)
    return ~mask & (counts > 0)[:, None], counts
