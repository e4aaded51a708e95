"""The loss of retrieval: each text is to find its video among the batch's, and each video its text."""

from __future__ import annotations

import torch
from torch.nn import functional


def symmetric_info_nce(logits: torch.Tensor, videos: torch.Tensor) -> torch.Tensor:
    """Half the cross-entropy over rows and half that over columns; the pairs stand on the diagonal (InfoNCE, van den Oord
    et al. 2018, both ways as in CLIP).

    Args:
        logits: [B, B], scaled similarities of texts (rows) with videos (columns).
        videos: int64 [B], which video each pair is of. Another caption of one's own video is no wrong answer: such pairs
            are left out of the comparison.
    """
    same = videos[:, None] == videos[None]
    others = same & ~torch.eye(len(videos), dtype=torch.bool, device=videos.device)
    logits = logits.masked_fill(others, -torch.inf)
    right = torch.arange(len(logits), device=logits.device)
    return (functional.cross_entropy(logits, right) + functional.cross_entropy(logits.T, right)) / 2
