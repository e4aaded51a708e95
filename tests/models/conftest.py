"""Models for the tests: small ones of every family, and random weights at true architectures."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
import torch
from clipreel.models.clip.architecture import ARCHITECTURES, Architecture, import_clip
from clipreel.tests.viclip_small import write_small
from safetensors.torch import save_file

StateDict = dict[str, torch.Tensor]

SMALL_RESNET = Architecture(64, 64, (1, 1, 1, 1), 16, None, 77, 49408, 64, 1, 3)
SMALL_VIT = Architecture(32, 64, 2, 64, 16, 77, 49408, 64, 1, 2)
SMALL_OPEN_CLIP = {
    "model_cfg": {
        "embed_dim": 32,
        "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "patch_size": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2},
    },
    "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "interpolation": "bilinear",
                       "resize_mode": "longest"},
}


@contextmanager
def undrawn() -> Iterator[None]:
    """Networks that are built here are given their weights later: drawing any before takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("normal_", "uniform_", "trunc_normal_", "kaiming_uniform_", "kaiming_normal_", "xavier_uniform_"):
            patch.setattr(torch.nn.init, name, lambda tensor, *_, **__: tensor)
        yield


def random_clip(architecture: Architecture) -> StateDict:
    """Weights that float16 holds exactly (as OpenAI's are), with norms that are not the identity."""
    import_clip()
    from clip.model import CLIP

    torch.manual_seed(7)
    network = CLIP(*astuple(architecture))  # pyright: ignore[reportArgumentType]
    state = dict(network.state_dict())
    for key, value in state.items():
        if key.endswith("running_var"):
            value.uniform_(0.2, 0.5)  # about what random convolutions give: else every picture's features are the same
        elif key.endswith(("running_mean", ".bias")):
            value.normal_(std=0.05)
        elif value.ndim == 1 and ("bn" in key or "ln_" in key):
            value.uniform_(0.5, 1.5)
        if value.is_floating_point():
            value.copy_(value.half())
    return state


@pytest.fixture(scope="session")
def clip_state() -> Callable[[str], StateDict]:
    """Random weights of one of the nine, made once."""
    made: dict[str, StateDict] = {}

    def get(name: str) -> StateDict:
        if name not in made:
            made[name] = random_clip(ARCHITECTURES[name])
        return dict(made[name])

    return get


@pytest.fixture(scope="session")
def small_state() -> StateDict:
    return random_clip(SMALL_VIT)


@pytest.fixture(scope="session")
def small_files(tmp_path_factory: pytest.TempPathFactory, small_state: StateDict) -> dict[str, Path]:
    """A ViT and a ResNet as OpenAI builds them, an open_clip folder, and a ViCLIP."""
    import open_clip

    folder = tmp_path_factory.mktemp("small")
    save_file(small_state, folder / "vit.safetensors")
    torch.save(random_clip(SMALL_RESNET), folder / "resnet.pt")
    local = folder / "open_clip"
    local.mkdir()
    (local / "open_clip_config.json").write_text(json.dumps(SMALL_OPEN_CLIP))
    torch.manual_seed(7)
    config = SMALL_OPEN_CLIP["model_cfg"]
    network = open_clip.CLIP(config["embed_dim"], config["vision_cfg"], config["text_cfg"])
    save_file(network.state_dict(), local / "open_clip_model.safetensors")
    return {"vit": folder / "vit.safetensors", "resnet": folder / "resnet.pt", "open_clip": local,
            "viclip": write_small(folder / "viclip.pth")}


@pytest.fixture(scope="session")
def pictures() -> np.ndarray:
    """Four wide frames with large and small structure, uint8 RGB [4, 180, 320, 3]."""
    generator = np.random.default_rng(3)
    y, x = np.mgrid[0:180, 0:320]
    waves = [np.sin(x / (7 + 9 * i) + c) * np.cos(y / (5 + 11 * i) - c) for i in range(4) for c in range(3)]
    smooth = np.stack(waves).reshape(4, 3, 180, 320).transpose(0, 2, 3, 1) * 100 + 128  # [4, 180, 320, 3]
    return np.clip(smooth + generator.normal(0, 12, smooth.shape), 0, 255).astype(np.uint8)
