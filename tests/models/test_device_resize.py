"""Preprocessing as on a GPU, here on the CPU: the same code, against PIL."""

import numpy as np
import pytest
import torch
from clipreel.models.base import PreprocessSpec
from clipreel.models.device_resize import preprocess_on_device, resizes_on_device
from clipreel.models.preprocess import preprocess_frames
from PIL import Image

MEAN, STD = (0.48, 0.45, 0.40), (0.26, 0.26, 0.27)
SIZES = [(720, 1280), (1080, 1920), (1280, 720), (240, 320), (64, 64), (37, 91), (900, 100), (100, 900), (1, 1), (33, 64), (64, 33)]


def pictures(height, width):
    """Noise, hard edges, and something smooth."""
    random = np.random.default_rng(height * width)
    rows, columns = np.arange(height)[:, None], np.arange(width)[None]
    edges = np.repeat(((rows // 3 + columns // 5) % 2 * 255).astype(np.uint8)[..., None], 3, axis=2)
    coarse = Image.fromarray(random.integers(0, 256, (4, 6, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
    return np.stack([random.integers(0, 256, (height, width, 3), dtype=np.uint8), edges, smooth])


@pytest.mark.parametrize("crop", ["center", "squash", "pad"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_within_a_grey_level_of_pil(height, width, interpolation, crop):
    spec, frames = PreprocessSpec(64, MEAN, STD, interpolation=interpolation, crop=crop), pictures(height, width)
    made = preprocess_on_device(torch.from_numpy(frames), spec)
    assert made.dtype == torch.uint8
    assert made.shape == (3, 3, 64, 64)
    difference = (made.int() - preprocess_frames(frames, spec).int()).abs()
    assert difference.max() <= 1
    if min(height, width) > 100:  # on hard edges, and where a picture grows, filters meet exact halves
        assert (difference[0] > 0).float().mean() < 0.005


def test_features_agree(tiny):
    frames = pictures(480, 854)
    ours = tiny.encode(preprocess_on_device(torch.from_numpy(frames), tiny.preprocess))
    theirs = tiny.encode(preprocess_frames(frames, tiny.preprocess))
    assert torch.cosine_similarity(ours, theirs).min() >= 0.9999


def test_what_must_come_to_the_cpu():
    assert resizes_on_device(720, 1280, PreprocessSpec(224, MEAN, STD))
    assert not resizes_on_device(720, 1280, PreprocessSpec(224, MEAN, STD, backend="pil"))
    assert not resizes_on_device(720, 1280, PreprocessSpec(224, MEAN, STD, interpolation="opencv_bilinear"))
    assert not resizes_on_device(1, 4000, PreprocessSpec(224, MEAN, STD))


@pytest.mark.needs_cuda
def test_a_gpu_agrees_with_the_cpu():
    spec, frames = PreprocessSpec(224, MEAN, STD), pictures(720, 1280)
    on_gpu = preprocess_on_device(torch.from_numpy(frames).cuda(), spec)
    assert on_gpu.device.type == "cuda"
    assert (on_gpu.cpu().int() - preprocess_frames(frames, spec).int()).abs().max() <= 1
