"""Single labelled frames of the demonstration world, as the model sees them; training and unseen draws never meet."""

from __future__ import annotations

import io
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from PIL import Image

from .caption import Description, describe, full_descriptions, seen_at
from .draw import draw_frame
from .scene import COLOURS, FORMS, MOTIONS, PLACES, SIZES, Scene, Shape, VideoScript

# Every example follows from one number alone. Scripts of videos take seeds below a million.
TRAINING_SEEDS = range(1_000_000, 2_000_000)
UNSEEN_SEEDS = range(2_000_000, 3_000_000)

IMAGE_SIZE = 64

# 20 of the 240 combinations, never a target in training, neither drawn nor said in full: each shape with each place
# once, each size ten times, each colour three or four times.
HELD_OUT: tuple[Shape, ...] = (
    Shape("red", "circle", "small", "left"),
    Shape("yellow", "square", "large", "right"),
    Shape("green", "triangle", "small", "top"),
    Shape("cyan", "ring", "large", "bottom"),
    Shape("blue", "circle", "small", "middle"),
    Shape("purple", "square", "large", "left"),
    Shape("yellow", "triangle", "small", "right"),
    Shape("green", "ring", "large", "top"),
    Shape("cyan", "circle", "small", "bottom"),
    Shape("blue", "square", "large", "middle"),
    Shape("purple", "triangle", "large", "left"),
    Shape("red", "ring", "small", "right"),
    Shape("cyan", "circle", "large", "top"),
    Shape("green", "square", "small", "bottom"),
    Shape("yellow", "triangle", "large", "middle"),
    Shape("blue", "ring", "small", "left"),
    Shape("purple", "circle", "large", "right"),
    Shape("red", "square", "small", "top"),
    Shape("blue", "triangle", "large", "bottom"),
    Shape("cyan", "ring", "small", "middle"),
)


@dataclass(frozen=True)
class Example:
    """A frame after the preprocessing's resize and crop, uint8 RGB [64, 64, 3], and what it shows (None: empty)."""

    frame: np.ndarray
    seen: Description | None


def held_out_descriptions() -> list[Description]:
    """The 20 combinations that training never shows."""
    return [describe(shape) for shape in HELD_OUT]


def training_descriptions() -> list[Description]:
    """The other 220."""
    held_out = set(held_out_descriptions())
    return [description for description in full_descriptions() if description not in held_out]


def training_example(seed: int) -> Example:
    """What training draws for one of TRAINING_SEEDS: mostly still shapes, some on their way, some empty scenes."""
    generator = np.random.default_rng(seed)
    script, seconds = training_script(generator, seed)
    return Example(_as_the_model_sees(draw_frame(script, seconds), generator), seen_at(script.scenes[0], seconds))


def unseen_example(seed: int, shape: Shape | None) -> Example:
    """A still shape (or an empty scene) as asked for, with everything else drawn from one of UNSEEN_SEEDS."""
    generator = np.random.default_rng(seed)
    script = _script(generator, Scene(shape, 0.0, 1.0), seed)
    return Example(_as_the_model_sees(draw_frame(script, 0.5), generator), seen_at(script.scenes[0], 0.5))


def training_script(generator: np.random.Generator, seed: int) -> tuple[VideoScript, float]:
    """One scene and the instant of it that is drawn, never one that shows, or nearly shows, a held-out combination."""
    held_out = held_out_descriptions()
    while True:
        shape = Shape(*(_pick(generator, values) for values in (COLOURS, FORMS, SIZES, PLACES)))
        kind = generator.random()
        motion = _pick(generator, MOTIONS) if kind < 0.3 else "still"
        scene = Scene(None if kind > 0.95 else shape, 0.0, 1.0, motion)
        seconds = generator.uniform(0, 1)
        seen = seen_at(scene, seconds)
        # Between two places or sizes a combination is unclear, and its jitter might make it clear: not drawn either.
        if seen is None or all(combination.is_true_of(seen) is False for combination in held_out):
            return _script(generator, scene, seed), seconds


def _pick(generator: np.random.Generator, values: tuple):
    return values[generator.integers(len(values))]


def _script(generator: np.random.Generator, scene: Scene, seed: int) -> VideoScript:
    short_side = 2 * int(generator.integers(48, 121))
    long_side = 2 * round(short_side * _pick(generator, (1.0, 1.0, 4 / 3, 16 / 9)) / 2)
    sides = (long_side, short_side) if generator.random() < 0.8 else (short_side, long_side)
    return VideoScript((scene,), *sides, Fraction(25), seed)


def _as_the_model_sees(frame: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Half of the frames go through JPEG (its losses are those of a codec's keyframes); then resize and crop."""
    picture = Image.fromarray(frame)
    if generator.random() < 0.5:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=int(generator.integers(30, 96)))
        picture = Image.open(file)
    width, height = picture.size
    scale = IMAGE_SIZE / min(width, height)
    width, height = round(width * scale), round(height * scale)
    picture = picture.resize((width, height), Image.Resampling.BICUBIC)  # PIL's bicubic is antialiased
    left, top = (width - IMAGE_SIZE) // 2, (height - IMAGE_SIZE) // 2
    return np.asarray(picture.crop((left, top, left + IMAGE_SIZE, top + IMAGE_SIZE)))
