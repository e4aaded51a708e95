"""The frame on screen at an instant: by a seek where that can be trusted, which is quick anywhere in a long video."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from ..extract.decode.at import frames_at
from ..extract.decode.container import open_container, video_stream
from ..extract.decode.picture import PictureMaker

_SEEKABLE = {"mp4", "matroska"}  # MPEG-TS and raw streams have no table of key frames, AVI's times are invented
_MOST_DECODED = 3000


def frame_at(path: Path, time_ms: float) -> tuple[float, np.ndarray]:
    """(true time in milliseconds, uint8 RGB [h, w, 3]); an instant before the first frame sees the first, after the end the last.

    Raises UnreadableVideoError, DamagedVideoError, EmptyVideoError.
    """
    found = _by_seeking(path, time_ms)
    if found is not None:
        return found
    exact = frames_at(path, [max(time_ms, 0.0)], allow_truncated=True)
    return float(exact.timestamps_ms[0]), exact.pixels[0]


def _by_seeking(path: Path, time_ms: float) -> tuple[float, np.ndarray] | None:
    """None where the seek did not land at or before the instant."""
    from av.error import FFmpegError

    with open_container(path) as container:
        stream = video_stream(container, path)
        if not _SEEKABLE & set(container.format.name.split(",")) or not stream.time_base:
            return None
        stream.codec_context.thread_count = 1
        maker = PictureMaker(path, stream.sample_aspect_ratio)
        base = Fraction(stream.time_base)
        start = Fraction(container.start_time or 0, 1_000_000)
        exact = (Fraction(str(max(time_ms, 0.0))) / 1000 + start) / base
        wanted = int(exact + min(Fraction(1), Fraction(1, 1000) / base))  # as Foundation's sampling: containers round times
        shown = None
        try:
            container.seek(wanted, stream=stream, backward=True, any_frame=False)
            for count, frame in enumerate(container.decode(stream)):
                if frame.pts is None or count > _MOST_DECODED:
                    return None
                if frame.pts > wanted:
                    break
                shown = frame
        except FFmpegError:
            return None  # a damaged stretch
        if shown is None or shown.pts is None:
            return None
        return float((shown.pts * base - start) * 1000), maker.picture(shown)
