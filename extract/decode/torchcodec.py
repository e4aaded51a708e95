"""The reader `torchcodec`: on a CUDA device NVDEC, the GPU's own decoder, whose frames stay there; else FFmpeg's decoders, those
of the system's shared libraries (4 to 9), since torchcodec brings none.

Times and entries come from our own index, which torchcodec gets as its frame mapping, so it need not scan the file again; each
frame's time is checked when it comes. It is given an open file, never a name: what a file refers to is then out of its reach.
Damage that decoders conceal is not seen here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ...errors import DamagedVideoError, IndexMismatchError, NvdecError, UnreadableVideoError
from ..frames import DeviceFrameBatch, FrameBatch, VideoIndex
from .container import open_container, video_stream
from .index import index_video
from .nvdec import video_decoder
from .picture import display_matrix, upright

if TYPE_CHECKING:
    import torch

_AT_ONCE = 8  # frames: 50 MB of 1080p
# Formats in which it was seen to seek to other frames than asked, under right times in AVI.
_WRONG = {"avi": "AVI", "mpegts": "MPEG transport streams", "mpeg": "MPEG program streams"}
# NVDEC's frames are converted by the matrix that its parser finds in the bitstream, in H.273's codes, and every other one is
# taken for BT.601. VP9 has codes of its own, VP8 and MPEG-4 say nothing there: of those only BT.601 is sure to be right.
_BT_601 = {None, "unknown", "bt470bg", "smpte170m"}
_OTHER_MATRICES, _H273_CODECS = {"bt709", "bt2020nc"}, {"h264", "hevc", "av1"}


class TorchcodecReader:
    """Frames by torchcodec 0.16 or later. `device`: in torch's words."""

    def __init__(self, device: str = "cpu"):
        self.device = device

    def index(self, path: Path, *, by_decoding: bool = False) -> VideoIndex:
        return index_video(path, by_decoding=by_decoding)

    def frames(self, index: VideoIndex, wanted: np.ndarray, *, allow_truncated: bool = False) -> Iterator[FrameBatch]:
        for batch in self.frames_on_device(index, wanted, allow_truncated=allow_truncated):
            yield batch.on_cpu()

    def frames_on_device(
        self, index: VideoIndex, wanted: np.ndarray, *, allow_truncated: bool = False,
    ) -> Iterator[DeviceFrameBatch]:
        """As `frames`. Raises NvdecError, before the first frame, where NVDEC cannot decode the video."""
        if index.damage and not allow_truncated:
            raise DamagedVideoError(f"{index.path}: {index.damage} (reader=pyav with allow_truncated=true keeps what decodes)")
        if not len(wanted):
            return
        number = _stream_number(index)
        with open(index.path, "rb") as file:
            try:
                decoder = self._decoder(file, index, number)
                for begin in range(0, len(wanted), _AT_ONCE):
                    places = wanted[begin:begin + _AT_ONCE]
                    batch = decoder.get_frames_at(places.tolist())
                    _check_times(index, places, batch.pts_seconds.numpy())
                    yield DeviceFrameBatch(_to_display(batch.data, index), places, index.times_ms(index.pts[places]))
            except (RuntimeError, IndexError, ValueError) as error:
                raise UnreadableVideoError(f"{index.path}: torchcodec fails ({_first_line(error)}); use reader=pyav") from error

    def _decoder(self, file: BinaryIO, index: VideoIndex, stream_number: int) -> Any:
        mapping: dict[str, Any] = {} if index.packets is None else {"custom_frame_mappings": _mapping(index)}
        decoder = video_decoder(file, stream_index=stream_number, dimension_order="NHWC", num_ffmpeg_threads=1,
                                device=self.device, **mapping)
        if index.packets is None and len(decoder) != len(index):
            raise UnreadableVideoError(f"{index.path}: torchcodec sees {len(decoder)} frames where there are {len(index)}: their "
                                       "times cannot be told; use reader=pyav")
        if self.device.startswith("cuda"):
            if decoder.cpu_fallback:
                raise NvdecError(f"{index.path}: NVDEC does not decode it ({decoder.cpu_fallback}); use reader=auto or pyav")
            if not has_nvdec_colours(decoder.metadata.codec, decoder.metadata.color_space):
                raise NvdecError(f"{index.path}: NVDEC's frames have other colours where the matrix of {decoder.metadata.codec} is "
                                 f"{decoder.metadata.color_space}; use reader=auto or pyav")
        return decoder


def has_nvdec_colours(codec: str | None, matrix: str | None) -> bool:
    """Whether torchcodec converts what NVDEC decodes by this matrix; both in FFmpeg's words."""
    return matrix in _BT_601 or (matrix in _OTHER_MATRICES and codec in _H273_CODECS)


def _stream_number(index: VideoIndex) -> int:
    """Of the picture stream that our index is of. Raises UnreadableVideoError for what torchcodec reads wrongly."""
    with open_container(index.path) as container:
        stream = video_stream(container, index.path)
        number = stream.index
        if weakness := next((words for name, words in _WRONG.items() if name in container.format.name.split(",")), None):
            raise UnreadableVideoError(f"{index.path}: torchcodec gives wrong frames for {weakness}: use reader=pyav")
        frame = next(container.decode(stream), None)
        matrix = display_matrix(frame) if frame is not None else None
    if matrix is not None:
        corners = np.arange(4).reshape(2, 2)
        turned = upright(corners[..., None], matrix)[..., 0]
        if not any(np.array_equal(turned, np.rot90(corners, turn)) for turn in range(4)):
            raise UnreadableVideoError(f"{index.path}: torchcodec gives wrong frames for mirrored pictures: use reader=pyav")
    return number


def _mapping(index: VideoIndex) -> str:
    """Our index in ffprobe's words: times and entries of every frame, in presentation order."""
    packets = index.packets
    assert packets is not None
    entries = np.zeros(len(index), dtype=bool)
    entries[packets.shows[packets.entry & (packets.shows >= 0)]] = True
    durations = np.diff(index.pts, append=index.end_pts)
    return json.dumps({"frames": [{"pts": pts, "duration": duration, "key_frame": int(entry)} for pts, duration, entry in
                                  zip(index.pts.tolist(), durations.tolist(), entries.tolist(), strict=True)]})


def _check_times(index: VideoIndex, places: np.ndarray, seconds: np.ndarray) -> None:
    """A frame under another's time would be a silent error."""
    expected = np.array([float(tick * index.time_base) for tick in index.pts[places].tolist()])
    wrong = np.flatnonzero(np.abs(seconds - expected) > float(index.time_base) / 2)
    if len(wrong):
        raise IndexMismatchError(f"{index.path}: torchcodec gives the frame of {seconds[wrong[0]]:g} s for that of "
                                 f"{expected[wrong[0]]:g} s: use reader=pyav")


def _to_display(pixels: torch.Tensor, index: VideoIndex) -> torch.Tensor:
    """uint8 [n, h, w, 3]: torchcodec turns pictures upright itself but knows no pixel aspect ratio."""
    if tuple(pixels.shape[1:3]) == (index.height, index.width):
        return pixels
    from torch.nn import functional

    resized = functional.interpolate(pixels.permute(0, 3, 1, 2).float(), size=(index.height, index.width), mode="bicubic",
                                     antialias=True)
    return resized.add_(0.5).clamp_(0, 255).to(pixels.dtype).permute(0, 2, 3, 1).contiguous()


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
