"""Encodes a script to a video file: H.264 in MP4 or VP9 in WebM, the same bytes each time."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer

from .draw import draw_frames
from .scene import VideoScript

# x264 places B-frames, and a keyframe at most every 250 frames, on its own judgement. Its fast arithmetic does not
# always round alike, hence cpu-independent.
VIDEO_CODECS: dict[str, tuple[str, dict[str, str]]] = {
    ".mp4": ("libx264", {"crf": "23", "x264-params": "cpu-independent=1"}),
    ".webm": ("libvpx-vp9", {"crf": "32", "b": "0", "cpu-used": "4"}),
}
AUDIO_CODECS = {".mp4": "aac", ".webm": "libopus"}
AUDIO_RATE_HERTZ = 48_000
AUDIO_BLOCK_SAMPLES = 960
AUDIO_LOUDNESS = 0.1  # of full scale


def write_video(script: VideoScript, path: Path, *, tone_hertz: float | None = None) -> None:
    """Draws and encodes the whole script; frame n is shown at exactly n/fps.

    Args:
        script: what to draw
        path: ends in .mp4 or .webm, which chooses the codec; an existing file is replaced
        tone_hertz: adds an audio track with this quiet tone, as long as the pictures

    Raises:
        ValueError: the file name ends in something else.
    """
    if path.suffix not in VIDEO_CODECS:
        raise ValueError(f"{path.name} must end in one of {', '.join(VIDEO_CODECS)}")
    codec, options = VIDEO_CODECS[path.suffix]
    # bitexact: no random identifiers and no library versions in the file.
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        video = container.add_stream(codec, rate=script.fps, options={**options, "flags": "+bitexact"})
        video.width, video.height, video.pix_fmt = script.width, script.height, "yuv420p"
        video.codec_context.time_base = 1 / script.fps
        video.codec_context.thread_count = 1  # the number of threads changes the bytes
        audio = None
        if tone_hertz is not None:
            audio = container.add_stream(
                AUDIO_CODECS[path.suffix], rate=AUDIO_RATE_HERTZ, layout="mono", options={"flags": "+bitexact"})
        for number, picture in enumerate(draw_frames(script)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, 1 / script.fps
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if audio is not None and tone_hertz is not None:
            _write_tone(container, audio, tone_hertz, script.frame_count / script.fps)


def _write_tone(container: OutputContainer, stream: av.AudioStream, hertz: float, duration_seconds: Fraction) -> None:
    total = int(duration_seconds * AUDIO_RATE_HERTZ)
    for start in range(0, total, AUDIO_BLOCK_SAMPLES):
        times_seconds = np.arange(start, min(start + AUDIO_BLOCK_SAMPLES, total)) / AUDIO_RATE_HERTZ
        samples = AUDIO_LOUDNESS * np.sin(2 * np.pi * hertz * times_seconds)
        frame = av.AudioFrame.from_ndarray(samples.astype(np.float32)[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = AUDIO_RATE_HERTZ, start, Fraction(1, AUDIO_RATE_HERTZ)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
