"""Making a `VideoIndex`: from the packets alone where they can be trusted, else by decoding once.

Never a header's word for count or duration. Packets lie in AVI (its times are FFmpeg's invention, wrong with B-frames)
and are silent in raw streams: there frames are counted as they come out, and the k-th has the k-th decode time.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import EmptyVideoError
from ..frames import PacketTable, VideoIndex
from .container import open_container, video_stream
from .file_end import missing_bytes
from .picture import PictureMaker

if TYPE_CHECKING:
    import av
    import av.container
    import av.video.stream


_MOST_MOVED_SECONDS = Fraction(1, 10)


@dataclass
class _Scan:
    """What one pass over the packets found."""

    pts: list[int | None] = field(default_factory=list)
    dts: list[int | None] = field(default_factory=list)
    durations: list[int] = field(default_factory=list)
    entry: list[bool] = field(default_factory=list)
    hidden: list[bool] = field(default_factory=list)  # cut away by an edit list
    corrupt: list[bool] = field(default_factory=list)  # incomplete at the end of a file, but whole at a joint of two .ts
    first_picture: np.ndarray | None = None
    first_pts: int | None = None  # of that picture
    damage: str | None = None


@dataclass(frozen=True)
class _Times:
    """A decoded frame without its pixels: a long video's frames must not all stay in memory."""

    pts: int | None
    dts: int | None


def index_video(path: Path, *, by_decoding: bool = False) -> VideoIndex:
    """The index of a video file. Raises UnreadableVideoError, or EmptyVideoError when no frame decodes."""
    from av.error import FFmpegError

    with open_container(path) as container:
        stream = video_stream(container, path)
        stream.codec_context.thread_count = 1
        scan = _Scan()
        decoded: list[_Times] = []
        try:
            for packet in container.demux(stream):
                if packet.size == 0:
                    if packet.dts is None and packet.pts is None:
                        break
                    continue  # AVI's dropped slots
                scan.pts.append(packet.pts)
                scan.dts.append(packet.dts)
                scan.durations.append(packet.duration or 0)
                scan.entry.append(packet.is_keyframe)
                scan.hidden.append(packet.is_discard)
                scan.corrupt.append(packet.is_corrupt)
                if by_decoding or scan.first_picture is None:
                    _decode(path, scan, stream, packet, decoded, keep=by_decoding)
            _decode(path, scan, stream, None, decoded, keep=by_decoding)
        except FFmpegError as error:
            scan.damage = scan.damage or f"breaks off inside ({error.strerror})"
        if scan.first_picture is None:
            raise EmptyVideoError(f"{path}: not one frame of it decodes{f' (it {scan.damage})' if scan.damage else ''}")
        return _build(path, container, stream, scan, decoded if by_decoding else None)


def _decode(path: Path, scan: _Scan, stream: av.video.stream.VideoStream, packet: av.Packet | None,
            decoded: list[_Times], *, keep: bool) -> None:
    """Decode on until the first picture is out (it alone tells the rotation), or everything with `keep`."""
    from av.error import FFmpegError

    if not keep and scan.first_picture is not None:
        return
    try:
        frames = stream.codec_context.decode(packet)
    except FFmpegError as error:
        if error.errno == errno.ENOMEM:  # it is not the video's
            raise
        if scan.first_picture is not None:  # before it: a recording that begins in mid-GOP, perhaps
            scan.damage = scan.damage or f"breaks inside, a packet does not decode ({error.strerror})"
        return
    for frame in frames:
        if scan.first_picture is None:
            scan.first_picture = PictureMaker(path, stream.sample_aspect_ratio).picture(frame)
            scan.first_pts = frame.pts
        if keep:
            decoded.append(_Times(frame.pts, frame.dts))


def _build(path: Path, container: av.container.InputContainer, stream: av.video.stream.VideoStream, scan: _Scan,
           decoded: list[_Times] | None) -> VideoIndex:
    time_base = Fraction(stream.time_base) if stream.time_base else Fraction(1, 1000)
    rate = stream.average_rate or stream.guessed_rate
    fps = Fraction(rate) if rate and rate > 0 else None
    missing = missing_bytes(path)
    if missing:
        scan.hidden = [hidden or corrupt for hidden, corrupt in zip(scan.hidden, scan.corrupt, strict=True)]
    trusted = container.format.name != "avi" and all(pts is not None for pts in scan.pts)
    if decoded is not None:
        pts, told = _ticks_of_frames(decoded, fps, time_base)
        trusted, packets = trusted and told, None
    elif trusted:
        pts, packets = _from_packets(scan)
    else:
        pts, packets = _ticks_by_count(scan, fps, time_base), None
    if not len(pts):
        raise EmptyVideoError(f"{path}: no frame of it is to be shown")
    step = int(np.median(np.diff(pts))) if len(pts) > 1 else 0
    last = max(_last_duration(scan, int(pts[-1])) if trusted else 0, 0) or step
    last = last or (max(1, int(1 / (fps * time_base))) if fps else 1)
    fps = _true_rate(fps, pts, last, time_base)
    assert scan.first_picture is not None
    height, width = scan.first_picture.shape[:2]
    # a raw stream has no timeline: it begins with its first frame, as do times that we gave ourselves
    timeline = trusted and container.start_time is not None
    start = _start_seconds(container, stream, time_base) if timeline else pts[0].item() * time_base
    damage = scan.damage or _early_end(missing, container, float((int(pts[-1]) + 2 * last) * time_base - start))
    end = int(pts[-1]) + last
    said = (stream.start_time or 0) + stream.duration if trusted and stream.duration else end
    return VideoIndex(path, width, height, time_base, start, fps, pts, end, packets, damage,
                      said_end_pts=said if pts[-1] < said < end else None)


