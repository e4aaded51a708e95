"""Pictures and sound of a part of a video, encoded into a new file: the first picture at 0, sound where it was heard."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import av
    import av.container

Format = Literal["webm", "mp4"]
_MOST_SIDE = 1920  # of a copy: larger pictures are made for screens that are not there
_LEAST_GAP = Fraction(30, 1000)  # containers round times: shorter pauses in the sound are none
_OVERLAP = Fraction(1, 10)


@dataclass(frozen=True)
class Codecs:
    """`options` are for speed: such copies are made while somebody waits."""

    picture: str
    sound: str
    options: dict[str, str]
    container_options: dict[str, str]


CODECS: dict[Format, Codecs] = {
    "webm": Codecs("libvpx-vp9", "libopus", {"deadline": "realtime", "cpu-used": "8", "row-mt": "1", "crf": "34", "b": "0"}, {}),
    "mp4": Codecs("libx264", "aac", {"preset": "veryfast", "crf": "23"}, {"movflags": "+faststart"}),
}


class PartWriter:
    """`source`: the stream that pictures come from; `heard`: the sound's, or None. Sound waits until a picture was seen: all
    streams must be known before anything is written."""

    def __init__(self, output: av.container.OutputContainer, codecs: Codecs, source: Any, heard: Any):
        self._output, self._codecs = output, codecs
        rate = Fraction(source.average_rate or source.guessed_rate or 25)
        self._rate = min(rate, Fraction(120))
        self._sound: Any = output.add_stream(codecs.sound, rate=48000, layout="stereo") if heard is not None else None
        self._made: Any = None
        self._waiting: list[tuple[Any, Fraction]] = []
        self._heard = self._shown = Fraction(0)  # seconds that are written

    @property
    def begun(self) -> bool:
        return self._made is not None

    def begin(self, pixels: Any) -> None:
        """The size of all pictures is that of this one, uint8 [h, w, 3]."""
        fitted = _fitted(pixels)
        made: Any = self._output.add_stream(self._codecs.picture, rate=self._rate, options=self._codecs.options)
        made.width, made.height, made.pix_fmt = fitted.shape[1], fitted.shape[0], "yuv420p"
        made.codec_context.colorspace = made.codec_context.color_range = 1  # BT.709, as `_frame_of` makes them
        made.codec_context.time_base = Fraction(1, 90_000)
        made.codec_context.gop_size = max(1, round(float(self._rate)))  # a key frame a second: quick seeks
        self._made = made
        for frame, seconds in self._waiting:
            self.hear(frame, seconds)
        self._waiting = []

    def picture(self, pixels: Any, seconds: Fraction) -> None:
        """uint8 [h, w, 3], at `seconds` of the new file."""
        self._shown = seconds
        self._write(self._made.encode(_frame_of(_fitted(pixels), seconds)))

    def hear(self, frame: Any, seconds: Fraction) -> None:
        """A decoded frame of sound; pauses between frames are kept as silence."""
        if self._made is None:
            self._waiting.append((frame, seconds))
            return
        gap = seconds - self._heard
        if gap < -_OVERLAP:
            return
        if gap > (_LEAST_GAP if self._heard else 0):
            for samples in _pieces(round(gap * frame.sample_rate), frame.sample_rate):
                self._encode_sound(_silence(frame, samples))
        self._encode_sound(frame)

    def end(self, pixels: Any, seconds: Fraction | None) -> None:
        """`pixels`: the last picture, which stays on screen until `seconds`; None: as long as any other."""
        if seconds is not None and seconds - self._shown > 2 / self._rate:
            self.picture(pixels, seconds - 1 / self._rate)
        for stream in (self._made, self._sound):
            if stream is not None:
                self._write(stream.encode(None))

    def _encode_sound(self, frame: Any) -> None:
        self._heard += Fraction(frame.samples, frame.sample_rate)
        frame.pts = None  # counted by the encoder
        self._write(self._sound.encode(frame))

    def _write(self, packets: Iterable[av.Packet]) -> None:
        for packet in packets:
            self._output.mux(packet)


def _pieces(samples: int, most: int) -> Iterable[int]:
    while samples > 0:
        yield min(samples, most)
        samples -= most


def _silence(like: Any, samples: int) -> Any:
    """So much of it, in the format of another frame of sound."""
    import av

    frame: Any = av.AudioFrame(format=like.format.name, layout=like.layout.name, samples=samples)
    frame.sample_rate = like.sample_rate
    nothing = b"\x80" if like.format.name.startswith("u8") else b"\0"
    for plane in frame.planes:
        plane.update(nothing * plane.buffer_size)
    return frame


def _frame_of(pixels: Any, seconds: Fraction) -> av.VideoFrame:
    import av

    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p", dst_colorspace="ITU709")
    frame.time_base, frame.pts = Fraction(1, 90_000), max(0, round(seconds * 90_000))
    return frame


def _fitted(pixels: Any) -> Any:
    """At most 1920 pixels a side, and even."""
    import numpy as np
    from PIL import Image

    height, width = pixels.shape[:2]
    scale = min(1.0, _MOST_SIDE / max(height, width))
    size = (max(2, int(width * scale) // 2 * 2), max(2, int(height * scale) // 2 * 2))
    return pixels if size == (width, height) else np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
