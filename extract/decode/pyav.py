"""The default reader: PyAV (FFmpeg in this process), decoding by plan. PyAV releases the GIL, so threads decode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import DamagedVideoError, IndexMismatchError
from ..frames import FrameBatch, VideoIndex
from .container import open_container, video_stream
from .index import index_video
from .picture import PictureMaker
from .plan import DECODE, DROP, IF_REFERENCE, DecodePlan, plan_decode

if TYPE_CHECKING:
    import av
    import av.container
    import av.video.stream

# Decoders that read skip_frame anew with every packet and skip nothing that others refer to. (libdav1d reads it once,
# at its first packet, and then loses wanted frames; for VP8 and VP9 it changes nothing.)
_SKIP_BY_PACKET = {"h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4"}


class PyavReader:
    """Reads anything FFmpeg reads; frames are bit-identical to a plain decode.

    Damage inside a file is known where a packet that is needed does not decode, the decoder marks a frame, or a frame
    does not come out; nothing else tells: decoders conceal or follow changed bits without a word (VP8, VP9 and HEVC
    nearly always), and no option of theirs changes that.
    """

    def index(self, path: Path, *, by_decoding: bool = False) -> VideoIndex:
        return index_video(path, by_decoding=by_decoding)

    def frames(self, index: VideoIndex, wanted: np.ndarray, *, allow_truncated: bool = False) -> Iterator[FrameBatch]:
        if index.damage and not allow_truncated:
            raise DamagedVideoError(f"{index.path}: {index.damage} (allow_truncated=true keeps what decodes)")
        missing = set(wanted.tolist())
        if not missing:
            return
        if index.packets is not None:
            plans = [plan_decode(index.packets, wanted), None]  # what a jump loses comes without one
        else:
            plans = [None]
        for plan in plans:
            with suppress(_NoEntryError):
                for place, picture in _decode(index, plan, frozenset(missing), allow_truncated):
                    missing.discard(place)
                    places = np.array([place], dtype=np.int64)
                    yield FrameBatch(picture[None], places, index.times_ms(index.pts[places]))
                    if not missing:
                        return
        if allow_truncated:
            return
        if index.packets is not None:
            raise IndexMismatchError(f"{index.path}: {len(missing)} of {len(wanted)} wanted frames never came out")
        raise DamagedVideoError(f"{index.path}: {len(missing)} of {len(wanted)} wanted frames do not decode "
                                "(allow_truncated=true keeps what decodes)")


class _NoEntryError(Exception):
    """Decoding did not start well at a packet that is flagged as an entry (H.264 intra refresh: its pictures become
    whole only bit by bit, and never exactly)."""


class _Restart:
    """After a jump the first frame that comes out must be the entry's own."""

    def __init__(self):
        self.entry_pts: int | None = None

    def checked(self, frames: list[av.VideoFrame]) -> list[av.VideoFrame]:
        if frames and self.entry_pts is not None:
            if frames[0].pts != self.entry_pts:
                raise _NoEntryError
            self.entry_pts = None
        return frames


def _decode(index: VideoIndex, plan: DecodePlan | None, wanted: frozenset[int],
            allow_truncated: bool) -> Iterator[tuple[int, np.ndarray]]:
    """(place, picture) of the wanted frames; without a plan everything is decoded."""
    from av.error import FFmpegError

    place_of = {tick: place for place, tick in enumerate(index.pts.tolist())} if index.packets is not None else None
    count, previous = -1, None  # frames that came out, for a video whose frames have no trusted times
    with open_container(index.path) as container:
        stream = video_stream(container, index.path)
        maker = PictureMaker(index.path, stream.sample_aspect_ratio)
        for frame in _decoded_frames(container, stream, plan, index, allow_truncated):
            count += 1
            if place_of is not None and previous is not None and frame.pts is not None and frame.pts <= previous:
                raise IndexMismatchError(f"{index.path}: frames come out against the order of their times")
            previous = frame.pts
            place = count if place_of is None else place_of.get(frame.pts, -1) if frame.pts is not None else -1
            if place not in wanted:
                continue
            if frame.is_corrupt:
                if allow_truncated:
                    continue
                raise DamagedVideoError(f"{index.path}: the frame at {index.times_ms(index.pts[[place]])[0]:.0f} ms is "
                                        "damaged (allow_truncated=true keeps what decodes)")
            try:
                yield place, maker.picture(frame)
            except FFmpegError as error:
                raise DamagedVideoError(f"{index.path}: a frame cannot be made RGB ({error.strerror})") from error


def _decoded_frames(container: av.container.InputContainer, stream: av.video.stream.VideoStream,
                    plan: DecodePlan | None, index: VideoIndex, allow_truncated: bool) -> Iterator[av.VideoFrame]:
    from av.error import FFmpegError

    context = stream.codec_context
    context.thread_count = 1  # many videos decode side by side; more threads would only fight
    skips = plan is not None and context.codec.name in _SKIP_BY_PACKET
    actions = plan.actions.tolist() if plan is not None else None
    restarts = plan.restarts.tolist() if plan is not None else None
    last = plan.last if plan is not None else -1
    entered, skipping, number, restart = False, False, -1, _Restart()
    try:
        for packet in container.demux(stream):
            if packet.size == 0:
                if packet.dts is None and packet.pts is None:
                    break
                continue
            number += 1
            if actions is not None and restarts is not None:
                if number > last or number >= len(actions):
                    break
                if actions[number] == DROP:
                    continue
                if restarts[number]:
                    if skipping:
                        context.skip_frame, skipping = "DEFAULT", False
                    yield from restart.checked(context.decode(None))
                    context.flush_buffers()
                    restart.entry_pts = packet.pts
                if skips and (actions[number] == IF_REFERENCE) != skipping:
                    skipping = actions[number] != DECODE
                    context.skip_frame = "NONREF" if skipping else "DEFAULT"
            entered = entered or packet.is_keyframe
            try:
                yield from restart.checked(context.decode(packet))
            except FFmpegError as error:
                if entered and not allow_truncated:  # before the first entry there is nothing to decode from
                    raise DamagedVideoError(f"{index.path}: breaks inside, packet {number} does not decode "
                                            f"({error.strerror}; allow_truncated=true keeps what decodes)") from error
        if skipping:
            context.skip_frame = "DEFAULT"
        yield from restart.checked(context.decode(None))
    except FFmpegError as error:
        if not allow_truncated:
            raise DamagedVideoError(f"{index.path}: breaks off inside ({error.strerror}; "
                                    "allow_truncated=true keeps what decodes)") from error
