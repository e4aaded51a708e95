"""The network against open_clip's towers, against a plain re-derivation in NumPy, and by its properties."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from clipreel.errors import ConfigError, WeightsError
from clipreel.models.viclip.architecture import ARCHITECTURES, build, infer, name_of, with_context_length
from clipreel.models.viclip.network import ViCLIP
from clipreel.tests.viclip_small import SMALL, small_state

HERE = Path("made in the test")


def network_of(state):
    return build(infer(state, HERE), state, HERE)


@pytest.fixture(scope="module")
def state():
    return small_state()


@pytest.fixture(scope="module")
def clips():
    """Normalised pixels, float32 [2, 8, 3, 32, 32]."""
    return torch.randn(2, 8, 3, 32, 32, generator=torch.Generator().manual_seed(1))


# against open_clip


@pytest.mark.parametrize(("image_size", "patch_size", "width", "layers"), [(32, 8, 64, 2), (56, 14, 128, 3)])
def test_open_clips_towers_at_one_frame(image_size, patch_size, width, layers):
    torch.manual_seed(3)
    make: Any = open_clip.CLIP
    theirs = make(
        48, {"image_size": image_size, "patch_size": patch_size, "width": width, "layers": layers},
        {"context_length": 32, "vocab_size": 49408, "width": 64, "heads": 1, "layers": layers}, quick_gelu=True).eval()
    ours = {"temp": torch.tensor(0.01),
            "vision_encoder.temporal_positional_embedding": torch.zeros(1, 8, width)}
    for name, value in theirs.state_dict().items():
        if name.startswith("visual."):
            value = value.unsqueeze(2) if name == "visual.conv1.weight" else value
            ours[name.replace("visual.", "vision_encoder.")] = value
        elif name != "logit_scale":
            ours[f"text_encoder.{name}"] = value
    network = network_of({name: value for name, value in ours.items() if "attn_mask" not in name})
    pixels = torch.randn(3, 3, image_size, image_size)
    tokens = open_clip.SimpleTokenizer(context_length=32)(["a dog", "two men run " * 20, ""])
    with torch.no_grad():
        assert (network.encode_clips(pixels[:, None]) - theirs.encode_image(pixels)).abs().max() < 1e-5
        assert (network.encode_text(tokens) - theirs.encode_text(tokens)).abs().max() < 1e-5


# against NumPy


def derive(state, pixels):
    """One clip, float64 [T, 3, S, S] -> [dim], in the original's order of tokens and with nothing left out."""
    at = {name.removeprefix("vision_encoder."): value.double().numpy() for name, value in state.items()}
    patch, width, heads = SMALL.patch_size, SMALL.vision_width, SMALL.vision_width // 64
    side = SMALL.image_size // patch
    cut = pixels.reshape(len(pixels), 3, side, patch, side, patch).transpose(0, 2, 4, 1, 3, 5)
    tokens = cut.reshape(len(pixels), side * side, -1) @ at["conv1.weight"].reshape(width, -1).T  # [T, h * w, W]
    tokens = tokens + at["positional_embedding"][1:]
    times = at["temporal_positional_embedding"][0]  # [8, W]
    tokens = tokens + (times if len(pixels) > 1 else times.mean(0, keepdims=True))[:, None]
    tokens = tokens.transpose(1, 0, 2).reshape(-1, width)  # places, then times
    tokens = np.concatenate([at["class_embedding"][None] + at["positional_embedding"][:1], tokens])

    def norm(rows, name):
        rows = (rows - rows.mean(-1, keepdims=True)) / np.sqrt(rows.var(-1, keepdims=True) + 1e-5)
        return rows * at[f"{name}.weight"] + at[f"{name}.bias"]

    tokens = norm(tokens, "ln_pre")
    for layer in range(SMALL.vision_layers):
        block = f"transformer.resblocks.{layer}"
        query, key, value = np.split(norm(tokens, f"{block}.ln_1") @ at[f"{block}.attn.in_proj_weight"].T
                                     + at[f"{block}.attn.in_proj_bias"], 3, axis=1)
        mixed = []
        for head in range(heads):
            part = slice(64 * head, 64 * head + 64)
            weights = np.exp(query[:, part] @ key[:, part].T / 8)
            mixed.append(weights / weights.sum(1, keepdims=True) @ value[:, part])
        tokens = tokens + (np.concatenate(mixed, 1) @ at[f"{block}.attn.out_proj.weight"].T
                           + at[f"{block}.attn.out_proj.bias"])
        hidden = norm(tokens, f"{block}.ln_2") @ at[f"{block}.mlp.c_fc.weight"].T + at[f"{block}.mlp.c_fc.bias"]
        tokens = tokens + ((hidden / (1 + np.exp(-1.702 * hidden))) @ at[f"{block}.mlp.c_proj.weight"].T
                           + at[f"{block}.mlp.c_proj.bias"])
    return norm(tokens, "ln_post")[0] @ at["proj"]


@pytest.mark.parametrize("num_frames", [8, 1])
def test_a_plain_derivation(state, clips, num_frames):
    network = network_of(state)
    with torch.no_grad():
        ours = network.encode_clips(clips[:, :num_frames]).numpy()
    derived = np.stack([derive(state, clip.double().numpy()) for clip in clips[:, :num_frames]])
    scale = np.abs(derived).max()
    assert np.abs(ours - derived).max() < 1e-5 * scale
    assert np.abs(derived[0] - derived[1]).max() > 0.01 * scale


# properties


def test_order_matters_when_times_are_embedded(state, clips):
    timeless = {**state, "vision_encoder.temporal_positional_embedding": torch.zeros(1, 8, 64)}
    for weights, matters in ((state, True), (timeless, False)):
        network = network_of(weights)
        with torch.no_grad():
            difference = (network.encode_clips(clips) - network.encode_clips(clips.flip(1))).abs().max().item()
            scale = network.encode_clips(clips).abs().max().item()
        assert (difference > 1e-3 * scale) is matters
        assert matters or difference < 1e-5 * scale


