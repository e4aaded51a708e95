"""Draws a script's frames: an antialiased shape on a textured background, among grey distractors, under light noise.

Everything that a scene leaves open (texture, distractors, the shape's exact hue, place, scale and turn) follows from
the script's seed and the scene's number, so a frame is the same whenever and wherever it is drawn.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from PIL import Image

from .scene import FORMS, Colour, Form, Pose, Scene, VideoScript

HUES_DEGREES: dict[Colour, float] = {"red": 0, "yellow": 54, "green": 124, "cyan": 184, "blue": 228, "purple": 288}
HUE_JITTER_DEGREES = 7.0
PLACE_JITTER = 0.04  # of the central square's side; smaller than the gap between two places' clear zones
SCALE_JITTER = 0.07
TURN_JITTER_DEGREES = 8.0
NOISE_LEVELS = 2.0  # standard deviation of each frame's own noise, in grey levels of 255


def draw_frame(script: VideoScript, seconds: float) -> np.ndarray:
    """The frame on screen at `seconds`: uint8 RGB [height, width, 3]."""
    number = script.scene_number(seconds)
    canvas = _backdrop(script.seed, number, script.width, script.height).copy()
    _paint_shape(canvas, script.scenes[number], seconds, np.random.default_rng([script.seed, number, 1]))
    noise = np.random.default_rng([script.seed, round(seconds * 1e6), 2])
    canvas += NOISE_LEVELS * noise.standard_normal((script.height, script.width, 1), np.float32)
    return np.clip(canvas + 0.5, 0, 255).astype(np.uint8)


def draw_frames(script: VideoScript) -> Iterator[np.ndarray]:
    """All frames in order, at 0, 1/fps, 2/fps …: uint8 RGB [height, width, 3] each."""
    for number in range(script.frame_count):
        yield draw_frame(script, float(number / script.fps))


def _paint_shape(canvas: np.ndarray, scene: Scene, seconds: float, generator: np.random.Generator) -> None:
    pose = scene.pose(seconds)
    if scene.shape is None or pose is None:
        return
    shift_x, shift_y, scale, hue, turn = generator.uniform(-1, 1, 5)
    saturation, value = generator.uniform(0.75, 1.0, 2)
    degrees = HUES_DEGREES[scene.shape.colour] + HUE_JITTER_DEGREES * hue
    colour = np.array(colorsys.hsv_to_rgb(degrees % 360 / 360, saturation, value)) * 255
    x, y = pose.x + PLACE_JITTER * shift_x, pose.y + PLACE_JITTER * shift_y
    radius = pose.radius * (1 + SCALE_JITTER * scale)
    _paint(canvas, scene.shape.shape, Pose(x, y, radius), np.radians(TURN_JITTER_DEGREES) * turn, colour)


def _paint(canvas: np.ndarray, form: Form, pose: Pose, turn: float, colour: np.ndarray, opacity: float = 1.0) -> None:
    """Paints one form over a float32 RGB canvas [height, width, 3], in place."""
    height, width, _ = canvas.shape
    side = min(height, width)
    centre_x, centre_y = (width - side) / 2 + pose.x * side, (height - side) / 2 + pose.y * side
    reach = int(np.ceil(1.5 * pose.radius * side)) + 1
    top, bottom = max(0, int(centre_y) - reach), min(height, int(centre_y) + reach + 1)
    left, right = max(0, int(centre_x) - reach), min(width, int(centre_x) + reach + 1)
    if top >= bottom or left >= right:
        return
    across = np.arange(left, right, dtype=np.float32)[None] + 0.5 - centre_x
    down = np.arange(top, bottom, dtype=np.float32)[:, None] + 0.5 - centre_y
    x = np.cos(turn) * across - np.sin(turn) * down
    y = np.sin(turn) * across + np.cos(turn) * down
    distance_pixels = _distance(form, x, y, pose.radius * side)
    cover = np.clip(0.5 - distance_pixels, 0, 1)[..., None] * opacity  # one pixel of slope: antialiased
    patch = canvas[top:bottom, left:right]
    patch += cover.astype(np.float32) * (colour.astype(np.float32) - patch)


def _distance(form: Form, x: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
    """How far each point lies outside the form (negative inside), in the unit of x and y; forms look equally large."""
    if form == "circle":
        return np.hypot(x, y) - radius
    if form == "ring":
        return np.abs(np.hypot(x, y) - 0.75 * radius) - 0.25 * radius
    if form == "square":
        return np.maximum(np.abs(x), np.abs(y)) - 0.89 * radius
    # An upright triangle with equal sides; its centre of mass is at the origin.
    return np.maximum(y, np.sqrt(0.75) * np.abs(x) - 0.5 * y) - 0.62 * radius


@lru_cache(maxsize=4)
def _backdrop(seed: int, scene_number: int, width: int, height: int) -> np.ndarray:
    """A scene's background with its distractors: float32 RGB [height, width, 3]; not to be written to."""
    generator = np.random.default_rng([seed, scene_number, 0])
    side = min(width, height)
    grey = np.full((height, width), generator.uniform(60, 190), np.float32)
    for cells in (3, 8, 20):  # clouds: coarse, middle and fine
        rows, columns = cells * height // side + 2, cells * width // side + 2
        knots = Image.fromarray(generator.standard_normal((rows, columns)).astype(np.float32))
        strength = generator.uniform(2, 14)
        grey += strength * np.asarray(knots.resize((width, height), Image.Resampling.BICUBIC))
    if generator.random() < 0.5:  # stripes at any angle
        angle, cycles, phase = generator.uniform(0, np.pi), generator.uniform(3, 12), generator.uniform(0, 2 * np.pi)
        down, across = np.mgrid[:height, :width].astype(np.float32) / side
        waves = np.sin(2 * np.pi * cycles * (np.cos(angle) * across + np.sin(angle) * down) + phase)
        grey += generator.uniform(4, 14) * waves
    tint = generator.uniform(-10, 10, 3).astype(np.float32)
    canvas = grey[..., None] + tint
    for _ in range(generator.integers(3, 8)):
        form = FORMS[generator.integers(len(FORMS))]
        reach_x, reach_y = 0.5 * width / side, 0.5 * height / side
        x, y = 0.5 + generator.uniform(-reach_x, reach_x), 0.5 + generator.uniform(-reach_y, reach_y)
        level = np.full(3, generator.uniform(20, 235))
        pose = Pose(x, y, generator.uniform(0.03, 0.09))
        _paint(canvas, form, pose, generator.uniform(0, 2 * np.pi), level, generator.uniform(0.5, 1))
    return canvas
