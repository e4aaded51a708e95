"""Every image tower's attention is torch's fused one (scaled_dot_product_attention), and gives what the plain formula does."""

import math
from typing import Any

import open_clip
import pytest
import torch
from clipreel.models.precision import lower_precision
from clipreel.models.registry import load_encoder
from clipreel.tests.viclip_small import write_small
from torch.nn import functional


def plain_attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, **_):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    if is_causal:
        attn_mask = torch.full(scores.shape[-2:], -math.inf).triu(1)
    if attn_mask is not None:
        scores = scores + attn_mask
    return scores.softmax(-1) @ value


def clip_tower():
    from clip.model import CLIP

    torch.manual_seed(0)
    return CLIP(32, 32, 2, 64, 16, 77, 49408, 64, 1, 1).eval().visual, 2, (2, 3, 32, 32)


def clip_resnet():
    encoder: Any = load_encoder("clip", "tiny", device="cpu")
    return encoder.network.visual, 1, (2, 3, 64, 64)


def open_clip_tower():
    torch.manual_seed(0)
    vision = {"image_size": 32, "layers": 2, "width": 64, "patch_size": 16, "head_width": 32}
    text = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 1, "layers": 1}
    # cast_dtype: with norms that stay float32 whatever the weights are, as open_clip builds networks of 16 bits.
    network = open_clip.CLIP(32, vision, text, cast_dtype=torch.float16)  # pyright: ignore[reportArgumentType]
    return network.eval().visual, 2, (2, 3, 32, 32)


def viclip_tower(path):
    encoder: Any = load_encoder("viclip", "custom", checkpoint=str(write_small(path / "small.pth")), device="cpu")
    tower, size = encoder._network.vision_encoder, encoder.preprocess.image_size
    return tower, len(tower.transformer.resblocks), (2, encoder.num_frames, 3, size, size)


@pytest.mark.parametrize("make", [clip_tower, clip_resnet, open_clip_tower, viclip_tower])
def test_attention_is_the_fused_one(make, tmp_path, monkeypatch):
    tower, layers, shape = make(tmp_path) if make is viclip_tower else make()
    pixels, fused, calls = torch.randn(shape), functional.scaled_dot_product_attention, []

    def counted(attention):
        return lambda *arguments, **keys: (calls.append(1), attention(*arguments, **keys))[1]

    # nn.MultiheadAttention has a native way of its own too, which on GPUs chooses among the same fused kernels.
    monkeypatch.setattr(torch.backends.mha, "get_fastpath_enabled", lambda: False)
    with torch.inference_mode():
        monkeypatch.setattr(functional, "scaled_dot_product_attention", counted(fused))
        ours = tower(pixels)
        assert len(calls) == layers
        monkeypatch.setattr(functional, "scaled_dot_product_attention", counted(plain_attention))
        plain = tower(pixels)
    assert len(calls) == 2 * layers
    assert torch.cosine_similarity(ours, plain).min() >= 0.999999


@pytest.mark.needs_cuda
@pytest.mark.parametrize("make", [clip_tower, open_clip_tower, viclip_tower])
def test_on_a_gpu_a_fused_kernel_runs(make, tmp_path):
    tower, layers, shape = make(tmp_path) if make is viclip_tower else make()
    tower = tower.cuda()
    if make is not viclip_tower:
        lower_precision(tower, torch.float16)
    pixels = torch.randn(shape, device="cuda", dtype=tower.conv1.weight.dtype)
    from torch.profiler import profile

    with torch.inference_mode(), profile(acc_events=True) as profiler:  # else torch 2.11 warns
        tower(pixels)
    fused = [event for event in profiler.events() or () if event.name in (
        "aten::_scaled_dot_product_flash_attention", "aten::_scaled_dot_product_efficient_attention",
        "aten::_scaled_dot_product_cudnn_attention")]
    assert len(fused) >= layers
