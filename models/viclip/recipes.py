"""Recipes: which frames of a window ViCLIP sees, and how they are resized. Two of the public ones, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

DEFAULT = "train"
MEAN = (0.485, 0.456, 0.406)  # ImageNet's: what ViCLIP was trained with, not CLIP's
STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Recipe:
    """`rule`: which `wanted` of `count` frames, count >= wanted, increasing."""

    rule: Callable[[int, int], np.ndarray]
    interpolation: Literal["bicubic", "opencv_bilinear"]
    fixed: bool = False  # the picture is made in one way only

    def choose_frames(self, count: int, wanted: int) -> np.ndarray:
        """int64 [wanted], of `count` frames in order; of fewer than `wanted` all are taken and the last repeats.
        Raises ValueError for no frame."""
        if count < 1:
            raise ValueError(f"a window needs one frame at least, not {count}")
        if count < wanted:
            return np.minimum(np.arange(wanted), count - 1)
        return self.rule(count, wanted)


def _every_so_many(count: int, wanted: int) -> np.ndarray:
    """From the first frame on; what is over at the end (up to half the video) is not seen."""
    return np.arange(wanted) * (count // wanted)


def _middles(count: int, wanted: int) -> np.ndarray:
    """The middles of equal parts."""
    bounds = np.arange(wanted + 1) * count // wanted
    return (bounds[:-1] + bounds[1:] - 1) // 2


# Sources: OpenGVLab/InternVideo, Data/InternVid/viclip (demo) and InternVideo1/Pretrain/ViCLIP (train, as it evaluates).
RECIPES = {
    "demo": Recipe(_every_so_many, "opencv_bilinear", fixed=True),
    "train": Recipe(_middles, "bicubic"),
}
