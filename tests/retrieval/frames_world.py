"""A small drawn world with folders of JPEGs, for tests of training from frames; made once a session."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from clipreel import frames_at
from clipreel.models.adaclip.checkpoint import load_checkpoint, load_training_state
from clipreel.retrieval.continuation import LAST
from clipreel.sample.events import draw_world, write_world
from PIL import Image

N, K = 4, 2


def make_frames_world(folder: Path) -> Path:
    """24 videos: annotations, the files, and folders of JPEGs of the same frames."""
    for _ in write_world(folder, draw_world(16, 8, 5)):
        pass
    for path in sorted((folder / "videos").iterdir()):
        target = folder / "frames" / path.stem
        target.mkdir(parents=True)
        for number, pixels in enumerate(frames_at(path, np.arange(16) * 500.0).pixels):
            Image.fromarray(pixels).save(target / f"image_{number + 1:05d}.jpg", quality=95)
    return folder


def keys(world: Path, output: Path, **changes: Any) -> dict[str, Any]:
    """Of a small training into `output`."""
    values = {"frames_dir": world / "frames", "annotations": world, "model_name": "tiny", "num_frm": N, "top_k": K,
              "frame_agg": "mlp", "hidden_dim": 32, "mlp_hidden_dim": 32, "batch_size": 4, "device": "cpu", "seed": 3,
              "learning_rate": 1e-3, "coef_lr": 1e-2, "num_epochs": 2, "texts": world, "output_path": output, **changes}
    return {name: value for name, value in values.items() if value is not None}


def states(run: Any, name: str = LAST) -> dict[str, torch.Tensor]:
    """Weights of the model and of what stands before it."""
    found = load_checkpoint(run.folder / name)
    return {**found.model.state_dict(), **found.clip_state}


def training_tensors(run: Any) -> dict[str, torch.Tensor]:
    """Of the optimizer, as they are kept to go on from."""
    found = load_training_state(run.folder / LAST)
    assert found is not None
    return found.tensors
