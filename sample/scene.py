"""What the demonstration world shows: one coloured shape at a time, in scenes that follow each other.

Places are meant inside the picture's central square, the part that CLIP's preprocessing keeps: x and y run from 0
(left, top) to 1 (right, bottom) of that square, whatever the picture's width and height. Radii are parts of its side.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, get_args

Colour = Literal["red", "yellow", "green", "cyan", "blue", "purple"]
Form = Literal["circle", "square", "triangle", "ring"]
Size = Literal["small", "large"]
Place = Literal["left", "right", "top", "bottom", "middle"]
Motion = Literal["still", "left to right", "right to left", "rising", "falling", "growing", "shrinking"]

COLOURS: tuple[Colour, ...] = get_args(Colour)
FORMS: tuple[Form, ...] = get_args(Form)
SIZES: tuple[Size, ...] = get_args(Size)
PLACES: tuple[Place, ...] = get_args(Place)
MOTIONS: tuple[Motion, ...] = get_args(Motion)

ANCHORS: dict[Place, tuple[float, float]] = {
    "left": (0.22, 0.5), "right": (0.78, 0.5), "top": (0.5, 0.22), "bottom": (0.5, 0.78), "middle": (0.5, 0.5),
}
RADII: dict[Size, float] = {"small": 0.095, "large": 0.19}
CLEAR_DISTANCE = 0.1  # a shape is at a place while both coordinates are this near to its anchor; anchors are 0.28 apart
CLEAR_RATIO = 1.2  # a shape is small or large while its radius is within this factor of that size's


@dataclass(frozen=True)
class Shape:
    """One combination of the four factors that a single picture can show."""

    colour: Colour
    shape: Form
    size: Size
    place: Place


@dataclass(frozen=True)
class Pose:
    """Where a shape is at one instant, and how large."""

    x: float
    y: float
    radius: float

    @property
    def place(self) -> Place | None:
        """The place that this is clearly at, or None between places."""
        for place, (x, y) in ANCHORS.items():
            if max(abs(self.x - x), abs(self.y - y)) <= CLEAR_DISTANCE:
                return place
        return None

    @property
    def size(self) -> Size | None:
        """The size that this clearly has, or None between sizes."""
        for size, radius in RADII.items():
            if 1 / CLEAR_RATIO <= self.radius / radius <= CLEAR_RATIO:
                return size
        return None


@dataclass(frozen=True)
class Scene:
    """A shape (or none: background and distractors only) for a while: the half-open span [start, start + duration).

    A motion overrides one factor and keeps the others: left to right and right to left cross the square at the height
    of the shape's place, rising and falling at its side; growing and shrinking pass between the sizes at its place.
    Motions are even, so a scene's duration sets the speed.
    """

    shape: Shape | None
    start_seconds: float
    duration_seconds: float
    motion: Motion = "still"

    @property
    def end_seconds(self) -> float:
        return self.start_seconds + self.duration_seconds

    def pose(self, seconds: float) -> Pose | None:
        """Where the shape is at `seconds` on the video's clock; None where the scene is empty."""
        if self.shape is None:
            return None
        done = min(max((seconds - self.start_seconds) / self.duration_seconds, 0.0), 1.0)
        near, far = ANCHORS["left"][0], ANCHORS["right"][0]
        x, y = ANCHORS[self.shape.place]
        radius = RADII[self.shape.size]
        if self.motion == "left to right":
            x = near + done * (far - near)
        elif self.motion == "right to left":
            x = far + done * (near - far)
        elif self.motion == "falling":
            y = near + done * (far - near)
        elif self.motion == "rising":
            y = far + done * (near - far)
        elif self.motion == "growing":
            radius = RADII["small"] * (RADII["large"] / RADII["small"]) ** done
        elif self.motion == "shrinking":
            radius = RADII["large"] * (RADII["small"] / RADII["large"]) ** done
        return Pose(x, y, radius)


@dataclass(frozen=True)
class VideoScript:
    """A whole video: scenes without gaps from 0 s on, the picture, and the seed of all that the scenes leave open.

    Raises:
        ValueError: no scene, scenes with gaps or overlaps, or a picture that cannot be encoded (odd or empty).
    """

    scenes: tuple[Scene, ...]
    width: int = 320
    height: int = 240
    fps: Fraction = Fraction(25)
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.scenes:
            raise ValueError("a video needs at least one scene")
        end_seconds = 0.0
        for scene in self.scenes:
            if scene.duration_seconds <= 0 or abs(scene.start_seconds - end_seconds) > 1e-6:
                raise ValueError(f"{scene} must last some time and start at {end_seconds:g} s, as the one before ends")
            end_seconds = scene.end_seconds
        if min(self.width, self.height) < 16 or self.width % 2 or self.height % 2:
            raise ValueError(f"a picture of {self.width}x{self.height}: both sides must be even and 16 or more")

    @classmethod
    def of(
        cls, parts: Iterable[tuple[Shape | None, float, Motion]], *, width: int = 320, height: int = 240,
        fps: Fraction = Fraction(25), seed: int = 0,
    ) -> VideoScript:
        """The script of (shape, duration in seconds, motion) in turn; the start times follow from the durations."""
        scenes: list[Scene] = []
        start_seconds = 0.0
        for shape, duration_seconds, motion in parts:
            scenes.append(Scene(shape, start_seconds, duration_seconds, motion))
            start_seconds += duration_seconds
        return cls(tuple(scenes), width, height, fps, seed)

    @property
    def duration_seconds(self) -> float:
        return self.scenes[-1].end_seconds

    @property
    def frame_count(self) -> int:
        """Frames shown at 0, 1/fps, 2/fps …, at least one."""
        return max(1, round(self.duration_seconds * self.fps))

    def scene_number(self, seconds: float) -> int:
        """Which scene is on screen at `seconds`, counted from 0; the last one's after the end."""
        # A frame's time and a sum of durations may differ in the last bit: the nearest microsecond decides.
        starts = [round(scene.start_seconds * 1e6) for scene in self.scenes]
        return max(0, bisect_right(starts, round(seconds * 1e6)) - 1)

    def scene_at(self, seconds: float) -> Scene:
        return self.scenes[self.scene_number(seconds)]
