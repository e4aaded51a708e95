"""A picture file's bytes -> the encoder's square. The bytes are a stranger's: formats and sizes are looked at before pixels."""

from __future__ import annotations

import io

import numpy as np

from ..extract.decode.images import upright_rgb
from ..models.base import PreprocessSpec
from .refusal import Refusal

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")


def crop_of(data: bytes, spec: PreprocessSpec, most_pixels: int, name: str) -> np.ndarray:
    """uint8 [3, S, S] of a picture file, made as frames of videos are. Raises Refusal, with `name` in it."""
    from PIL import Image

    from ..models.preprocess import preprocess_frames

    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height > most_pixels:
                raise Refusal(413, f"{name} has {width} x {height} pixels; allowed are {most_pixels} (max_image_megapixels=)")
            pixels = upright_rgb(image)  # [h, w, 3]
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Refusal(413, f"{name} has more pixels than the {most_pixels} that are allowed (max_image_megapixels=)") from error
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError) as error:
        raise Refusal(422, f"{name} is no picture that can be read ({len(data)} bytes; allowed are whole {', '.join(FORMATS)} "
                           "files)") from error
    return preprocess_frames(pixels, spec).numpy()[0]
