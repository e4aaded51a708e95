"""Our encoders against the packages they are built on, tower by tower, with random weights at true architectures."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Any, cast

import numpy as np
import open_clip
import pytest
import torch
from clipreel.models.base import Precision
from clipreel.models.clip.architecture import import_clip
from clipreel.models.preprocess import preprocess_frames
from clipreel.models.registry import load_encoder
from clipreel.models.two_towers import TwoTowerEncoder
from clipreel.tests.models.conftest import undrawn
from PIL import Image
from safetensors.torch import save_file

TEXTS = ["a photo of a dog", "two people lift weights in a gym", "!"]


def cosine(left: torch.Tensor, right: torch.Tensor) -> float:
    """The smallest over the rows."""
    return torch.nn.functional.cosine_similarity(left.double(), right.double()).min().item()


def assert_same(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """Random networks give all pictures almost one feature, so what tells the pictures apart must agree as well."""
    assert cosine(ours, theirs) >= 0.99999
    assert cosine(ours - ours.mean(0), theirs - theirs.mean(0)) >= 0.9999


@pytest.mark.parametrize("name", ["ViT-B/32", "RN50", "ViT-B/16"])
def test_clip(name: str, clip_state, pictures: np.ndarray, tmp_path: Path):
    import_clip()
    from clip import clip
    from clip.model import build_model

    state, path = clip_state(name), tmp_path / "weights"
    torch.save(state, path) if name == "RN50" else save_file(state, path)
    with undrawn():
        theirs = build_model(dict(state)).float()  # rounds to float16 first, which these weights survive
    transform: Any = clip._transform(theirs.visual.input_resolution)
    pixels = torch.stack([transform(Image.fromarray(picture)) for picture in pictures])  # [4, 3, S, S]
    with torch.no_grad():
        their_frames, their_texts = theirs.encode_image(pixels), theirs.encode_text(clip.tokenize(TEXTS))
    ours = load_encoder("clip", name, checkpoint=str(path), device="cpu")
    by_pil = dataclasses.replace(ours.preprocess, backend="pil")
    assert_same(ours.encode(preprocess_frames(pictures, by_pil)), their_frames)
    assert_same(ours.encode_text(TEXTS), their_texts)
    assert cosine(ours.encode(preprocess_frames(pictures, ours.preprocess)), their_frames) >= 0.9999
    assert ours.logit_scale == pytest.approx(theirs.logit_scale.exp().item(), rel=1e-6)
    if name != "ViT-B/16":
        lower = load_encoder("clip", name, checkpoint=str(path), precision="bfloat16", device="cpu")
        assert cosine(lower.encode(preprocess_frames(pictures, lower.preprocess)), their_frames) >= 0.99
        assert cosine(lower.encode_text(TEXTS), their_texts) >= 0.99


@pytest.mark.parametrize("name", ["ViT-B-32", "RN50", "ViT-B-16-SigLIP"])
def test_open_clip(name: str, clip_state, pictures: np.ndarray, tmp_path: Path):
    theirs: Any
    transform: Any
    path, siglip = tmp_path / "weights", "SigLIP" in name
    torch.manual_seed(5)
    with contextlib.nullcontext() if siglip else undrawn():
        theirs, _, transform = open_clip.create_model_and_transforms(
            name, **({"image_mean": (0.5,) * 3, "image_std": (0.5,) * 3, "image_resize_mode": "squash"} if siglip else {}))
    theirs.eval()
    if not siglip:  # open_clip names its tensors as OpenAI does
        theirs.load_state_dict(clip_state(name.replace("-", "/", 2).replace("/", "-", 1)))
    torch.save(theirs.state_dict(), path) if name == "RN50" else save_file(theirs.state_dict(), path)
    pixels = torch.stack([transform(Image.fromarray(picture)) for picture in pictures])  # [4, 3, S, S]
    tokens = torch.randint(0, 32000, (3, 64)) if siglip else open_clip.get_tokenizer(name)(TEXTS)
    with torch.no_grad():
        their_frames, their_texts = theirs.encode_image(pixels), theirs.encode_text(tokens)
    precisions: tuple[Precision, ...] = ("float32", "bfloat16")
    for precision in precisions:
        ours = load_encoder("open_clip", name, checkpoint=str(path), preprocess="pil", precision=precision,
                            device="cpu")
        if siglip:  # its tokenizer would be downloaded
            cast(TwoTowerEncoder, ours)._tokenize = lambda _: tokens
        frames, texts = ours.encode(preprocess_frames(pictures, ours.preprocess)), ours.encode_text(TEXTS)
        if precision == "float32":
            assert_same(frames, their_frames)
            assert_same(texts, their_texts)
        assert cosine(frames, their_frames) >= 0.99
        assert cosine(texts, their_texts) >= 0.99
        assert ours.logit_scale == pytest.approx(theirs.logit_scale.exp().item(), rel=1e-6)
