"""The frame on screen at an instant, by a seek: quick anywhere in a long video, at the price of trusting its seek table."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from ..errors import EmptyVideoError
from ..extract.decode.container import open_container, video_stream
from ..extract.decode.picture import PictureMaker

_MOST_DECODED = 3000  # a GOP longer than that is not gone through


def frame_at(path: Path, time_ms: float) -> tuple[float, np.ndarray]:
    """(true time in milliseconds, uint8 RGB [h, w, 3]); an instant before the first frame sees the first, after the end the last.

    Raises UnreadableVideoError, EmptyVideoError.
    """
    from av.error import FFmpegError

    with open_container(path) as container:
        stream = video_stream(container, path)
        stream.codec_context.thread_count = 1
        maker = PictureMaker(path, stream.sample_aspect_ratio)
        base = Fraction(stream.time_base) if stream.time_base else Fraction(1, 1000)
        start = Fraction(container.start_time or 0, 1_000_000)
        wanted = int((Fraction(str(max(time_ms, 0.0))) / 1000 + start) / base + 1)  # a tick later: containers round times
        shown = None
        for target in (wanted, stream.start_time or 0):
            try:
                container.seek(target, stream=stream, backward=True, any_frame=False)
                for count, frame in enumerate(container.decode(stream)):
                    if frame.pts is None or (frame.pts > wanted and shown is not None):
                        break
                    shown = frame
                    if frame.pts > wanted or count > _MOST_DECODED:
                        break
            except FFmpegError:
                pass  # a damaged stretch, or no seeking in this format: from the beginning
            if shown is not None:
                break
        if shown is None or shown.pts is None:
            raise EmptyVideoError(f"{path.name}: no frame of it decodes at {time_ms:.0f} ms")
        return float((shown.pts * base - start) * 1000), maker.picture(shown)
