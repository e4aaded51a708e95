"""The one way for later stages to get pictures: the frames on screen at given instants."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...errors import DamagedVideoError, IndexMismatchError
from ..frames import FrameBatch
from ..sampling import frames_on_screen
from .registry import reader_for


def frames_at(path: str | os.PathLike[str], timestamps_ms: Sequence[float] | np.ndarray, *, reader: str = "auto",
              fps: float | None = None, allow_truncated: bool = False) -> FrameBatch:
    """The frame on screen at each instant, in the order asked.

    Args:
        path: a video, or a folder of pictures (then `fps` is needed).
        timestamps_ms: instants on the file's timeline, [n]; one before the first frame sees the first, one after the
            end the last.
        allow_truncated: take what decodes of a damaged file; an asked frame that does not is still an error.

    Returns: a FrameBatch of uint8 RGB [n, h, w, 3], with true presentation times. Where the size changes inside, every
        picture is scaled to the first one's.

    Raises: UnreadableVideoError, DamagedVideoError, EmptyVideoError, ValueError for instants that are no numbers.
    """
    instants = np.asarray(timestamps_ms, dtype=np.float64)
    if instants.ndim != 1 or not np.isfinite(instants).all():
        raise ValueError(f"timestamps_ms must be finite milliseconds, [n], not {timestamps_ms!r}")
    source = Path(path)
    backend = reader_for(source, reader, fps)
    for by_decoding in (False, True):
        index = backend.index(source, by_decoding=by_decoding)
        places = frames_on_screen(index, instants)
        pixels = np.empty((len(places), index.height, index.width, 3), np.uint8)
        missing = set(places.tolist())
        try:
            for batch in backend.frames(index, np.unique(places), allow_truncated=allow_truncated):
                for place, picture in zip(batch.frames.tolist(), batch.pixels, strict=True):
                    pixels[places == place] = _of_size(picture, index.width, index.height)
                    missing.discard(place)
        except IndexMismatchError:
            continue  # the packets lied: once more with an index made by decoding
        if missing:
            raise DamagedVideoError(f"{source}: the frame at {index.times_ms(index.pts[[min(missing)]])[0]:.0f} ms "
                                    "does not decode")
        return FrameBatch(pixels, places, index.times_ms(index.pts[places]))
    raise DamagedVideoError(f"{source}: frames that its packets promise do not decode")


def _of_size(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    if picture.shape[:2] == (height, width):
        return picture
    from PIL import Image

    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))
