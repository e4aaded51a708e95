"""What could be said of any video: the texts that a query is held against."""

from __future__ import annotations

from itertools import product

from ..models.base import EncoderIdentity

# Nothing, anything, and everyday things far from each other: whatever a video shows, a few of them are about as near to it as a
# wrong query is.
NEUTRAL_TEXTS = (
    "a photo", "an image of something", "a frame of a video", "a blurry picture", "an empty scene", "a background", "a pattern",
    "random noise", "a screenshot with text", "a person", "a face", "a group of people", "a hand holding something",
    "an animal", "a dog", "a bird", "a car on a road", "a street in a city", "a building", "a room with furniture", "a kitchen",
    "food on a plate", "a tree", "grass and flowers", "mountains", "water", "the sky", "a beach", "snow", "a stage with lights",
    "a sports game", "a person doing exercise", "a person talking", "a machine", "a computer on a desk", "a book", "clothes",
    "a toy", "a boat", "an aeroplane",
)


def neutral_texts(identity: EncoderIdentity) -> tuple[str, ...]:
    """For the demonstration model, which knows nothing but drawn shapes, those of its own world."""
    if identity.feature_type == "clip" and identity.model_name == "tiny":
        from ..sample.caption import EMPTY_CAPTION, Description
        from ..sample.scene import COLOURS, FORMS

        return (EMPTY_CAPTION, *(Description(colour, form).caption for colour, form in product(COLOURS, FORMS)))
    return NEUTRAL_TEXTS
