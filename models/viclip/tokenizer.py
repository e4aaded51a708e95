"""CLIP's tokens for ViCLIP: the same vocabulary, a shorter context, and a text that is too long loses its end."""

from __future__ import annotations

import torch

from ..clip.architecture import import_clip


def tokenize(texts: list[str], context_length: int) -> torch.Tensor:
    """Sentences -> token ids, int32 [m, context_length]. Of a text that is too long the first ids are kept and the last
    of them becomes the end mark, as the original does."""
    import_clip()
    from clip import clip

    return clip.tokenize(texts, context_length, truncate=True)  # pyright: ignore[reportReturnType]


def count_tokens(text: str) -> int:
    """How many tokens the text has, start and end marks included."""
    import_clip()
    from clip import clip

    return len(clip._tokenizer.encode(text)) + 2
