"""Copies of a video, or of a part of it: packets as they are, or decoded and encoded anew, through FFmpeg's libraries.

No command line is made, so no name can be taken for an option; files are opened with `protocol_whitelist=file`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ClipreelError, DamagedVideoError, OutputError
from ..extract.decode.container import open_container, video_stream
from ..extract.decode.picture import PictureMaker
from ..extract.store.files import put_in_place, temporary_beside
from .part_writer import CODECS, Format, PartWriter

if TYPE_CHECKING:
    import av
    import av.container


def encode_part(source: Path, target: Path, form: Format, begin_ms: float, end_ms: float,
                advance: Callable[[float], object]) -> None:
    """Decode [begin, end) and encode it anew into `target`, which begins at 0; upright, square pixels, with its sound.

    Args:
        advance: told the milliseconds that are done; may raise to end the work (nothing is left behind then).

    Raises: UnreadableVideoError, DamagedVideoError (nothing of the part decodes), OutputError.
    """
    codecs = CODECS[form]
    with open_container(source) as container, _written(target, codecs.container_options) as output:
        picture = video_stream(container, source)
        heard = next(iter(container.streams.audio), None)
        if heard is not None and heard.codec_context is None:
            heard = None
        if heard is not None:
            _hear_again(heard)
        maker = PictureMaker(source, picture.sample_aspect_ratio)
        start = Fraction(container.start_time or 0, 1_000_000)
        shift = Fraction(str(begin_ms)) / 1000
        first = (picture.start_time or 0) * Fraction(picture.time_base or 0) - start
        if shift > max(first, 0):  # a seek goes by pictures: it would pass over the sound before the first of them
            container.seek(int((shift + start) * 1_000_000), backward=True)
        writer, before, last = PartWriter(output, codecs, picture, heard), None, None
        for frame in _frames(container, [one for one in (picture, heard) if one is not None]):
            if frame.pts is None or frame.time_base is None:
                continue
            seconds = frame.pts * Fraction(frame.time_base) - start
            time_ms = float(seconds * 1000)
            if isinstance(frame, _video_frame()) and not writer.begun:
                writer.begin(maker.picture(frame))
            if time_ms < begin_ms - 0.5 or time_ms >= end_ms:
                if time_ms >= end_ms + 2000:  # sound and picture are not interleaved more loosely than that
                    break
                if isinstance(frame, _video_frame()) and time_ms < begin_ms:
                    before = frame
            elif isinstance(frame, _video_frame()):
                if before is not None and time_ms > begin_ms + 0.5:
                    writer.picture(maker.picture(before), Fraction(0))  # still on screen where the part begins
                before, last = None, frame
                writer.picture(maker.picture(frame), seconds - shift)
                advance(time_ms - begin_ms)
            else:
                writer.hear(frame, seconds - shift)
        if before is not None:
            writer.picture(maker.picture(before), Fraction(0))
            last = before
        if last is None:
            raise DamagedVideoError(f"{source.name}: no picture between {begin_ms:.0f} and {end_ms:.0f} ms decodes")
        writer.end(maker.picture(last), Fraction(str(end_ms)) / 1000 - shift if math.isfinite(end_ms) else None)


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
