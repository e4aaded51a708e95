"""Copies of a video, or of a part of it: packets as they are, or decoded and encoded anew, through FFmpeg's libraries.

No command line is made, so no name can be taken for an option; files are opened with `protocol_whitelist=file`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import ClipreelError, DamagedVideoError, OutputError
from ..extract.decode.container import open_container, video_stream
from ..extract.decode.picture import PictureMaker
from ..extract.store.files import put_in_place, temporary_beside

if TYPE_CHECKING:
    import av
    import av.container

Format = Literal["webm", "mp4"]
_MOST_SIDE = 1920  # of a copy: larger pictures are made for screens that are not there


@dataclass(frozen=True)
class _Codecs:
    """`options` are for speed: such copies are made while somebody waits."""

    picture: str
    sound: str
    options: dict[str, str]
    container_options: dict[str, str]


_CODECS: dict[Format, _Codecs] = {
    "webm": _Codecs("libvpx-vp9", "libopus", {"deadline": "realtime", "cpu-used": "8", "row-mt": "1", "crf": "34", "b": "0"}, {}),
    "mp4": _Codecs("libx264", "aac", {"preset": "veryfast", "crf": "23"}, {"movflags": "+faststart"}),
}


def encode_part(source: Path, target: Path, form: Format, begin_ms: float, end_ms: float,
                advance: Callable[[float], object]) -> None:
    """Decode [begin, end) and encode it anew into `target`, which begins at 0; upright, square pixels, with its sound.

    Args:
        advance: told the milliseconds that are done; may raise to end the work (nothing is left behind then).

    Raises: UnreadableVideoError, DamagedVideoError (nothing of the part decodes), OutputError.
    """
    codecs = _CODECS[form]
    with open_container(source) as container, _written(target, codecs.container_options) as output:
        picture = video_stream(container, source)
        heard = next(iter(container.streams.audio), None)
        if heard is not None and heard.codec_context is None:
            heard = None
        if heard is not None:
            _hear_again(heard)
        maker = PictureMaker(source, picture.sample_aspect_ratio)
        sound: Any = output.add_stream(codecs.sound, rate=48000, layout="stereo") if heard is not None else None
        start = Fraction(container.start_time or 0, 1_000_000)
        shift = Fraction(str(begin_ms)) / 1000
        if begin_ms > 0:
            container.seek(int((shift + start) * 1_000_000), backward=True)
        made: Any = None
        for frame in _frames(container, [one for one in (picture, heard) if one is not None]):
            if frame.pts is None or frame.time_base is None:
                continue
            seconds = frame.pts * Fraction(frame.time_base) - start
            time_ms = float(seconds * 1000)
            if time_ms < begin_ms - 0.5 or time_ms >= end_ms:
                if time_ms >= end_ms + 2000:  # sound and picture are not interleaved more loosely than that
                    break
                continue
            if isinstance(frame, _video_frame()):
                pixels = _fitted(maker.picture(frame))
                if made is None:
                    made = _picture_stream(output, codecs, pixels.shape[1], pixels.shape[0], picture)
                for packet in made.encode(_frame_of(pixels, made, seconds - shift)):
                    output.mux(packet)
                advance(time_ms - begin_ms)
            elif sound is not None:
                frame.pts = None  # counted by the encoder, from where the part begins
                for packet in sound.encode(frame):
                    output.mux(packet)
        if made is None:
            raise DamagedVideoError(f"{source.name}: no picture between {begin_ms:.0f} and {end_ms:.0f} ms decodes")
        for stream in (made, sound):
            if stream is not None:
                for packet in stream.encode(None):
                    output.mux(packet)


def copy_part(source: Path, target: Path, begin_ms: float, end_ms: float, advance: Callable[[float], object]) -> float:
    """Copy the packets of [begin, end), from the keyframe at or before `begin` on; the same container and codecs.

    Returns: where the copy really begins, in milliseconds. Raises UnreadableVideoError, OutputError.
    """
    with open_container(source) as container, _written(target, {}) as output:
        picture = video_stream(container, source)
        heard = next(iter(container.streams.audio), None)
        if heard is not None:
            _hear_again(heard)
        kept = [one for one in (picture, heard) if one is not None and one.codec_context is not None]
        copies = {one.index: output.add_stream_from_template(one) for one in kept}
        start = Fraction(container.start_time or 0, 1_000_000)
        container.seek(int((Fraction(str(begin_ms)) / 1000 + start) * 1_000_000), backward=True)
        origin: Fraction | None = None
        for packet in _with_decode_times(container.demux(kept), picture):
            base = Fraction(packet.time_base)
            seconds: Fraction = packet.pts * base - start
            if origin is None:
                if packet.stream.index != picture.index or not packet.is_keyframe:
                    continue
                origin = seconds
            if packet.stream.index == picture.index and float(packet.dts * base - start) * 1000 >= end_ms:
                break
            if seconds < origin:
                continue  # sound before the first picture
            shift = int((origin + start) / base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = copies[packet.stream.index]
            output.mux(packet)
            advance(float(seconds - origin) * 1000)
        if origin is None:
            raise DamagedVideoError(f"{source.name}: has no key frame to begin a copy with")
        return float(origin * 1000)


def _with_decode_times(packets: Iterator[Any], picture: Any) -> Iterator[Any]:
    """Packets that have a time. After a seek Matroska does not say when the first pictures were to be decoded: they get the times
    before the first one that does."""
    step = max(1, int(1 / (Fraction(picture.average_rate or 25) * Fraction(picture.time_base))))
    waiting: list[Any] = []
    for packet in packets:
        if packet.pts is None or (packet.dts is None and packet.stream.index != picture.index):
            continue
        if packet.stream.index != picture.index:
            yield packet
        elif packet.dts is None:
            waiting.append(packet)
        else:
            for place, earlier in enumerate(waiting):
                earlier.dts = packet.dts - step * (len(waiting) - place)
                yield earlier
            waiting = []
            yield packet
    for earlier in waiting:
        earlier.dts = earlier.pts
        yield earlier


@contextmanager
def _written(target: Path, options: dict[str, str]) -> Iterator[av.container.OutputContainer]:
    """A new file that is whole or not there. Raises OutputError."""
    import av
    from av.error import FFmpegError

    temporary = temporary_beside(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        form = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".webm": "webm"}.get(target.suffix.lower(), "matroska")
        with av.open(f"file:{os.path.abspath(temporary)}", "w", format=form, container_options=options) as output:
            yield output
        put_in_place(temporary, target)
    except (OSError, FFmpegError, ValueError) as error:
        if isinstance(error, ClipreelError):
            raise
        raise OutputError(f"{target.name}: cannot be written ({getattr(error, 'strerror', None) or error})") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _picture_stream(output: av.container.OutputContainer, codecs: _Codecs, width: int, height: int, source: Any) -> Any:
    rate = source.average_rate or source.guessed_rate or Fraction(25)
    stream: Any = output.add_stream(codecs.picture, rate=min(Fraction(rate), Fraction(120)), options=codecs.options)
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    stream.codec_context.colorspace = stream.codec_context.color_range = 1  # BT.709, as `_frame_of` makes them
    stream.codec_context.time_base = Fraction(1, 90_000)
    stream.codec_context.gop_size = max(1, round(float(min(Fraction(rate), Fraction(120)))))  # a key frame a second: quick seeks
    return stream


def _frame_of(pixels: Any, stream: Any, seconds: Fraction) -> av.VideoFrame:
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


def _frames(container: Any, streams: list[Any]) -> Iterator[Any]:
    """Decoded frames of some streams; packets that do not decode are passed over."""
    from av.error import FFmpegError

    try:
        for packet in container.demux(streams):
            try:
                yield from packet.decode()
            except FFmpegError:
                continue
    except FFmpegError:
        return  # the file breaks off: what came is what there is


def _hear_again(stream: Any) -> None:
    from av import stream as av_stream

    if hasattr(av_stream, "Discard"):
        stream.discard = av_stream.Discard.default


def _video_frame() -> type:
    import av

    return av.VideoFrame
