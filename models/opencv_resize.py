"""OpenCV's bilinear resize of bytes, to the bit: what ViCLIP's demonstration feeds its network.

No filter against aliasing: each pixel is mixed of four, however much the picture shrinks. Source: the arithmetic of
`cv2.resize(..., INTER_LINEAR)` on uint8 (fixed point, 11 bits a weight; the rows' mixture rounds in three steps).
"""

from __future__ import annotations

import numpy as np

_ONE = np.float32(2048)  # a weight of 1


def resize_as_opencv(frames: np.ndarray, height: int, width: int) -> np.ndarray:
    """uint8 [n, h, w, 3] -> uint8 [n, height, width, 3]."""
    above, below, above_weight, below_weight = _neighbours(frames.shape[1], height)
    left, right, left_weight, right_weight = _neighbours(frames.shape[2], width)
    # Beyond the outermost columns OpenCV takes the column itself; beyond the outermost rows it mixes the row with itself.
    beyond = left == right
    left_weight, right_weight = np.where(beyond, int(_ONE), left_weight), np.where(beyond, 0, right_weight)
    result = np.full((len(frames), height, width, 3), 2, dtype=np.int32)
    for rows, row_weight in ((above, above_weight), (below, below_weight)):
        pixels = frames[:, rows]  # [n, height, w, 3]
        mixed = pixels.take(left, axis=2) * left_weight[:, None]  # int32 [n, height, width, 3]
        mixed += pixels.take(right, axis=2) * right_weight[:, None]
        result += ((mixed >> 4) * row_weight[:, None, None]) >> 16  # [n, height, width, 3]
    return (result >> 2).astype(np.uint8)


def _neighbours(length: int, new_length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """For each new pixel the two old ones it lies between, int64 [m] each, and their weights, int32 [m] each."""
    centre = ((np.arange(new_length) + 0.5) * (length / new_length) - 0.5).astype(np.float32)
    before = np.floor(centre)
    share = centre - before
    places = before.astype(np.int64)
    weights = [np.rint(weight * _ONE).astype(np.int32) for weight in (np.float32(1) - share, share)]
    return np.clip(places, 0, length - 1), np.clip(places + 1, 0, length - 1), weights[0], weights[1]
