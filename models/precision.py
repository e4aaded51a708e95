"""Precision: which one "auto" means, and OpenAI's rule for networks in 16 bits."""

from __future__ import annotations

import torch
from torch import nn

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
_ATTENTION_PARAMETERS = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight", "in_proj_bias",
                         "bias_k", "bias_v")
_PROJECTIONS = ("text_projection", "proj")


def resolve_precision(precision: str, device: str) -> str:
    """Never "auto": OpenAI's loader computes in float16 on CUDA and in float32 elsewhere."""
    if precision != "auto":
        return precision
    return "float16" if torch.device(device).type == "cuda" else "float32"


def lower_precision(network: nn.Module, dtype: torch.dtype) -> None:
    """Casts in place what OpenAI's `convert_weights` casts, to any 16-bit dtype.

    Convolutions, linear layers, attention and the two projections compute in 16 bits; normalisation, embeddings and
    the logit scale stay float32, because their sums lose too much there.
    """
    for module in network.modules():
        names: tuple[str, ...] = ()
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
            names = ("weight", "bias")
        elif isinstance(module, nn.MultiheadAttention):
            names = _ATTENTION_PARAMETERS
        for name in (*names, *_PROJECTIONS):
            parameter = getattr(module, name, None)
            if isinstance(parameter, nn.Parameter):
                parameter.data = parameter.data.to(dtype)
