"""Small ViCLIPs with random weights, for the tests of everything that has to do with windows of frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from clipreel.models.viclip.architecture import Architecture
from clipreel.models.viclip.network import ViCLIP

SMALL = Architecture(embed_dim=32, image_size=32, patch_size=8, num_frames=8, vision_width=64, vision_layers=2,
                     context_length=32, text_width=64, text_layers=2)


def small_state(seed: int = 7, **changes: int) -> dict[str, torch.Tensor]:
    """Random weights of a small ViCLIP, every parameter of it drawn, norms not the identity."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, value in ViCLIP(replace(SMALL, **changes)).state_dict().items():
        drawn = torch.randn(value.shape, generator=generator) * (0.02 if "token_embedding" in name else 0.1)
        # wide norms: else every clip's features are nearly the same
        state[name] = drawn + 1 if "ln_" in name and name.endswith("weight") else drawn
    state["temp"] = torch.tensor(0.01)
    return state


def write_small(path: Path, seed: int = 7) -> Path:
    """A checkpoint as the published ones are: everything under 'model'."""
    torch.save({"model": small_state(seed)}, path)
    return path
