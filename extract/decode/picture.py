"""From a decoded FFmpeg frame to the picture a viewer sees: RGB by the tagged matrix, square pixels, upright."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import UnreadableVideoError

if TYPE_CHECKING:
    import av

# Tags of colour matrices that FFmpeg's scaler refuses.
_NO_RGB = {8: "YCgCo", 10: "BT.2020 constant luminance", 11: "SMPTE 2085", 12: "chromaticity-derived",
           13: "chromaticity-derived constant luminance", 14: "ICtCp", 15: "IPT-C2", 16: "YCgCo-R", 17: "YCgCo-R"}
_RESERVED, _UNTAGGED = 3, 2


class PictureMaker:
    """Converts the frames of one video; keeps FFmpeg's scaler from frame to frame (each costs memory and time)."""

    def __init__(self, path: Path, sample_aspect_ratio: Fraction | None):
        from av.video.reformatter import VideoReformatter

        self._path = path
        self._aspect = sample_aspect_ratio if sample_aspect_ratio and sample_aspect_ratio > 0 else Fraction(1)
        self._reformatter = VideoReformatter()

    def picture(self, frame: av.VideoFrame) -> np.ndarray:
        """uint8 RGB [h, w, 3], contiguous. An untagged frame is taken as BT.601, as FFmpeg does.

        Raises UnreadableVideoError for a size or a colour matrix that cannot be handled.
        """
        width = max(1, round(frame.width * self._aspect))
        if width * frame.height > 16384 * 16384:
            raise UnreadableVideoError(f"{self._path}: a picture of {width}x{frame.height} pixels "
                                       "is more than can be handled")
        if frame.colorspace in _NO_RGB:
            raise UnreadableVideoError(f"{self._path}: its colours are tagged {_NO_RGB[frame.colorspace]} (matrix "
                                       f"{frame.colorspace}), which cannot be made RGB here: convert it to BT.709")
        if frame.colorspace == _RESERVED:  # says nothing
            frame.colorspace = _UNTAGGED
        rgb = self._reformatter.reformat(frame, format="rgb24", width=width, threads=1,
                                         interpolation="BILINEAR" if width == frame.width else "BICUBIC")
        pixels = rgb.to_ndarray()
        matrix = display_matrix(frame)
        # odd widths come out as a view into padded rows
        return np.ascontiguousarray(pixels if matrix is None else upright(pixels, matrix))


def display_matrix(frame: av.VideoFrame) -> np.ndarray | None:
    """The container's wish how to turn the picture, int32 [2, 2]; None: as it is."""
    from av.sidedata.sidedata import SideDataContainer

    # Not `frame.side_data`: with it the frame and the container hold each other, and the memory of both until Python collects.
    data = SideDataContainer(frame).get("DISPLAYMATRIX")  # pyright: ignore[reportCallIssue]  PyAV's stub has no constructor
    return None if data is None else np.frombuffer(bytes(data), dtype=np.int32).reshape(3, 3)[:2, :2]


def upright(pixels: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """[h, w, 3] turned and mirrored by quarter turns; an angle between is left as it is, as players do."""
    (a, b), (c, d) = np.sign(matrix).tolist()
    if (a == 0) == (b == 0) or (c == 0) == (d == 0) or (a == 0) == (c == 0):
        return pixels
    if a == 0:
        pixels = pixels.swapaxes(0, 1)
    if a + c < 0:
        pixels = pixels[:, ::-1]
    return pixels[::-1] if b + d < 0 else pixels
