"""AdaCLIP: frames chosen by a learned selector, aggregated to one vector a video, compared with texts by their cosine.

Written from the published description (ACM MM 2023, "AdaCLIP: Towards Pragmatic Multimodal Video Retrieval").
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from .aggregators import AGGREGATORS, QScore, masked_softmax, unit
from .hard_top_k import NO_FRAME, hard_top_k, top_k, uniform
from .heads import Adapter, TemporalHead, WordAggregator
from .options import AdaClipOptions
from .selector import Selector

MAX_LOGIT_SCALE = math.log(100)


@dataclass(frozen=True, eq=False)
class ChosenFrames:
    """The frames that stand for B videos, in time order; places without a frame are zero and masked."""

    frames: torch.Tensor  # [B, k, D]
    mask: torch.Tensor  # bool [B, k]
    indices: torch.Tensor  # int64 [B, k], NO_FRAME where there is none
    scores: torch.Tensor | None = None  # [B, k], the selector's, where they are used again


class AdaClip(nn.Module):
    """Selector, temporal head, aggregation and adapters; the CLIP around it is not part of it."""

    def __init__(self, options: AdaClipOptions):
        super().__init__()
        self.options = options
        self.selector = None if options.no_policy else Selector(
            options.policy_dim or options.dim, num_frm=options.num_frm, rnn=options.rnn, hidden_dim=options.hidden_dim,
            mlp_type=options.mlp_type, mlp_hidden_dim=options.mlp_hidden_dim)
        self.head = None if options.sim_header == "meanP" else TemporalHead(options.sim_header, options.dim, options.num_frm)
        self.aggregator = AGGREGATORS[options.frame_agg](options.dim, options.frame_agg_temp)
        self.words = WordAggregator(options.word_agg, options.dim, options.word_agg_temp) if options.needs_words else None
        self.video_adapter = Adapter(options.dim, options.adapter_dim) if options.adapter_dim else None
        self.text_adapter = Adapter(options.dim, options.adapter_dim) if options.adapter_dim else None
        self.logit_scale = nn.Parameter(torch.tensor(MAX_LOGIT_SCALE))

    def scores(self, features: torch.Tensor, mask: torch.Tensor, policy: torch.Tensor | None = None) -> torch.Tensor:
        """The selector's logits [B, N] of features [B, N, D], or of `policy` [B, N, d] where it has eyes of its own."""
        if self.selector is None:
            raise ValueError("no_policy=true: this model has no selector")
        if (policy is None) != (self.options.policy_dim is None):
            raise ValueError(f"policy_backbone={self.options.policy_backbone}: policy features are "
                             f"{'needed' if policy is None else 'not looked at'}")
        return self.selector(features if policy is None else policy, mask)

    def draw(self, features: torch.Tensor, mask: torch.Tensor, policy: torch.Tensor | None = None, *, tau: float = 1.0,
             noise: torch.Tensor | None = None, k: int | None = None) -> ChosenFrames:
        """For training: frames drawn by Hard-Top-k, through which gradients reach the selector. See `hard_top_k`."""
        if self.selector is None:
            return self.choose(features, mask, policy)
        logits = self.scores(features, mask, policy)  # [B, N]
        drawn = hard_top_k(logits, k or self.options.top_k, tau, mask=mask, noise=noise).in_time_order()
        reused = torch.einsum("bkn,bn->bk", drawn.weights, logits) if self.options.reuse_scores else None
        return ChosenFrames(drawn.weights @ features, drawn.indices != NO_FRAME, drawn.indices, reused)

    def choose(self, features: torch.Tensor, mask: torch.Tensor, policy: torch.Tensor | None = None) -> ChosenFrames:
        """For evaluation: the k frames of the highest scores; uniform ones where there is no selector."""
        logits = self.scores(features, mask, policy) if self._has_to_choose(mask, policy) else None
        k = self.options.top_k
        indices = uniform(k, mask) if logits is None else top_k(logits, k, mask)
        there, places = indices != NO_FRAME, indices.clamp(min=0)
        frames = features.gather(1, places[..., None].expand(-1, -1, features.shape[-1])) * there[..., None]
        reused = logits.gather(1, places) if logits is not None and self.options.reuse_scores else None
        return ChosenFrames(frames, there, indices, reused)

    def select(self, features: torch.Tensor, mask: torch.Tensor, policy: torch.Tensor | None = None) -> torch.Tensor:
        """Which frames stand for each video: int64 [B, k] in time order, -1 (last) where it has fewer than k."""
        if not self._has_to_choose(mask, policy):
            return uniform(self.options.top_k, mask)
        return top_k(self.scores(features, mask, policy), self.options.top_k, mask)

    def _has_to_choose(self, mask: torch.Tensor, policy: torch.Tensor | None) -> bool:
        """Not where there is no selector; nor where a selector with eyes of its own has chosen already, before the frames were
        encoded: then no video has more than k, and nothing is there to look at."""
        if self.selector is None:
            return False
        chosen_before = policy is None and self.options.policy_dim is not None and not self.options.reuse_scores
        return not (chosen_before and int(mask.sum(dim=-1).max()) <= self.options.top_k)

    def aggregate(self, chosen: ChosenFrames) -> torch.Tensor:
        """Unit vectors [B, D]; zero where a video has no frame. Raises ValueError for frame_agg=qscore."""
        if chosen.scores is not None:  # weights are applied before the temporal head, as in the original
            weights = masked_softmax(chosen.scores / self.options.frame_agg_temp, chosen.mask)  # [B, k]
            vectors = self._headed(chosen.frames * weights[..., None], chosen.mask).sum(dim=1)  # [B, D]
        else:
            vectors = self.aggregator(self._headed(chosen.frames, chosen.mask), chosen.mask)
        return self._adapted(vectors, self.video_adapter)

    def compare(self, texts: torch.Tensor, chosen: ChosenFrames) -> torch.Tensor:
        """Cosines [Q, B] of unit texts [Q, D] with videos."""
        if isinstance(self.aggregator, QScore):
            return self.aggregator.similarity(texts, self._headed(chosen.frames, chosen.mask), chosen.mask)
        return texts @ self.aggregate(chosen).T

    def encode_texts(self, texts: torch.Tensor) -> torch.Tensor:
        """Text features [Q, D] -> unit rows [Q, D]."""
        return self._adapted(texts, self.text_adapter)

    def encode_videos(self, features: torch.Tensor, mask: torch.Tensor, policy: torch.Tensor | None = None) -> torch.Tensor:
        """Frames' features [B, N, D], bool [B, N] (True where there is a frame) -> unit rows [B, D]; zero without frames."""
        return self.aggregate(self.choose(features, mask, policy))

    def similarity(self, texts: torch.Tensor, features: torch.Tensor, mask: torch.Tensor,
                   policy: torch.Tensor | None = None) -> torch.Tensor:
        """Cosines [Q, V] of texts' features [Q, D] with videos [V, N, D]; -inf for a video without frames."""
        cosines = self.compare(self.encode_texts(texts), self.choose(features, mask, policy))
        return cosines.masked_fill(~mask.any(dim=-1), -torch.inf)

    def _headed(self, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return frames if self.head is None else self.head(frames, mask) * mask[..., None]

    @staticmethod
    def _adapted(vectors: torch.Tensor, adapter: Adapter | None) -> torch.Tensor:
        directions = unit(vectors)
        if adapter is None:
            return directions
        some = (directions != 0).any(dim=-1, keepdim=True)
        return unit(adapter(directions)) * some
