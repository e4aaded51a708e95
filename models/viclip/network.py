"""The ViCLIP network: a vision transformer over all patches of all frames of a clip, and CLIP's text transformer.

Written from the published description, with the names of the published weights (OpenGVLab/InternVideo,
Data/InternVid/viclip). Heads are 64 wide; dropout, random token dropping and drop-path of the training are left out.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from .architecture import HEAD_WIDTH, VOCABULARY_SIZE, Architecture

# In 16 bits these stay float32, because their sums lose too much there: normalisation, embeddings, the temperature.
_KEPT_IN_FLOAT32 = ("ln_", "embedding", "temp")


class ViCLIP(nn.Module):
    """Both towers. Parameters are uninitialised until a checkpoint fills them."""

    def __init__(self, architecture: Architecture):
        super().__init__()
        self.vision_encoder = VisionTower(architecture)
        self.text_encoder = TextTower(architecture)
        self.temp = nn.Parameter(torch.empty(()))  # the training's temperature; inference uses the constant 1/100

    def encode_clips(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalised pixels [B, T, 3, S, S] -> [B, dim]."""
        return self.vision_encoder(pixels)

    def encode_text(self, tokens: torch.Tensor) -> torch.Tensor:
        """Token ids [m, context_length] -> [m, dim]."""
        return self.text_encoder(tokens)

    def lower_precision(self, dtype: torch.dtype) -> None:
        """Casts in place all but what 16 bits are too few for."""
        for name, parameter in self.named_parameters():
            if not any(kept in name for kept in _KEPT_IN_FLOAT32):
                parameter.data = parameter.data.to(dtype)


class VisionTower(nn.Module):
    def __init__(self, architecture: Architecture):
        super().__init__()
        width, patch = architecture.vision_width, architecture.patch_size
        self.class_embedding = nn.Parameter(torch.empty(width))
        self.positional_embedding = nn.Parameter(torch.empty((architecture.image_size // patch) ** 2 + 1, width))
        self.temporal_positional_embedding = nn.Parameter(torch.empty(1, architecture.num_frames, width))
        self.conv1 = nn.Conv3d(3, width, (1, patch, patch), stride=(1, patch, patch), bias=False)
        self.ln_pre = LayerNorm(width)
        self.transformer = Transformer(width, architecture.vision_layers)
        self.ln_post = LayerNorm(width)
        self.proj = nn.Parameter(torch.empty(width, architecture.embed_dim))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """[B, T, 3, S, S] -> [B, dim]. T is that of the temporal embedding, or 1, which is seen at its mean."""
        weight = self.conv1.weight.squeeze(2)  # [W, 3, p, p]: one frame deep, so the same as a flat convolution
        patches = functional.conv2d(pixels.flatten(0, 1).to(weight.dtype), weight, stride=weight.shape[-1])
        patches = patches.flatten(2).transpose(1, 2)  # [B * T, h * w, W]
        patches = (patches + self.positional_embedding[1:]).unflatten(0, pixels.shape[:2])  # [B, T, h * w, W]
        # Each token sees every other one, so their order (the original's: places, then times) is of no account.
        patches = (patches + self._times(pixels.shape[1])).flatten(1, 2)  # [B, T * h * w, W]
        first = (self.class_embedding + self.positional_embedding[0]).expand(len(pixels), 1, -1)  # [B, 1, W]: no time
        tokens = self.ln_pre(torch.cat([first, patches], dim=1)).to(weight.dtype)  # [B, 1 + T * h * w, W]
        return self.ln_post(self.transformer(tokens)[:, 0]) @ self.proj

    def _times(self, num_frames: int) -> torch.Tensor:
        """[1, T, 1, W]"""
        times = self.temporal_positional_embedding[:, :, None]
        if num_frames == 1:
            return times.mean(dim=1, keepdim=True)
        if num_frames != times.shape[1]:
            raise ValueError(f"this network sees clips of {times.shape[1]} frames, or single ones, not {num_frames}")
        return times


class TextTower(nn.Module):
    def __init__(self, architecture: Architecture):
        super().__init__()
        width = architecture.text_width
        self.positional_embedding = nn.Parameter(torch.empty(architecture.context_length, width))
        self.text_projection = nn.Parameter(torch.empty(width, architecture.embed_dim))
        self.token_embedding = nn.Embedding(VOCABULARY_SIZE, width)
        self.transformer = Transformer(width, architecture.text_layers, causal=True)
        self.ln_final = LayerNorm(width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """[m, context_length] -> [m, dim], read off at the end mark, which is the largest id."""
        words = (self.token_embedding(tokens) + self.positional_embedding).to(self.text_projection.dtype)
        words = self.transformer(words)  # [m, context_length, Wt]
        ends = words[torch.arange(len(words), device=words.device), tokens.argmax(dim=-1)]  # [m, Wt]
        return self.ln_final(ends) @ self.text_projection


class Transformer(nn.Module):
    def __init__(self, width: int, layers: int, *, causal: bool = False):
        super().__init__()
        self.resblocks = nn.ModuleList(Block(width, causal) for _ in range(layers))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """[B, N, W] -> [B, N, W]."""
        for block in self.resblocks:
            tokens = block(tokens)
        return tokens


class Block(nn.Module):
    def __init__(self, width: int, causal: bool):
        super().__init__()
        self.ln_1, self.ln_2 = LayerNorm(width), LayerNorm(width)
        self.attn = Attention(width, causal)
        self.mlp = Perceptron(width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        tokens = tokens + self.attn(self.ln_1(tokens))
        return tokens + self.mlp(self.ln_2(tokens))


class Attention(nn.Module):
    """Self-attention with the parameters of nn.MultiheadAttention."""

    def __init__(self, width: int, causal: bool):
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * width))
        self.out_proj = nn.Linear(width, width)
        self._causal = causal

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        projected = functional.linear(tokens, self.in_proj_weight, self.in_proj_bias)  # [B, N, 3 * W]
        query, key, value = projected.unflatten(-1, (3, -1, HEAD_WIDTH)).permute(2, 0, 3, 1, 4)  # [B, heads, N, 64] each
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=self._causal)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


class Perceptron(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        hidden = self.c_fc(tokens)
        return self.c_proj(hidden * torch.sigmoid(1.702 * hidden))  # OpenAI's QuickGELU


class LayerNorm(nn.LayerNorm):
    """Computed in float32, given back in the precision of its input."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(input.float()).to(input.dtype)
