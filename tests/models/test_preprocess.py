"""Preprocessing against PIL and torchvision, picture by picture."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from clipreel.models.base import PreprocessSpec
from clipreel.models.preprocess import LONGEST_IN_SQUARES, normalize, preprocess_frames, resized_height_width
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import CenterCrop, InterpolationMode, Resize

MEAN, STD = (0.48, 0.45, 0.40), (0.26, 0.26, 0.27)
PIL_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


def spec(size: int, **changes) -> PreprocessSpec:
    return PreprocessSpec(size, MEAN, STD, **changes)


def picture(kind: str, height: int, width: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    if kind == "noise":
        return generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
    if kind == "blocks":  # hard edges at even distances, where filters meet exact halves
        rows, columns = np.arange(height)[:, None], np.arange(width)[None]
        lit = (rows // (1 + seed % 5) + columns // (1 + seed // 5 % 4)) % 2
        return np.repeat((lit * 255).astype(np.uint8)[..., None], 3, axis=2)
    if kind == "black and white":
        return (generator.integers(0, 2, (height, width, 3)) * 255).astype(np.uint8)
    coarse = generator.integers(0, 256, (max(1, height // 12), max(1, width // 12), 3), dtype=np.uint8)
    return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def reference(frame: np.ndarray, wanted: PreprocessSpec) -> np.ndarray:
    """By the definition, with whole pictures and the installed PIL alone: [S, S, 3]."""
    size = wanted.image_size
    height, width = resized_height_width(frame.shape[0], frame.shape[1], wanted)
    resample = PIL_FILTERS[wanted.interpolation]
    image = Image.fromarray(frame).resize((width, height), resample)
    if wanted.crop == "pad":
        canvas = Image.new("RGB", (size, size))
        canvas.paste(image, ((size - width) // 2, (size - height) // 2))
        return np.asarray(canvas)
    return np.asarray(CenterCrop(size)(image))


def difference(frame: np.ndarray, wanted: PreprocessSpec) -> int:
    ours = preprocess_frames(frame, wanted)[0].permute(1, 2, 0).numpy()
    return int(np.abs(ours.astype(int) - reference(frame, wanted)).max())


def lengths() -> st.SearchStrategy[int]:
    """1 to 1000, as many small as large."""
    return st.floats(0, 3).map(lambda power: round(10**power))


@settings(max_examples=150, deadline=None)
@given(
    height=lengths(), width=lengths(), size=st.sampled_from([31, 64, 224]),
    kind=st.sampled_from(["noise", "black and white", "blocks", "smooth"]), crop=st.sampled_from(["center", "squash", "pad"]),
    interpolation=st.sampled_from(["bicubic", "bilinear"]), seed=st.integers(0, 99),
)
@example(1, 1, 224, "noise", "center", "bicubic", 0)
@example(1, 700, 64, "noise", "center", "bicubic", 0)
@example(700, 1, 64, "noise", "pad", "bicubic", 0)
@example(333, 449, 224, "black and white", "center", "bicubic", 0)
@example(700, 90, 31, "black and white", "center", "bicubic", 0)  # Pillow 13 takes its columns first: 30 levels
@example(33, 2, 31, "noise", "center", "bicubic", 0)
@example(62, 31, 31, "noise", "pad", "bicubic", 0)
@example(1280, 720, 224, "noise", "squash", "bicubic", 0)
@example(448, 448, 224, "black and white", "squash", "bicubic", 0)
def test_is_pil_to_the_bit(height, width, size, kind, crop, interpolation, seed):
    wanted = spec(size, crop=crop, interpolation=interpolation)
    strip = max(height, width) > LONGEST_IN_SQUARES * min(height, width)
    assert difference(picture(kind, height, width, seed), wanted) <= (2 if strip else 0)


@pytest.mark.parametrize("kind", ["noise", "black and white", "blocks", "smooth"])
@pytest.mark.parametrize(("height", "width"), [(720, 1280), (1080, 1920), (1280, 720), (240, 320), (225, 225), (453, 999)])
def test_video_sizes_are_pil_to_the_bit(kind, height, width):
    assert difference(picture(kind, height, width), spec(224)) == 0


@pytest.mark.parametrize(("height", "width"), [(240, 320), (480, 853), (97, 131), (1, 1), (300, 300), (720, 1281)])
@pytest.mark.parametrize("backend", ["tensor", "pil"])
def test_is_torchvision_on_pil_pictures_to_the_bit(height, width, backend):
    frame = picture("noise", height, width)
    theirs = CenterCrop(64)(Resize(64, interpolation=InterpolationMode.BICUBIC)(Image.fromarray(frame)))
    ours = preprocess_frames(frame, spec(64, backend=backend))[0].permute(1, 2, 0).numpy()
    assert np.array_equal(ours, np.asarray(theirs))


@pytest.mark.parametrize(("height", "width"), [(3, 800), (800, 3), (1, 300), (10, 2700)])
@pytest.mark.parametrize("backend", ["tensor", "pil"])
def test_very_long_frames_are_the_crop_of_the_whole(height, width, backend):
    wanted = spec(32, backend=backend)
    assert max(height, width) / min(height, width) > LONGEST_IN_SQUARES
    assert difference(picture("noise", height, width), wanted) <= 2


@pytest.mark.parametrize("shape", [(1, 4000), (4000, 1), (2, 9000)])
def test_absurdly_long_frames_take_little_memory(shape):
    tracemalloc.start()
    try:
        assert preprocess_frames(picture("noise", *shape), spec(224)).shape == (1, 3, 224, 224)
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


def test_batch_is_its_frames():
    frames = np.stack([picture("noise", 500, 700, seed) for seed in range(3)])
    together = preprocess_frames(frames, spec(224))
    assert together.dtype == torch.uint8
    assert together.is_contiguous()
    assert torch.equal(together, torch.cat([preprocess_frames(frame, spec(224)) for frame in frames]))


def test_any_memory_layout():
    frame = picture("noise", 600, 800)
    expected = preprocess_frames(np.ascontiguousarray(frame[::-1, ::2]), spec(64))
    assert torch.equal(preprocess_frames(frame[::-1, ::2], spec(64)), expected)
    read_only = np.ascontiguousarray(frame[::-1, ::2])
    read_only.flags.writeable = False
    assert torch.equal(preprocess_frames(read_only, spec(64)), expected)


def test_pad_is_black_and_centred():
    square = preprocess_frames(np.full((10, 40, 3), 200, np.uint8), spec(80, crop="pad"))[0, 0]  # [80, 80]
    assert (square[30:50] == 200).all()
    assert (square[:30] == 0).all()
    assert (square[50:] == 0).all()


def test_no_frames():
    assert preprocess_frames(np.empty((0, 20, 30, 3), np.uint8), spec(16)).shape == (0, 3, 16, 16)


@pytest.mark.parametrize("frames", [np.zeros((8, 8, 3)), np.zeros((8, 8), np.uint8), np.zeros((3, 8, 8), np.uint8),
                                    np.zeros((0, 8, 3), np.uint8)])
def test_other_arrays_are_refused(frames):
    with pytest.raises(ValueError, match="uint8 RGB"):
        preprocess_frames(frames, spec(16))


def test_normalize_is_torchvision():
    from torchvision.transforms import Compose, Normalize, ToTensor

    frame = picture("noise", 32, 32)
    theirs = torch.as_tensor(Compose([ToTensor(), Normalize(MEAN, STD)])(frame))
    ours = normalize(preprocess_frames(frame, spec(32)), spec(32), torch.float32)[0]
    assert torch.allclose(ours, theirs, atol=1e-6)
    assert normalize(preprocess_frames(frame, spec(32)), spec(32), torch.bfloat16).dtype == torch.bfloat16
