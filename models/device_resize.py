"""Preprocessing of frames that lie on a GPU: the same filter and the same two rounded passes as PIL's, in torch."""

from __future__ import annotations

import torch
from torch.nn import functional

from .base import PreprocessSpec
from .preprocess import LONGEST_IN_SQUARES, columns_first, crop_offset, resized_height_width


def resizes_on_device(height: int, width: int, spec: PreprocessSpec) -> bool:
    """Whether frames of this size need not come to the CPU to be prepared: not for PIL itself, OpenCV's bilinear, or strips."""
    longest = max(resized_height_width(height, width, spec))
    return spec.backend != "pil" and spec.interpolation != "opencv_bilinear" and longest <= LONGEST_IN_SQUARES * spec.image_size


def preprocess_on_device(frames: torch.Tensor, spec: PreprocessSpec) -> torch.Tensor:
    """As `preprocess_frames`, at most one grey level from it.

    Args:
        frames: uint8 RGB [n, h, w, 3] on any device, of a size that `resizes_on_device`.

    Returns:
        uint8 RGB [n, 3, S, S] on the same device.
    """
    before, size = (frames.shape[1], frames.shape[2]), spec.image_size
    height, width = resized_height_width(*before, spec)
    first = (height, before[1]) if columns_first(before, (height, width)) else (before[0], width)
    pixels = frames.permute(0, 3, 1, 2).float()  # [n, 3, h, w]
    for shape in (first, (height, width)):
        if tuple(pixels.shape[2:]) != shape:
            pixels = functional.interpolate(pixels, size=shape, mode=spec.interpolation, antialias=True)
            # PIL keeps bytes between its passes; without this, bright edges would overshoot.
            pixels = pixels.add_(0.5).floor_().clamp_(0, 255)
    top, left = crop_offset(height, size), crop_offset(width, size)
    # What lies beyond the picture (pad) is black; a negative margin cuts off.
    margins = (-left, size - width + left, -top, size - height + top)
    return functional.pad(pixels, margins).to(torch.uint8)  # [n, 3, S, S]
