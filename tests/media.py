"""Small videos made for tests, each with a known truth: frame numbers readable in the picture, times, size, damage.

Every frame shows its number as a row of black and white blocks (`read_code`) above moving texture. The clips are
listed in `ZOO`, at the bottom; `make_clip` writes one, `plain_decode` is the oracle that readers are compared with.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np

Maker = Callable[[Path], None]
BLOCKS = 12  # a white block, nine bits, a black block, parity; they span the width, so the code survives scaling
PATCHES = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (230, 230, 230), (128, 128, 128), (200, 100, 50))
MATRICES = {"bt601": (6, 0.299, 0.114), "bt709": (1, 0.2126, 0.0722), "bt2020": (9, 0.2627, 0.0593)}  # tag, Kr, Kb
QUIET_X265 = "log-level=none:pools=none:frame-threads=1:bframes=3"
FAST_MKV = {"reserve_index_space": "0"}


def picture(number: int, width: int, height: int, scene: str = "moving") -> np.ndarray:
    """Draw an upright frame: its number on top of a "moving" or "static" texture or of the colour "patches".

    Returns:
        uint8 RGB array.  # [height, width, 3]
    """
    if scene == "patches":
        rgb = np.array(PATCHES, np.uint8)[np.arange(width) * len(PATCHES) // width][None].repeat(height, 0)
    else:
        noise = np.random.default_rng(7).integers(40, 216, (height // 8 + 2, width // 8 + 2, 3), np.uint8)
        rgb = noise.repeat(8, 0).repeat(8, 1)
        if scene == "moving":
            rgb = np.roll(rgb, (number, 2 * number), (0, 1))
        rgb = rgb[:height, :width].copy()
    bits = [number >> bit & 1 for bit in range(8, -1, -1)]
    blocks = np.array([1, *bits, 0, sum(bits) % 2], np.uint8) * 255
    rgb[: height // 8] = blocks[np.arange(width) * BLOCKS // width][None, :, None]
    return rgb


def read_code(rgb: np.ndarray) -> int:
    """Read the number in an upright frame of any scale.

    Raises:
        ValueError: no code is there: the frame is turned, mirrored, broken or foreign.
    """
    height, width = rgb.shape[:2]
    row = rgb[height // 32 : max(height // 32 + 1, height * 3 // 32)].mean(axis=(0, 2))  # [width]
    centres = [(2 * block + 1) * width // (2 * BLOCKS) for block in range(BLOCKS)]
    bits = [int(row[max(0, centre - 1) : centre + 2].mean() > 128) for centre in centres]
    if bits[0] != 1 or bits[10] != 0 or bits[11] != sum(bits[1:10]) % 2:
        raise ValueError(f"no frame code in this picture of {width}x{height}: the blocks read {bits}")
    return int("".join(map(str, bits[1:10])), 2)


def read_patches(rgb: np.ndarray) -> np.ndarray:
    """The mean colours of the patches of a "patches" picture, to compare with PATCHES.  # [6, 3]"""
    height, width = rgb.shape[:2]
    centres = [(2 * patch + 1) * width // (2 * len(PATCHES)) for patch in range(len(PATCHES))]
    return np.array([rgb[height // 2 : height // 2 + 8, x - 2 : x + 3].mean(axis=(0, 1)) for x in centres])


@dataclass(frozen=True)
class Recipe:
    """How one video stream is drawn, encoded and muxed."""

    codec: str = "libx264"
    size: tuple[int, int] = (96, 64)  # upright width and height
    frames: int = 36
    rate: Fraction = Fraction(25)
    ticks: tuple[int, ...] | None = None  # presentation times in `tick` seconds; else one frame after the other
    tick: Fraction | None = None
    gop: int = 12
    pixels: str = "yuv420p"
    scene: str = "moving"
    rotation: int = 0  # counter-clockwise degrees that a player turns the stored picture by
    mirrored: bool = False  # … and then flips it left to right
    sar: Fraction | None = None
    colours: tuple[str, bool] | None = None  # a key of MATRICES, full range
    first_number: int = 0
    audio_seconds: float = 0
    options: dict[str, str] = field(default_factory=dict)
    muxer: dict[str, str] = field(default_factory=dict)

    @property
    def times_ms(self) -> tuple[float, ...]:
        """Presentation times as encoded."""
        tick = self.tick or 1 / self.rate
        return tuple(float(1000 * tick * pts) for pts in self.ticks or range(self.frames))

    def write(self, path: Path, form: str | None = None) -> None:
        """Encode into a new file; `form` is the muxer where the suffix does not tell."""
        with av.open(str(path), "w", format=form, container_options=self.muxer) as container:
            stream = self.add_to(container)
            sound = add_audio(container) if self.audio_seconds else None
            container.mux(list(self.packets(stream)))
            if sound is not None:
                container.mux(list(audio_packets(sound, self.audio_seconds)))

    def add_to(self, container: Any) -> Any:
        """Add the video stream to an output container."""
        stream = container.add_stream(self.codec, rate=self.rate, options=self.options)
        stream.width, stream.height = self.size if self.rotation % 180 == 0 else self.size[::-1]
        stream.pix_fmt = self.pixels
        context = stream.codec_context
        context.time_base, context.gop_size, context.thread_count = self.tick or 1 / self.rate, self.gop, 1
        if self.sar:
            context.sample_aspect_ratio = self.sar
        if self.colours:
            context.colorspace, context.color_range = MATRICES[self.colours[0]][0], 1 + self.colours[1]
        if self.rotation or self.mirrored:
            stream.set_display_rotation(self.rotation, hflip=self.mirrored)
        return stream

    def packets(self, stream: Any) -> Iterator[Any]:
        """Encode every frame."""
        for index, pts in enumerate(self.ticks or range(self.frames)):
            rgb = picture(self.first_number + index, *self.size, self.scene)
            rgb = rgb[:, ::-1] if self.mirrored else rgb
            rgb = np.ascontiguousarray(np.rot90(rgb, -self.rotation // 90))
            if self.colours:
                frame = yuv_frame(rgb, self.pixels, *self.colours)
            else:
                frame = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format=self.pixels)
            frame.pts, frame.time_base = pts, self.tick or 1 / self.rate
            yield from stream.encode(frame)
        yield from stream.encode(None)


def yuv_frame(rgb: np.ndarray, pixels: str, matrix: str, full: bool) -> av.VideoFrame:
    """Convert by the standard's formula, without swscale, so that it can be the judge of swscale."""
    tag, kr, kb = MATRICES[matrix]
    red, green, blue = np.moveaxis(rgb / 255, -1, 0)
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    planes = [luma, (blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr)]
    deep = "10" in pixels
    frame = av.VideoFrame(rgb.shape[1], rgb.shape[0], pixels)
    for index, plane in enumerate(planes):
        if index and "420" in pixels:
            plane = (plane[::2, ::2] + plane[1::2, ::2] + plane[::2, 1::2] + plane[1::2, 1::2]) / 4
        if full:
            plane = plane * (1023 if deep else 255) + (index > 0) * (512 if deep else 128)
        else:
            plane = (plane * (224 if index else 219) + (128 if index else 16)) * (4 if deep else 1)
        samples = np.clip(plane.round(), 0, 1023 if deep else 255).astype(np.uint16 if deep else np.uint8)
        padded = np.zeros((samples.shape[0], frame.planes[index].line_size // samples.itemsize), samples.dtype)
        padded[:, : samples.shape[1]] = samples
        frame.planes[index].update(padded.tobytes())
    frame.colorspace, frame.color_range = tag, 1 + full
    return frame


def add_audio(container: Any) -> Any:
    """Add a mono stream in the codec that the container likes."""
    webm = container.format.name == "webm"
    return container.add_stream("libopus" if webm else "aac", rate=48000, layout="mono")


def audio_packets(stream: Any, seconds: float) -> Iterator[Any]:
    """A quiet hum whose first packet starts at zero, encoder delay included."""
    delay = 312 if stream.codec_context.name == "libopus" else 1024
    wave = (np.sin(np.arange(round(seconds * 48000)) / 20) * 0.1).astype(np.float32)[None]
    frame = av.AudioFrame.from_ndarray(wave, "fltp", "mono")
    frame.sample_rate, frame.pts, frame.time_base = 48000, delay, Fraction(1, 48000)
    resampler = av.AudioResampler(stream.codec_context.format, "mono", 48000, stream.codec_context.frame_size or 960)
    for part in [*resampler.resample(frame), None]:
        yield from stream.encode(part)


def plain_decode(path: Path, upright: bool = False) -> list[tuple[float | None, np.ndarray]]:
    """Decode every frame of the first video stream that is not a cover picture: the oracle for readers.

    Nothing is skipped or sought. Pictures are as stored: turned only when `upright`, never scaled by the sample aspect
    ratio. Times are in ms from the container's start, edit lists applied. AVI stores no presentation times (libavformat
    guesses them wrong with B-frames): there the k-th picture out has the k-th decoding time. Raw streams have None.
    Packets that the decoder refuses are passed over.
    """
    pictures, times, slots = [], [], []
    with av.open(str(path)) as container:
        stream = next(each for each in container.streams.video if not each.disposition & av.stream.Disposition.attached_pic)
        start, base = Fraction(container.start_time or 0, 1_000_000), stream.time_base or Fraction(1)
        for packet in container.demux(stream):
            if packet.dts is not None and packet.size:
                slots.append(packet.dts)
            try:
                frames = stream.decode(packet)
            except av.InvalidDataError:
                continue
            for frame in frames:
                rgb = frame.to_ndarray(format="rgb24").copy()
                pictures.append(stand_up(rgb, frame) if upright else rgb)
                times.append(frame.pts)
        if container.format.name == "avi":
            times = [slot - min(slots) for slot in sorted(slots)][: len(pictures)]
    milliseconds = [None if pts is None else float(1000 * (pts * base - start)) for pts in times]
    return list(zip(milliseconds, pictures, strict=True))


def stand_up(rgb: np.ndarray, frame: av.VideoFrame) -> np.ndarray:
    """Turn and mirror a stored picture as the display matrix of its frame says."""
    side = [data for data in frame.side_data.values() if data.type.name == "DISPLAYMATRIX"]
    if not side:
        return rgb
    a, b, _, c, d = np.frombuffer(bytes(side[0]), np.int32)[:5]
    rgb = rgb.swapaxes(0, 1) if a == 0 else rgb
    rgb = rgb[:, ::-1] if a + c < 0 else rgb
    return np.ascontiguousarray(rgb[::-1] if b + d < 0 else rgb)
