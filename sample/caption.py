"""The demonstration world's fixed wording, at every granularity, from "a shape" to "a small red circle on the left"."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from itertools import product

from .scene import COLOURS, FORMS, PLACES, SIZES, Colour, Form, Place, Scene, Shape, Size

EMPTY_CAPTION = "an empty scene"  # background and distractors only

PLACE_PHRASES: dict[Place, str] = {
    "left": "on the left", "right": "on the right", "top": "at the top", "bottom": "at the bottom",
    "middle": "in the middle",
}


@dataclass(frozen=True)
class Description:
    """What is said, or clearly seen, of a shape; a factor that is None is left unsaid, or is between two values."""

    colour: Colour | None = None
    shape: Form | None = None
    size: Size | None = None
    place: Place | None = None

    @property
    def caption(self) -> str:
        """For example "a small red circle on the left", "a red circle", "a shape at the top"."""
        words = ["a", self.size, self.colour, self.shape or "shape", self.place and PLACE_PHRASES[self.place]]
        return " ".join(word for word in words if word)

    def is_true_of(self, seen: Description) -> bool | None:
        """Whether this can be said of what is seen; None where that is not clear enough to tell."""
        verdicts = [
            None if actual is None else said == actual
            for said, actual in zip(astuple(self), astuple(seen), strict=True) if said is not None
        ]
        if False in verdicts:
            return False
        return None if None in verdicts else True


def describe(shape: Shape) -> Description:
    """All four factors said."""
    return Description(shape.colour, shape.shape, shape.size, shape.place)


def seen_at(scene: Scene, seconds: float) -> Description | None:
    """What a single frame of the scene shows at `seconds` on the video's clock; None where it is empty."""
    pose = scene.pose(seconds)
    if scene.shape is None or pose is None:
        return None
    return Description(scene.shape.colour, scene.shape.shape, pose.size, pose.place)


def caption_at(scene: Scene, seconds: float) -> str:
    """The fullest caption that is true of the frame at `seconds`."""
    seen = seen_at(scene, seconds)
    return EMPTY_CAPTION if seen is None else seen.caption


def scene_caption(scene: Scene) -> str:
    """The whole scene in words, its motion included: "a small red circle moving from left to right"."""
    if scene.shape is None:
        return EMPTY_CAPTION
    shape = scene.shape
    if scene.motion == "still":
        return describe(shape).caption
    if scene.motion in ("growing", "shrinking"):
        return f"{Description(shape.colour, shape.shape, place=shape.place).caption} {scene.motion}"
    motion = scene.motion if scene.motion in ("rising", "falling") else f"moving from {scene.motion}"
    return f"{Description(shape.colour, shape.shape, shape.size).caption} {motion}"


def full_descriptions() -> list[Description]:
    """The 240 with all four factors said."""
    return [Description(*factors) for factors in product(COLOURS, FORMS, SIZES, PLACES)]


def colour_shape_descriptions() -> list[Description]:
    """The 24 that say colour and shape alone: "a red circle"."""
    return [Description(*factors) for factors in product(COLOURS, FORMS)]


def all_descriptions() -> list[Description]:
    """The 630 of every granularity, "a shape" and the full 240 among them."""
    return [
        Description(*factors)
        for factors in product((None, *COLOURS), (None, *FORMS), (None, *SIZES), (None, *PLACES))
    ]