def _true_rate(said: Fraction | None, pts: np.ndarray, last: int, time_base: Fraction) -> Fraction | None:
    """The rate of the headers where the frames bear it out, in the mean or by their usual step (Matroska rounds its
    times, a broadcast may lack frames), else the mean rate."""
    if len(pts) < 2:
        return said
    seconds = (int(pts[-1]) - int(pts[0])) * time_base
    usual_step = Fraction(float(np.median(np.diff(pts)))) * time_base
    for span, steps in ((seconds, len(pts) - 1), (usual_step, 1)):
        if said is not None and abs(span - steps / said) <= time_base + span / 100:
            return said
    return len(pts) / (seconds + last * time_base)


def _early_end(missing: int, container: av.container.InputContainer, end_seconds: float) -> str | None:
    if not missing:
        return None
    said = container.duration if "matroska" in container.format.name else None
    if said is not None and end_seconds >= said / 1e6:
        return None  # only the seek table at the end was lost
    return f"ends early: {missing} bytes are missing"


def _from_packets(scan: _Scan) -> tuple[np.ndarray, PacketTable]:
    pts = np.array(scan.pts, dtype=np.int64)
    entry = np.array(scan.entry, dtype=bool)
    shown = ~np.array(scan.hidden, dtype=bool)
    first_entry = int(np.argmax(entry)) if entry.any() else 0
    shown[:first_entry] = False  # nothing to decode these from
    if entry.any():
        # leading pictures of the very first entry refer to frames that are not in the file (unless they do come out)
        begin = min(pts[first_entry], pts[first_entry] if scan.first_pts is None else scan.first_pts)
        until = first_entry + 1 + int(np.argmax(entry[first_entry + 1:])) if entry[first_entry + 1:].any() else len(pts)
        shown[first_entry:until] &= pts[first_entry:until] >= begin
    frame_pts = np.unique(pts[shown])
    # packets of equal time (a hidden alternate reference and its picture, two fields) are one frame
    shows = np.where(shown, np.searchsorted(frame_pts, pts), -1)
    return frame_pts, PacketTable(pts, shows.astype(np.int64), entry)


def _ticks_by_count(scan: _Scan, fps: Fraction | None, time_base: Fraction) -> np.ndarray:
    first_entry = scan.entry.index(True) if True in scan.entry else 0  # nothing to decode earlier packets from
    dts = [time for time, hidden in zip(scan.dts[first_entry:], scan.hidden[first_entry:], strict=True) if not hidden]
    known = sorted(time for time in dts if time is not None)
    ticks = _increasing(known) if len(known) == len(dts) else None
    return _even_ticks(len(dts), scan.durations, fps, time_base) if ticks is None else ticks


def _ticks_of_frames(times: list[_Times], fps: Fraction | None, time_base: Fraction) -> tuple[np.ndarray, bool]:
    """Increasing ticks, and whether they are the presentation times that the file tells."""
    pts, dts = [time.pts for time in times], [time.dts for time in times]
    if (ticks := _increasing(pts)) is not None:
        return ticks, True
    if (ticks := _increasing(dts)) is not None:
        return ticks, False
    if (ticks := _nearly_increasing(pts, time_base)) is not None:
        return ticks, True
    return _even_ticks(len(times), [], fps, time_base), False


def _increasing(times: Sequence[int | None]) -> np.ndarray | None:
    known = [time for time in times if time is not None]
    ticks = np.array(known, dtype=np.int64)
    return ticks if len(known) == len(times) and bool(np.all(np.diff(ticks) > 0)) else None


def _nearly_increasing(times: Sequence[int | None], time_base: Fraction) -> np.ndarray | None:
    """Times of which a few are equal or step back a little (two frames of a capture in one tick, a joint of two files): those
    come one tick after the frame before them. None where that would invent more than it keeps."""
    known = np.array([time for time in times if time is not None], dtype=np.int64)
    if len(known) < max(2, len(times)):
        return None
    places = np.arange(len(known))
    ticks = np.maximum.accumulate(known - places) + places
    moved = ticks - known
    few = 10 * int((moved > 0).sum()) <= len(known)
    return ticks if few and int(moved.max()) * time_base <= _MOST_MOVED_SECONDS else None


def _even_ticks(count: int, durations: list[int], fps: Fraction | None, time_base: Fraction) -> np.ndarray:
    known = [duration for duration in durations if duration > 0]
    step = max(Fraction(1), Fraction(int(np.median(known))) if known else 1 / (fps or Fraction(25)) / time_base)
    return np.array([int(k * step) for k in range(count)], dtype=np.int64)


def _last_duration(scan: _Scan, last_pts: int) -> int:
    return next((duration for pts, duration in zip(scan.pts[::-1], scan.durations[::-1], strict=True)
                 if pts == last_pts), 0)


def _start_seconds(container: av.container.InputContainer, stream: av.video.stream.VideoStream,
                   time_base: Fraction) -> Fraction:
    start = Fraction(container.start_time or 0, 1_000_000)
    if stream.start_time is not None and abs(stream.start_time * time_base - start) < Fraction(1, 1_000_000):
        return stream.start_time * time_base  # the container's figure is rounded to microseconds
    return start
