"""Recipes: which frames, and how they are resized."""

from itertools import pairwise

import numpy as np
import pytest
from clipreel.models.base import PreprocessSpec
from clipreel.models.opencv_resize import resize_as_opencv
from clipreel.models.preprocess import preprocess_frames
from clipreel.models.viclip.recipes import MEAN, RECIPES, STD


@pytest.mark.parametrize(("count", "demo", "train"), [
    (1, [0] * 8, [0] * 8),
    (3, [0, 1, 2, 2, 2, 2, 2, 2], [0, 1, 2, 2, 2, 2, 2, 2]),
    (7, [0, 1, 2, 3, 4, 5, 6, 6], [0, 1, 2, 3, 4, 5, 6, 6]),
    (8, [0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3, 4, 5, 6, 7]),
    (12, [0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 3, 4, 6, 7, 9, 10]),
    (15, [0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 3, 5, 7, 9, 11, 13]),
    (16, [0, 2, 4, 6, 8, 10, 12, 14], [0, 2, 4, 6, 8, 10, 12, 14]),
    (23, [0, 2, 4, 6, 8, 10, 12, 14], [0, 3, 6, 9, 12, 15, 18, 21]),
    (32, [0, 4, 8, 12, 16, 20, 24, 28], [1, 5, 9, 13, 17, 21, 25, 29]),
])
def test_frames(count, demo, train):
    for name, expected in (("demo", demo), ("train", train)):
        chosen = RECIPES[name].choose_frames(count, 8)
        assert chosen.tolist() == expected
        assert np.issubdtype(chosen.dtype, np.int64)


@pytest.mark.parametrize("wanted", [1, 8, 16])
def test_the_middles_are_those_of_the_original_rule(wanted):
    """As it is written there: bounds by linspace, cut to whole numbers; the last repeats."""
    for count in range(1, 400):
        parts = min(count, wanted)
        bounds = np.linspace(0, count, parts + 1).astype(int)
        middles = [(begin + end - 1) // 2 for begin, end in pairwise(bounds)]
        middles += [middles[-1]] * (wanted - parts)
        assert RECIPES["train"].choose_frames(count, wanted).tolist() == middles


@pytest.mark.parametrize("count", [0, -1])
@pytest.mark.parametrize("recipe", RECIPES)
def test_no_frame(count, recipe):
    with pytest.raises(ValueError, match="one frame at least"):
        RECIPES[recipe].choose_frames(count, 8)


@pytest.mark.parametrize("kind", ["noise", "smooth"])
@pytest.mark.parametrize("size", [(72, 96), (720, 1280), (448, 448), (448, 800), (112, 112), (224, 400), (333, 517),
                                  (1, 5), (5, 1), (1, 1), (225, 223), (2000, 3), (1920, 1080)], ids=str)
def test_opencv_to_the_bit(size, kind):
    cv2 = pytest.importorskip("cv2")
    height, width = size
    frames = np.random.default_rng(5).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    if kind == "smooth":
        frames = np.sort(np.sort(frames, axis=1), axis=2)
    for new in ((224, 224), (100, 37)):
        theirs = np.stack([cv2.resize(frame, (new[1], new[0]), interpolation=cv2.INTER_LINEAR) for frame in frames])
        assert (resize_as_opencv(frames, *new) == theirs).all()


def test_opencv_arithmetic_without_opencv():
    """By hand: three columns to two lie at 0.25 and 1.75; three rows to one at 1."""
    row = np.array([0, 100, 200], dtype=np.uint8)
    frames = np.broadcast_to(row[None, None, :, None], (1, 3, 3, 3))
    assert resize_as_opencv(frames, 1, 2)[0, 0, :, 0].tolist() == [25, 175]
    assert resize_as_opencv(frames, 3, 3).tolist() == frames.tolist()


def test_the_demonstration_aliases_and_the_default_does_not():
    """OpenCV mixes four pixels, however far apart: stripes of one pixel become stripes or nothing by chance."""
    stripes = np.zeros((1, 896, 896, 3), np.uint8)
    stripes[:, :, 2::4] = 255
    demo = PreprocessSpec(224, MEAN, STD, interpolation=RECIPES["demo"].interpolation, crop="squash")
    train = PreprocessSpec(224, MEAN, STD, interpolation=RECIPES["train"].interpolation, crop="squash")
    assert abs(preprocess_frames(stripes, train).float().mean().item() - 64) < 2
    assert abs(preprocess_frames(stripes, demo).float().mean().item() - 64) > 50


@pytest.mark.parametrize("recipe", RECIPES)
def test_aspect_is_squashed(recipe, pictures):
    spec = PreprocessSpec(64, MEAN, STD, interpolation=RECIPES[recipe].interpolation, crop="squash")
    crops = preprocess_frames(pictures, spec)
    assert crops.shape == (4, 3, 64, 64)
    left, right = pictures[0][:, :20].mean(), pictures[0][:, -20:].mean()
    assert crops[0, :, :, :4].float().mean() == pytest.approx(left, abs=6)
    assert crops[0, :, :, -4:].float().mean() == pytest.approx(right, abs=6)