def test_a_still_picture_is_not_that_picture_eight_times(state, clips):
    network = network_of(state)
    with torch.no_grad():
        still = network.encode_clips(clips[:, :1])
        standing = network.encode_clips(clips[:, :1].expand(-1, 8, -1, -1, -1))
    assert (still - standing).abs().max() > 1e-3


def test_clips_do_not_see_each_other(state, clips):
    network = network_of(state)
    with torch.no_grad():
        assert torch.allclose(network.encode_clips(clips)[1:], network.encode_clips(clips[1:]), atol=1e-6)


@pytest.mark.parametrize("num_frames", [2, 7, 9])
def test_other_lengths_are_refused(state, clips, num_frames):
    with pytest.raises(ValueError, match=f"clips of 8 frames, or single ones, not {num_frames}"):
        network_of(state).encode_clips(clips[:, :1].expand(-1, num_frames, -1, -1, -1))


def test_no_gradients_and_evaluation_mode(state):
    network = network_of(state)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_lower_precision(state, clips, dtype):
    exact, lower = network_of(state), network_of(state)
    lower.lower_precision(dtype)
    kept = {name for name, value in lower.named_parameters() if value.dtype == torch.float32}
    assert all("ln_" in name or "embedding" in name or name == "temp" for name in kept)
    assert lower.vision_encoder.proj.dtype == lower.text_encoder.text_projection.dtype == dtype
    tokens = torch.tensor([[49406, 320, 1929, 49407] + [0] * 28])
    with torch.no_grad():
        for ours, theirs in ((lower.encode_clips(clips), exact.encode_clips(clips)),
                             (lower.encode_text(tokens), exact.encode_text(tokens))):
            assert ours.dtype == dtype
            assert torch.nn.functional.cosine_similarity(ours.float(), theirs).min() > 0.999


def test_texts_are_causal(state):
    network = network_of(state)
    tokens = torch.tensor([[49406, 320, 1929, 49407] + [0] * 28, [49406, 320, 1929, 49407] + [5] * 28])
    with torch.no_grad():
        first, second = network.encode_text(tokens)
    assert torch.equal(first, second), "nothing behind the end mark is read"


# sizes


@pytest.mark.parametrize(("name", "parameters", "tensors"), [("ViCLIP-L", 427_590_145, 447), ("ViCLIP-B", 149_603_841, 303)])
def test_published_sizes(name, parameters, tensors):
    with torch.device("meta"):
        network = ViCLIP(ARCHITECTURES[name])
    state = network.state_dict()
    assert sum(value.numel() for value in state.values()) == parameters
    assert len(state) == tensors
    assert infer(state, HERE) == ARCHITECTURES[name]
    assert name_of(ARCHITECTURES[name]) == name


def test_published_names_and_shapes():
    said = json.loads((Path(__file__).resolve().parents[2] / "golden" / "viclip_b_7.json").read_text())["keys"]
    with torch.device("meta"):
        network = ViCLIP(ARCHITECTURES["ViCLIP-B"])
    assert {key: list(value.shape) for key, value in network.state_dict().items()} == said


@pytest.mark.parametrize("change", [{}, {"num_frames": 16}, {"patch_size": 16}, {"vision_width": 128}, {"text_layers": 1},
                                    {"vision_layers": 4}, {"context_length": 20}, {"embed_dim": 5}, {"text_width": 128}])
def test_sizes_are_read_off_the_shapes(change):
    state = small_state(**change)
    assert asdict(infer(state, HERE)) == {**asdict(SMALL), **change}
    network = network_of(state)
    frames = change.get("num_frames", 8)
    with torch.no_grad():
        assert network.encode_clips(torch.zeros(1, frames, 3, 32, 32)).shape == (1, change.get("embed_dim", 32))


@pytest.mark.parametrize(("key", "shape", "message"), [
    ("vision_encoder.conv1.weight", (64, 3, 8, 8), r"in the shape \[64, 3, 8, 8\], where 5 numbers belong"),
    ("vision_encoder.positional_embedding", (16, 64), "for 15 cells, which is no square"),
    ("text_encoder.token_embedding.weight", (100, 64), "has 100 tokens, where the tokenizer has 49408"),
    ("vision_encoder.conv1.weight", (60, 3, 1, 8, 8), "has a vision tower 60 wide, which is no multiple of 64"),
])
def test_other_shapes_are_refused(state, key, shape, message):
    with pytest.raises(WeightsError, match=message):
        infer({**state, key: torch.zeros(shape)}, HERE)


# context


def test_context_grows_only_when_asked(state):
    with pytest.raises(ConfigError, match=r"context_length=77 is longer than the 32 tokens .*untrained_context=True"):
        with_context_length(state, 77)
    with pytest.raises(ConfigError, match="context_length=2"):
        with_context_length(state, 2)
    grown = with_context_length(state, 77, untrained=True)["text_encoder.positional_embedding"]
    assert grown.shape == (77, 64)
    assert torch.equal(grown[:32], state["text_encoder.positional_embedding"])
    assert not grown[32:].any()
    tokens = torch.tensor([[49406, 320, 1929, 49407] + [0] * 28])
    shorter = with_context_length(state, 16)
    with torch.no_grad():
        whole = network_of(state).encode_text(tokens)
        for weights, length in ((shorter, 16), (with_context_length(state, 77, untrained=True), 77)):
            again = network_of(weights).encode_text(torch.nn.functional.pad(tokens[:, :16], (0, length - 16)))
            assert torch.allclose(whole, again, atol=1e-6)
