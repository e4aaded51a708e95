"""Opening a file with FFmpeg (through PyAV) so that it can reach nothing but itself."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import UnreadableVideoError
from .file_end import missing_bytes

if TYPE_CHECKING:
    import av
    import av.container
    import av.video.stream

# Formats that are lists of other files or addresses, scripts, or devices: a "video" of these could read what it likes.
_REACHING_OUT = {
    "hls", "dash", "concat", "concatf", "sdp", "rtsp", "rtp", "sap", "image2", "lavfi", "applehttp",
    "webm_dash_manifest", "imf", "alsa", "fbdev", "kmsgrab", "oss", "pulse", "video4linux2", "v4l2", "x11grab", "xcbgrab",
    "tty", "ffmetadata", "vapoursynth", "avisynth", "dvdvideo", "vobsub", "android_camera", "openal", "rtp_mpegts",
    "avfoundation", "dshow", "gdigrab", "vfwcap", "libndi_newtek", "decklink", "jack", "sndio", "iec61883", "srt",
}
_MAX_PIXELS = 16384 * 16384


@contextmanager
def open_container(path: Path) -> Iterator[av.container.InputContainer]:
    """The file, opened for reading. Raises UnreadableVideoError with the reason."""
    import av
    from av.error import FFmpegError

    _check_is_file(path)
    try:
        # "file:" and the absolute path: a name with a colon or a dash in front is still a name
        # (and its title may be in any encoding)
        container = av.open(f"file:{os.path.abspath(path)}", metadata_errors="replace", options={
            "protocol_whitelist": "file", "format_whitelist": _allowed_formats()})
    except OSError as error:  # some of FFmpeg's are these too
        raise UnreadableVideoError(f"{path}: cannot be read ({error.strerror or error})") from error
    except FFmpegError as error:
        raise UnreadableVideoError(f"{path}: {_reason(path, error)}") from error
    with container:
        yield container


def video_stream(container: av.container.InputContainer, path: Path) -> av.video.stream.VideoStream:
    """The picture stream to use: the best one that is no cover picture; all other streams are discarded unread."""
    from av import stream as av_stream

    cover = av_stream.Disposition.attached_pic
    films = [stream for stream in container.streams.video if not stream.disposition & cover]
    if not films:
        what = "only a cover picture" if container.streams.video else "sound only" if container.streams.audio else "none"
        raise UnreadableVideoError(f"{path}: has no video stream ({what})")
    best = container.streams.best("video")
    chosen = next((stream for stream in films if best is not None and stream.index == best.index), films[0])
    if chosen.codec_context is None:
        raise UnreadableVideoError(f"{path}: no decoder in this build of FFmpeg for its video stream")
    if chosen.width * chosen.height > _MAX_PIXELS:
        raise UnreadableVideoError(f"{path}: says it is {chosen.width}x{chosen.height} pixels; "
                                   f"allowed are {_MAX_PIXELS} in all")
    if hasattr(av_stream, "Discard"):  # PyAV 18; before it, sound is read and thrown away
        for stream in container.streams:
            if stream.index != chosen.index:
                stream.discard = av_stream.Discard.all
    return chosen


def _check_is_file(path: Path) -> None:
    """Without opening it: a pipe would wait for a writer for ever."""
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise UnreadableVideoError(f"{path}: there is no such file") from error
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise UnreadableVideoError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if stat.S_ISDIR(status.st_mode):
        raise UnreadableVideoError(f"{path}: is a folder, not a video")
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableVideoError(f"{path}: is a pipe, a socket or a device, not a file")
    if status.st_size == 0:
        raise UnreadableVideoError(f"{path}: is empty (0 bytes)")


@cache
def _allowed_formats() -> str:
    import av

    names = {name for names in av.formats_available for name in names.split(",")}
    return ",".join(sorted(names - _REACHING_OUT))


def _reason(path: Path, error: Exception) -> str:
    if missing_bytes(path):
        return f"is cut off: {missing_bytes(path)} bytes are missing, its index among them"
    with open(path, "rb") as file:
        is_list = file.read(64).lstrip(b"\xef\xbb\xbf \r\n").startswith((b"#EXTM3U", b"ffconcat", b"[playlist]"))
    if is_list or getattr(error, "errno", None) == 22:
        return "is refused: not a video but a list or script that points elsewhere, or of a format that is not read"
    return f"is no video that FFmpeg can read ({getattr(error, 'strerror', None) or error})"
