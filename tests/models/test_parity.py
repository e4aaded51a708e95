"""Our encoders against the packages they are built on, tower by tower, with random weights at true architectures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from clipreel.models.clip.architecture import import_clip
from clipreel.models.preprocess import preprocess_frames
from clipreel.models.registry import load_encoder
from PIL import Image

TEXTS = ["a photo of a dog", "two people lift weights in a gym", "!"]


def cosine(left: torch.Tensor, right: torch.Tensor) -> float:
    return torch.nn.functional.cosine_similarity(left.double(), right.double()).min().item()


@pytest.mark.parametrize("name", ["ViT-B/32", "RN50", "ViT-B/16"])
def test_clip(name: str, clip_state, pictures: np.ndarray, tmp_path: Path):
    import_clip()
    from clip import clip
    from clip.model import build_model

    state = clip_state(name)
    torch.save(state, tmp_path / "w.pt")
    theirs = build_model(dict(state)).float()  # rounds to float16 first, which these weights survive
    transform = clip._transform(theirs.visual.input_resolution)
    pixels = torch.stack([transform(Image.fromarray(picture)) for picture in pictures])  # [4, 3, S, S]
    with torch.no_grad():
        their_frames, their_texts = theirs.encode_image(pixels), theirs.encode_text(clip.tokenize(TEXTS))
    assert cosine(their_frames[:1], their_frames[1:2]) < 0.999, "pictures that a wrong network would tell apart"
    for backend, least in (("pil", 0.99999), ("tensor", 0.9999)):
        ours = load_encoder("clip", name, checkpoint=str(tmp_path / "w.pt"), preprocess=backend, device="cpu")
        frames = ours.encode(preprocess_frames(pictures, ours.preprocess))
        assert cosine(frames, their_frames) >= least
        assert cosine(ours.encode_text(TEXTS), their_texts) >= 0.99999
    assert ours.logit_scale == pytest.approx(theirs.logit_scale.exp().item(), rel=1e-6)
    if name != "ViT-B/16":
        lower = load_encoder("clip", name, checkpoint=str(tmp_path / "w.pt"), precision="bfloat16", device="cpu")
        assert cosine(lower.encode(preprocess_frames(pictures, lower.preprocess)), their_frames) >= 0.99
        assert cosine(lower.encode_text(TEXTS), their_texts) >= 0.99


@pytest.mark.parametrize("name", ["ViT-B-32", "RN50", "ViT-B-16-SigLIP"])
def test_open_clip(name: str, clip_state, pictures: np.ndarray, tmp_path: Path):
    path = tmp_path / "w.pt"
    torch.manual_seed(5)
    theirs, _, transform = open_clip.create_model_and_transforms(
        name, **({"image_mean": (0.5,) * 3, "image_std": (0.5,) * 3, "image_resize_mode": "squash"}
                 if "SigLIP" in name else {}))
    theirs.eval()
    if "SigLIP" not in name:  # open_clip names its tensors as OpenAI does
        theirs.load_state_dict(clip_state(name.replace("-", "/", 2).replace("/", "-", 1)))
    torch.save(theirs.state_dict(), path)
    pixels = torch.stack([transform(Image.fromarray(picture)) for picture in pictures])  # pyright: ignore
    siglip = "SigLIP" in name
    tokens = torch.randint(0, 32000, (3, 64)) if siglip else open_clip.get_tokenizer(name)(TEXTS)
    with torch.no_grad():
        their_frames, their_texts = theirs.encode_image(pixels), theirs.encode_text(tokens)
    assert cosine(their_frames[:1], their_frames[1:2]) < 0.999
    for precision, least in (("float32", 0.99999), ("bfloat16", 0.99)):
        ours = load_encoder("open_clip", name, checkpoint=str(path), preprocess="pil", precision=precision,
                            device="cpu")
        assert cosine(ours.encode(preprocess_frames(pictures, ours.preprocess)), their_frames) >= least
        if siglip:  # its tokenizer needs the network
            ours._tokenize = lambda _: tokens
        assert cosine(ours.encode_text(TEXTS), their_texts) >= least
        assert ours.logit_scale == pytest.approx(theirs.logit_scale.exp().item(), rel=1e-6)
