"""A residual block of CLIP's kind, with the names of its parameters, so that CLIP's own weights can start it."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

HEAD_WIDTH = 64


def quick_gelu(hidden: torch.Tensor) -> torch.Tensor:
    """OpenAI's approximation of the GELU."""
    return hidden * torch.sigmoid(1.702 * hidden)


class Block(nn.Module):
    """Attention and perceptron, each normalised before and added to its input. Heads are 64 wide (one, below 128)."""

    def __init__(self, width: int):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn, self.mlp = Attention(width), Perceptron(width)

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """[B, N, W] -> [B, N, W]; with `mask`, bool [B, N], only the tokens where it is True are seen by the others."""
        tokens = tokens + self.attn(self.ln_1(tokens), mask)
        return tokens + self.mlp(self.ln_2(tokens))


class Attention(nn.Module):
    """Self-attention with the parameters of nn.MultiheadAttention."""

    def __init__(self, width: int):
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        self._heads = max(1, width // HEAD_WIDTH)
        if width % self._heads:
            raise ValueError(f"a block {width} wide: allowed is a multiple of {HEAD_WIDTH}, or less than {2 * HEAD_WIDTH}")
        nn.init.normal_(self.in_proj_weight, std=0.02)

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        projected = functional.linear(tokens, self.in_proj_weight, self.in_proj_bias)  # [B, N, 3 * W]
        query, key, value = projected.unflatten(-1, (3, self._heads, -1)).permute(2, 0, 3, 1, 4)  # [B, heads, N, W / heads]
        seen = None
        if mask is not None:  # a row that may see nothing sees everything: it counts for nothing, but must stay a number
            seen = (mask | ~mask.any(dim=-1, keepdim=True))[:, None, None]  # [B, 1, 1, N]
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


class Perceptron(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.c_fc, self.c_proj = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.c_proj(quick_gelu(self.c_fc(tokens)))


def initialize(module: nn.Module) -> None:
    """As AdaCLIP's new layers begin: normal with deviation 0.02, biases zero. For `nn.Module.apply`."""
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
