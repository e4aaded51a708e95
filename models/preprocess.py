"""Preprocessing: from RGB frames of any size to the network's square, within one grey level of PIL's."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from .base import PreprocessSpec
from .opencv_resize import resize_as_opencv

_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}

# Of frames longer than this many squares only the crop is resized: 4000x1 would otherwise become 896000x224 (600 MB).
# What is left out is PIL's rounding of the whole: such a strip may be two grey levels off.
LONGEST_IN_SQUARES = 256


def preprocess_frames(frames: np.ndarray, spec: PreprocessSpec) -> torch.Tensor:
    """Resizes and crops; the pixels stay bytes.

    Args:
        frames: uint8 RGB, [n, h, w, 3] or [h, w, 3].

    Returns:
        uint8 RGB [n, 3, S, S] with S = spec.image_size; n = 1 for a single frame.

    Raises:
        ValueError: the frames have another shape or dtype.
    """
    if frames.dtype != np.uint8 or frames.ndim not in (3, 4) or frames.shape[-1] != 3 or 0 in frames.shape[-3:-1]:
        raise ValueError(f"frames must be uint8 RGB [n, h, w, 3] or [h, w, 3] with at least one pixel, "
                         f"not {frames.dtype} {list(frames.shape)}")
    frames = frames.reshape(-1, *frames.shape[-3:])  # [n, h, w, 3]
    size = spec.image_size
    if len(frames) == 0:
        return torch.empty(0, 3, size, size, dtype=torch.uint8)
    height, width = resized_height_width(frames.shape[1], frames.shape[2], spec)
    if spec.crop == "center" and spec.interpolation in _FILTERS and max(height, width) > LONGEST_IN_SQUARES * size:
        return _visible_part(frames, height, width, spec)  # [n, 3, S, S]
    top, left = crop_offset(height, size), crop_offset(width, size)
    if spec.interpolation == "opencv_bilinear":
        resized = torch.from_numpy(resize_as_opencv(frames, height, width)).permute(0, 3, 1, 2)  # [n, 3, height, width]
        return resized[..., top : top + size, left : left + size].contiguous()
    # PIL's own kernel: torch's for bytes is several times as fast but holds its filter in 16 bits, and on hard edges
    # that is up to two grey levels off. A crop beyond the picture (pad) is black there.
    whole = ((width, height), _FILTERS[spec.interpolation])
    crop = (left, top, left + size, top + size)
    return _stack([Image.fromarray(frame).resize(*whole).crop(crop) for frame in frames])


def normalize(frames: torch.Tensor, spec: PreprocessSpec, dtype: torch.dtype) -> torch.Tensor:
    """uint8 [..., 3, S, S] -> (frames / 255 - mean) / std as dtype, on the frames' device; computed in float32."""
    pixels = frames.float().div_(255)
    # Numbers, not tensors: a tensor made here would travel to the device first, and the host would wait for it.
    for channel, (mean, std) in enumerate(zip(spec.mean, spec.std, strict=True)):
        pixels.select(-3, channel).sub_(mean).div_(std)
    return pixels.to(dtype)


def resized_height_width(height: int, width: int, spec: PreprocessSpec) -> tuple[int, int]:
    """The size before the crop, rounded as torchvision (center) and open_clip (pad) round it; at least one pixel."""
    size = spec.image_size
    if spec.crop == "squash":
        return size, size
    if spec.crop == "pad":
        ratio = max(height / size, width / size)
        return max(1, round(height / ratio)), max(1, round(width / ratio))
    short = spec.resize_size or size
    long = int(short * max(height, width) / min(height, width))
    return (short, long) if height <= width else (long, short)


def crop_offset(length: int, size: int) -> int:
    """Where a crop of `size` begins in a resized length; below zero for one that is shorter (pad)."""
    if length < size:  # pad
        return -((size - length) // 2)
    return int(round((length - size) / 2.0))  # noqa: RUF046 - torchvision's own words


def _visible_part(frames: np.ndarray, height: int, width: int, spec: PreprocessSpec) -> torch.Tensor:
    """[n, h, w, 3] -> [n, 3, S, S]: the centre crop of a resize to height x width that is never made whole.

    PIL's `box` may cut between pixels and still lets the filter see beyond it, so only the crop is computed.
    """
    size = spec.image_size
    top, left = crop_offset(height, size), crop_offset(width, size)
    down, across = frames.shape[1] / height, frames.shape[2] / width
    passes = [((size, None), (left * across, None, (left + size) * across, None)),
              ((None, size), (None, top * down, None, (top + size) * down))]
    if columns_first((frames.shape[1], frames.shape[2]), (height, width)):
        passes.reverse()
    images = []
    for frame in frames:
        image = Image.fromarray(frame)
        for (columns, rows), (west, north, east, south) in passes:
            box = (west or 0, north or 0, east or image.width, south or image.height)
            image = image.resize((columns or image.width, rows or image.height), _FILTERS[spec.interpolation], box=box)
        images.append(image)
    return _stack(images)


def columns_first(before: tuple[int, int], after: tuple[int, int]) -> bool:
    """Pillow 13's rule (older ones always took rows first) for (height, width): the height loses more than twice what the width
    does."""
    lost = before[0] - after[0]
    return lost > 0 and lost > 2 * (before[1] - after[1])


def _stack(images: list[Image.Image]) -> torch.Tensor:
    """n pictures of one size -> [n, 3, h, w]."""
    pixels = np.stack([np.asarray(image) for image in images])  # [n, h, w, 3]
    # NumPy's copy: torch's would be split over threads, and each thread that calls this would get helpers of its own.
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
