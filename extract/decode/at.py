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
              fps: float | None = None) -> FrameBatch:
    """The frame on screen at each instant, in the order asked.

    Args:
        path: a video, or a folder of pictures (then `fps` is needed).
        timestamps_ms: instants on the file's timeline, [n]; one before the first frame sees the first, one after the
            end the last.

    Returns: a FrameBatch of uint8 RGB [n, h, w, 3], with true presentation times.

    Raises: UnreadableVideoError, DamagedVideoError, EmptyVideoError.
    """
    source = Path(path)
    backend = reader_for(source, reader, fps)
    for by_decoding in (False, True):
        index = backend.index(source, by_decoding=by_decoding)
        places = frames_on_screen(index, np.asarray(timestamps_ms, dtype=np.float64))
        try:
            found = {int(batch.frames[row]): batch.pixels[row] for batch in backend.frames(index, np.unique(places))
                     for row in range(len(batch))}
        except IndexMismatchError:
            continue  # the packets lied: once more with an index made by decoding
        pixels = (np.stack([found[place] for place in places.tolist()]) if len(places)
                  else np.zeros((0, index.height, index.width, 3), np.uint8))
        return FrameBatch(pixels, places, index.times_ms(index.pts[places]))
    raise DamagedVideoError(f"{source}: frames that its packets promise do not decode")
