"""What a video file says of itself, for lists and for the question whether a browser can play it. Reads headers only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..extract.decode.container import open_container, video_stream

_MEDIA_TYPES = {".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/mp4", ".qt": "video/mp4", ".webm": "video/webm",
                ".mkv": "video/x-matroska", ".ogv": "video/ogg", ".avi": "video/x-msvideo", ".ts": "video/mp2t",
                ".mpg": "video/mpeg", ".mpeg": "video/mpeg"}
_SOUND = {"aac": "mp4a.40.2", "mp3": "mp3", "opus": "opus", "vorbis": "vorbis", "flac": "flac", "ac3": "ac-3", "eac3": "ec-3"}


@dataclass(frozen=True)
class Probe:
    """None where the headers do not say."""

    begin_ms: float  # when the first picture comes: sound may come before it
    duration_ms: float | None
    width: int
    height: int
    fps: float | None
    container: str
    video_codec: str
    audio_codec: str | None
    mime: str | None  # as `canPlayType` takes it


def end_ms(probe: Probe | None, pictures_seconds: float) -> float:
    """When a video ends whose pictures were measured to last so long: they need not begin with the file."""
    return (probe.begin_ms if probe is not None else 0.0) + pictures_seconds * 1000


def probe(path: Path) -> Probe:
    """Raises UnreadableVideoError."""
    with open_container(path) as container:
        stream = video_stream(container, path)
        codec = stream.codec_context.name
        sound = next((one.codec_context.name for one in container.streams.audio if one.codec_context is not None), None)
        seconds = container.duration / 1_000_000 if container.duration else None
        if seconds is not None and "matroska" in container.format.name:
            seconds -= max(0, container.start_time or 0) / 1_000_000  # its duration is the time of its end
        if seconds is None and stream.duration and stream.time_base:
            seconds = float(stream.duration * stream.time_base)
        begin = 0.0
        if stream.start_time is not None and stream.time_base and container.start_time is not None:
            begin = max(0.0, float(stream.start_time * stream.time_base) - container.start_time / 1_000_000)
        rate = stream.average_rate or stream.guessed_rate
        aspect = stream.sample_aspect_ratio
        width = round(stream.width * aspect) if aspect and aspect > 0 else stream.width
        return Probe(begin * 1000, seconds * 1000 if seconds is not None else None, width, stream.height,
                     float(rate) if rate else None, _container(path, container.format.name), codec, sound,
                     _mime(path, _picture_codec(codec, stream.codec_context), sound))


def _container(path: Path, names: str) -> str:
    """Of FFmpeg's names for a family of containers the one that the file calls itself."""
    suffix = path.suffix.lower().lstrip(".")
    return suffix if suffix in names.split(",") else names.partition(",")[0]


def media_type(path: Path) -> str:
    return _MEDIA_TYPES.get(path.suffix.lower(), "application/octet-stream")


def _mime(path: Path, picture: str | None, sound: str | None) -> str | None:
    if path.suffix.lower() not in _MEDIA_TYPES or picture is None:
        return None
    codecs = picture + (f",{_SOUND.get(sound, sound)}" if sound else "")
    return f'{media_type(path)}; codecs="{codecs}"'


def _picture_codec(name: str, context) -> str | None:
    """RFC 6381's word for a codec."""
    extra = bytes(context.extradata or b"")
    deep = "10" in (context.pix_fmt or "")
    if name == "h264":
        return f"avc1.{extra[1:4].hex()}" if len(extra) > 4 and extra[0] == 1 else "avc1.6e0028" if deep else "avc1.640028"
    names = {"hevc": "hvc1.2.4.L120.B0" if deep else "hvc1.1.6.L120.B0", "vp8": "vp8",
             "vp9": "vp09.02.40.10" if deep else "vp09.00.40.08",
             "av1": "av01.0.08M.10" if deep else "av01.0.08M.08", "libdav1d": "av01.0.08M.10" if deep else "av01.0.08M.08",
             "theora": "theora", "mpeg4": "mp4v.20.9"}
    return names.get(name)
