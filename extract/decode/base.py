"""What a reader is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from ..frames import FrameBatch, VideoIndex


class FrameReader(Protocol):
    """Indexes a video and gives wanted frames' pixels. Adding one: a file here, a line in registry.py; the contract
    suite (tests/extract/decode/test_readers.py) runs over the registry.

    `index`: raises UnreadableVideoError; `by_decoding` when packets proved untrustworthy.
    `frames`: `wanted` are int64 [m] places in presentation order, increasing; each comes out once, batches of any
    length in any order. Raises DamagedVideoError where one does not decode (with `allow_truncated` it is left out),
    IndexMismatchError where the index was wrong.
    """

    def index(self, path: Path, *, by_decoding: bool = False) -> VideoIndex: ...

    def frames(
        self, index: VideoIndex, wanted: np.ndarray, *, allow_truncated: bool = False,
    ) -> Iterator[FrameBatch]: ...
