"""ViCLIP-B at its true size against what the original program gave (tests/golden/viclip_b_7)."""

import json
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clipreel.models.preprocess import normalize, preprocess_frames
from clipreel.models.registry import load_encoder

GOLDEN = Path(__file__).resolve().parents[2] / "golden"


@pytest.fixture(scope="session")
def said():
    return json.loads((GOLDEN / "viclip_b_7.json").read_text())


@pytest.fixture(scope="session")
def published_b(said, tmp_path_factory):
    """A checkpoint of the weights that the original was given: drawn from the names of the tensors."""
    state = {}
    for key, shape in said["keys"].items():
        drawn = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape, dtype=np.float64).astype(np.float32)
        drawn *= np.float32(0.02)
        state[key] = torch.from_numpy(drawn + 1 if len(shape) == 1 and key.endswith("weight") else drawn)
    state["temp"] = torch.tensor(0.01)
    path = tmp_path_factory.mktemp("golden") / "ViCLIP-B.pth"
    torch.save({"model": state}, path)
    yield path
    path.unlink()


def test_equal_to_the_original(said, published_b):
    expected = np.load(GOLDEN / "viclip_b_7.npz")
    began = time.monotonic()
    encoder: Any = load_encoder("viclip", "ViCLIP-B", checkpoint=str(published_b), recipe="demo", precision="float32", device="cpu")
    cells = np.random.default_rng(said["frames_seed"]).integers(0, 256, (said["n"], 3, 4, 3), dtype=np.uint8)
    frames = cells.repeat(24, axis=1).repeat(24, axis=2)  # [12, 72, 96, 3]
    crops = preprocess_frames(frames[encoder.choose_frames(len(frames))], encoder.preprocess)  # [8, 3, 224, 224]
    pixels = normalize(crops, encoder.preprocess, torch.float32).double()
    assert [pixels.mean().item(), pixels.std(correction=0).item()] == pytest.approx(expected["tensor_mean"], abs=1e-5)
    assert np.abs(pixels[:, :, :2, :3].numpy() - expected["tensor_corner"]).max() <= 1e-5

    video = torch.nn.functional.normalize(encoder.encode(crops[None]))  # [1, 512]
    texts = torch.nn.functional.normalize(encoder.encode_text(said["texts"]))  # [4, 512]
    assert np.abs(video.numpy() - expected["video"]).max() <= 1e-4
    assert np.abs(texts.numpy() - expected["text"]).max() <= 1e-4
    probabilities, order = (encoder.logit_scale * video @ texts.T).softmax(-1).sort(descending=True)
    assert np.abs(probabilities.numpy() - expected["probs"]).max() <= 1e-4
    assert (order.numpy() == expected["order"]).all()
    assert time.monotonic() - began < 40, "a clip of ViCLIP-B takes seconds on two cores"
