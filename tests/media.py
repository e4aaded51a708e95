"""Small videos made for tests, each with a known truth: frame numbers readable in the picture, times, size, damage.

Every frame shows its number as a row of black and white blocks (`read_code`) above moving texture. `ZOO` is the list.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from operator import itemgetter
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from av.stream import Disposition
from clipreel.tests.processes import ordinary_priority

BLOCKS = 12  # a white block, nine bits, a black block, parity; they span the width, so the code survives scaling
PATCHES = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (230, 230, 230), (128, 128, 128), (200, 100, 50))
MUXER = {"max_delay": "700000", "fflags": "bitexact"}  # transport streams start at 1.4 s; no random identifiers
MATRICES = {"bt601": (6, "ITU601"), "bt709": (1, "ITU709"), "bt2020": (9, "BT2020")}  # AVColorSpace, swscale's name


def picture(number: int, width: int, height: int, scene: str = "moving") -> np.ndarray:
    """Draw an upright RGB frame: its number above "moving" or "static" texture or "patches".  # uint8 [h, w, 3]"""
    if scene == "patches":
        rgb = np.array(PATCHES, np.uint8)[np.arange(width) * len(PATCHES) // width][None].repeat(height, 0)
    else:
        noise = np.random.default_rng(7).integers(40, 216, (height // 8 + 2, width // 8 + 2, 3), np.uint8)
        shift = number * (scene == "moving")
        rgb = np.roll(noise.repeat(8, 0).repeat(8, 1), (shift, 2 * shift), (0, 1))[:height, :width].copy()
    bits = [number >> bit & 1 for bit in range(8, -1, -1)]
    blocks = np.array([1, *bits, 0, sum(bits) % 2], np.uint8) * 255
    rgb[: height // 8] = blocks[np.arange(width) * BLOCKS // width][None, :, None]
    return rgb


def read_code(rgb: np.ndarray) -> int:
    """Read the number in an upright frame of any scale; ValueError where it is turned, mirrored, broken or foreign."""
    height, width = rgb.shape[:2]
    row = rgb[height // 32 : max(height // 32 + 1, height * 3 // 32)].mean(axis=(0, 2))  # [width]
    centres = [(2 * block + 1) * width // (2 * BLOCKS) for block in range(BLOCKS)]
    bits = [int(row[max(0, x - 1) : x + 2].mean() > 128) for x in centres]
    if bits[0] != 1 or bits[10] != 0 or bits[11] != sum(bits[1:10]) % 2:
        raise ValueError(f"no frame code in this picture of {width}x{height}: the blocks read {bits}")
    return int("".join(map(str, bits[1:10])), 2)


@dataclass(frozen=True)
class Recipe:
    """How one video stream is drawn, encoded and muxed, and which other streams go with it."""

    codec: str = "libx264"  # empty: no video
    options: dict[str, str] = field(default_factory=dict)
    size: tuple[int, int] = (96, 64)  # upright width and height
    frames: int = 36
    rate: Fraction = Fraction(25)
    ticks: tuple[int, ...] | None = None  # presentation times in `tick` seconds; else one frame after the other
    tick: Fraction | None = None
    gop: int = 12
    pixels: str = "yuv420p"
    scene: str = "moving"
    rotation: int = 0  # counter-clockwise degrees by which a player turns the stored picture ...
    mirrored: bool = False  # ... before it flips it left to right
    sar: Fraction | None = None
    colours: tuple[str, bool] | None = None  # a key of MATRICES, full range
    first_number: int = 0
    hidden: tuple[int, ...] = ()  # VP8 packets that show no picture, as alt-ref frames do; timed as their successors
    audio_seconds: float = 0
    sides: tuple[str, ...] = ()  # further streams: "cover", "subtitle", "second video"
    muxer: dict[str, str] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Encode into a new file."""
        with ordinary_priority(), av.open(str(path), "w", container_options=MUXER | self.muxer) as container:
            packets = list(self.packets(self.add_to(container))) if self.codec else []
            for index in self.hidden:
                data = bytes(packets[index])
                packets[index].update(bytes([data[0] & ~0x10]) + data[1:])  # show_frame
                packets[index].pts = packets[index].dts = packets[index + 1].pts
            for side in self.sides:
                packets += side_packets(container, side)
            if self.audio_seconds:
                packets += audio_packets(container, self.audio_seconds)
            container.mux(packets)

    def add_to(self, container: Any) -> Any:
        """Add the video stream to an output container."""
        options = {**self.options, "x264-params": "asm=0:" + self.options.get("x264-params", "")}  # asm: not repeatable
        stream = container.add_stream(self.codec, rate=self.rate, options=options)
        stream.pix_fmt, context = self.pixels, stream.codec_context
        stream.width, stream.height = self.size if self.rotation % 180 == 0 else self.size[::-1]
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
        colours = self.colours and (MATRICES[self.colours[0]][1], 1 + self.colours[1])
        target = dict(zip(("dst_colorspace", "dst_color_range"), colours or (), strict=False))
        for index, pts in enumerate(self.ticks or range(self.frames)):
            rgb = picture(self.first_number + index, *self.size, self.scene)
            rgb = np.rot90(rgb[:, ::-1] if self.mirrored else rgb, -self.rotation // 90)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb)).reformat(format=self.pixels, **target)
            frame.pts, frame.time_base = pts, self.tick or 1 / self.rate
            yield from stream.encode(frame)
        yield from stream.encode(None)


def audio_packets(container: Any, seconds: float) -> list[Any]:
    """Add mono silence whose first packet starts at zero, encoder delay included."""
    stream = container.add_stream("libopus" if container.format.name == "webm" else "aac", rate=48000, layout="mono")
    frame = av.AudioFrame.from_ndarray(np.zeros((1, round(seconds * 48000)), np.float32), "fltp", "mono")
    frame.sample_rate, frame.time_base = 48000, Fraction(1, 48000)
    frame.pts = 0 if container.format.name in ("matroska", "webm") else 1024  # the encoder's delay, which they add
    return [*stream.encode(frame), *stream.encode(None)]


def side_packets(container: Any, side: str) -> list[Any]:
    """Add a "cover" picture, a "subtitle" track or a "second video" whose numbers start at 256."""
    if side == "second video":
        return list((second := Recipe(size=(192, 128), first_number=256)).packets(second.add_to(container)))
    if side == "subtitle":
        packet = av.Packet(b"hello")
        packet.stream, packet.time_base = container.add_mux_stream("subrip"), Fraction(1, 1000)
        packet.pts = packet.dts = packet.duration = 500
        return [packet]
    cover = container.add_stream("png", rate=1)
    cover.width, cover.height, cover.pix_fmt, cover.disposition = 48, 48, "rgb24", Disposition.attached_pic
    frame = av.VideoFrame.from_ndarray(np.full((48, 48, 3), 200, np.uint8), "rgb24")
    return [*cover.encode(frame), *cover.encode(None)]


def plain_decode(path: Path, upright: bool = False) -> list[tuple[float | None, np.ndarray]]:
    """Decode every frame of the first video stream but covers, without skipping or seeking: the oracle for readers.

    Pictures are as stored, turned only when `upright`, never scaled by the sample aspect ratio. Times are in ms from
    the container's start, edit lists applied; None in raw streams. AVI stores no presentation times (libavformat
    guesses wrong): there the k-th picture has the k-th decoding time. Packets that the decoder refuses are passed over.
    """
    pictures, times, slots = [], [], []
    with av.open(str(path)) as container:
        stream = next(each for each in container.streams.video if not each.disposition & Disposition.attached_pic)
        start, base = Fraction(container.start_time or 0, 1_000_000), stream.time_base or Fraction(1)
        for packet in container.demux(stream):
            if packet.size and packet.dts is not None:
                slots.append(packet.dts)
            with suppress(av.error.InvalidDataError):
                for frame in stream.decode(packet):
                    rgb = frame.to_ndarray(format="rgb24").copy()
                    pictures.append(stand_up(rgb, frame) if upright else rgb)
                    times.append(frame.pts)
        if container.format.name == "avi":
            times = [slot - min(slots) for slot in sorted(slots)][: len(pictures)]
    milliseconds = [None if pts is None else float(1000 * (pts * base - start)) for pts in times]
    return list(zip(milliseconds, pictures, strict=True))


def stand_up(rgb: np.ndarray, frame: Any) -> np.ndarray:
    """Turn and mirror a stored picture as the display matrix of its frame says."""
    side = frame.side_data.get("DISPLAYMATRIX")
    if side is None:
        return rgb
    a, b, _, c, d = np.frombuffer(bytes(side), np.int32)[:5]
    rgb = rgb.swapaxes(0, 1) if a == 0 else rgb
    rgb = rgb[:, ::-1] if a + c < 0 else rgb
    return np.ascontiguousarray(rgb[::-1] if b + d < 0 else rgb)


def make_long_video(path: Path, seconds: float = 7200) -> None:
    """Write hours of 25 fps H.264 in about a second, by muxing the same two seconds again and again."""
    recipe = Recipe(frames=50, gop=25)
    with av.open(str(path), "w") as container:
        stream = recipe.add_to(container)
        loop = [(bytes(packet), packet.pts, packet.dts, packet.is_keyframe) for packet in recipe.packets(stream)]
        for shift in range(0, round(seconds * 25), 50):
            for data, pts, dts, is_keyframe in loop:
                packet = av.Packet(data)
                packet.stream, packet.time_base, packet.is_keyframe = stream, 1 / recipe.rate, is_keyframe
                packet.pts, packet.dts = pts + shift, dts + shift
                container.mux(packet)


@dataclass(frozen=True)
class Clip:
    """A video and what is true about it."""

    name: str  # of the file
    make: Callable[[Path], None]
    codec: str  # the encoder
    frames: int  # shown frames
    fps: Fraction | None  # None: the frame rate varies
    times_ms: tuple[float, ...] | None  # on the file's timeline (container start = 0); None: the file has no times
    codes: tuple[int, ...]  # numbers in the shown frames
    size: tuple[int, int]  # width and height after rotation, before the sample aspect ratio
    damage: str  # "", "refused" (no video), "cut" (the last frames are missing), "hole" (frames inside are)


def _clips(names: str, recipe: Recipe, damage: str = "", change: Any = bytes, **truth: Any) -> list[Clip]:
    """Describe files of the recipe with changed bytes; `truth` overrides fields."""
    def make(path: Path) -> None:
        recipe.write(path)
        path.write_bytes(change(path.read_bytes()))

    numbers, fps = tuple(range(recipe.frames)), None if recipe.tick else recipe.rate
    times_ms = tuple(float(1000 * pts * (recipe.tick or 1 / recipe.rate)) for pts in recipe.ticks or numbers)
    facts: dict[str, Any] = {"make": make, "codec": recipe.codec, "frames": recipe.frames, "fps": fps}
    facts |= {"times_ms": times_ms, "codes": numbers, "size": recipe.size, "damage": damage} | truth
    return [Clip(name, **facts) for name in names.split()]


def make_clip(name: str, folder: Path) -> Path:
    """Write the clip into the folder, unless it is there, and return its path."""
    path = folder / name
    if not path.exists():
        ZOO[name].make(path)
    return path


def _two_sizes(path: Path) -> None:
    data, late = b"", tuple(range(20, 38))  # 18 frames on, and 2 more, by which the muxer shifts a stream from 0
    for part in (Recipe(frames=18), Recipe(size=(128, 96), frames=18, first_number=18, ticks=late)):
        part.write(path)
        data += path.read_bytes()
    path.write_bytes(data)


_PLAIN, _B_FRAMES, _CUT = Recipe(), {"bf": "2"}, itemgetter(slice(-3000))
_COPY = {"avoid_negative_ts": "disabled", "mpegts_copyts": "1"}
_X265 = "log-level=none:pools=none:frame-threads=1:keyint=12:min-keyint=12:bframes=3:open-gop="
_EARLY, _LATE, _SHOWN = tuple(range(-5, 31)), tuple(range(50, 86)), (*range(5), *range(6, 17), *range(18, 36))
_TIMES_MS, _SHOWN_MS = tuple(40.0 * number for number in range(36)), tuple(40.0 * number for number in _SHOWN)
_COLOURS = [(name, full, deep) for name in MATRICES for full in (False, True) for deep in ("", "10le")]
_FAMILIES = (
    _clips("h264.mp4 h264.mkv h264.ts h264.avi", _PLAIN),  # ts: starts at 1.48 s; avi: wrong packet.pts
    _clips("raw.h264", _PLAIN, times_ms=None),
    _clips("h264_one_gop.mp4", Recipe(frames=60, gop=250)),
    _clips("h264_static.mp4", Recipe(frames=75, gop=250, scene="static")),
    _clips("h264_open_gop.mp4 h264_open_gop.ts", Recipe(options={"x264-params": "open-gop=1"})),
    _clips("h264_intra_refresh.mp4", Recipe(options={"x264-params": "intra-refresh=1:bframes=0"})),
    _clips("h264_interlaced.mp4 h264_interlaced.ts", Recipe(options={"x264-params": "tff=1"})),
    _clips("h264_10_bit.mp4", Recipe(pixels="yuv420p10le")),
    _clips("hevc.mp4", Recipe("libx265", {"x265-params": _X265 + "0"})),
    _clips("hevc_open_gop.mp4 hevc_open_gop.ts", Recipe("libx265", {"x265-params": _X265 + "1"})),
    _clips("hevc_10_bit.mkv", Recipe("libx265", {"x265-params": _X265 + "0"}, pixels="yuv420p10le")),
    _clips("vp9.webm", Recipe("libvpx-vp9", {"cpu-used": "8", "deadline": "realtime"})),
    _clips("vp8.webm", Recipe("libvpx")),
    _clips("vp8_hidden.webm", Recipe("libvpx", hidden=(5, 17)), frames=34, codes=_SHOWN, times_ms=_SHOWN_MS),
    _clips("edit_list.mp4", Recipe(ticks=_EARLY), frames=31, codes=tuple(range(5, 36)), times_ms=_TIMES_MS[:31]),
    _clips("two_sizes.ts", _PLAIN, make=_two_sizes),
    _clips("av1.mp4 av1.webm", Recipe("libsvtav1", {"preset": "12"})),
    _clips("mpeg4.avi mpeg4.mp4", Recipe("mpeg4", _B_FRAMES)),
    _clips("mpeg2.ts", Recipe("mpeg2video", _B_FRAMES)),
    _clips("mjpeg.avi", Recipe("mjpeg", pixels="yuvj420p")),
    _clips("ffv1.mkv", Recipe("ffv1")),
    _clips("palette.gif", Recipe("gif", pixels="rgb8")),
    _clips("irregular.mp4 irregular.mkv", Recipe(frames=6, ticks=(0, 33, 47, 400, 401, 900), tick=Fraction(1, 1000))),
    _clips("ntsc.mp4 ntsc.mkv", Recipe(rate=Fraction(30000, 1001))),  # mkv rounds to 1 ms
    _clips("negative_start.mkv negative_start.ts", Recipe("mpeg4", ticks=_EARLY, muxer=_COPY), times_ms=_TIMES_MS),
    _clips("late_video.mp4 late_video.mkv late_video.ts", Recipe(ticks=_LATE, audio_seconds=3)),
    _clips("turned_90.mp4 turned_90.mkv", Recipe(rotation=90)),
    *(_clips(f"turned_{turn}.mp4", Recipe(rotation=turn)) for turn in (180, 270)),
    *(_clips(f"turned_{turn}_mirrored.mp4", Recipe(rotation=turn, mirrored=True)) for turn in (0, 90)),
    _clips("wide_pixels.mp4", Recipe(sar=Fraction(2))),
    _clips("pal_pixels.mkv", Recipe(sar=Fraction(16, 11))),
    _clips("odd_size.mp4", Recipe(size=(97, 53), pixels="yuv444p")),
    _clips("odd_size.mkv", Recipe("ffv1", size=(97, 53))),
    _clips("one_pixel.mp4", Recipe(size=(1, 1), frames=3, pixels="yuv444p"), codes=()),
    _clips("one_frame.mp4", Recipe(frames=1)),
    *(
        _clips(f"{matrix}{'_full' * full}{'_10_bit' * bool(deep)}.mp4",
               Recipe(frames=5, scene="patches", colours=(matrix, full), pixels="yuv420p" + deep))
        for matrix, full, deep in _COLOURS
    ),
    _clips("no_index.mkv", Recipe(muxer={"live": "1"})),
    _clips("fragmented.mp4", Recipe(muxer={"movflags": "frag_keyframe+empty_moov"})),
    _clips("long_audio.mkv long_audio.mp4", Recipe(audio_seconds=3)),
    _clips("sound.webm", Recipe("libvpx", audio_seconds=1.4)),
    _clips("two_videos.mp4", Recipe(sides=("second video",))),
    _clips("cover.mp4", Recipe(sides=("cover",))),
    _clips("subtitle.mkv", Recipe(sides=("subtitle",))),
    _clips("zero_bytes.mp4", _PLAIN, "refused", lambda data: b""),
    _clips("text.mp4", _PLAIN, "refused", lambda data: b"This is no video.\n" * 50),
    _clips("audio_only.mp4", Recipe("", audio_seconds=1), "refused"),
    _clips("cover_only.mp4", Recipe("", audio_seconds=1, sides=("cover",)), "refused"),
    _clips("playlist.m3u8 playlist.mp4", _PLAIN, "refused", lambda data: b"#EXTM3U\n#EXTINF:4,\ntarget.ts\n"),
    _clips("list.mp4", _PLAIN, "refused", lambda data: b"ffconcat version 1.0\nfile target.ts\n"),
    _clips("cut_index.mp4", _PLAIN, "refused", _CUT),  # its index was at the end
    _clips("cut.mp4 cut.mkv cut.ts", Recipe(muxer={"movflags": "faststart"}), "cut", _CUT),
    _clips("cut.avi", Recipe("mpeg4", _B_FRAMES), "cut", _CUT),
    _clips("burnt.mp4 burnt.ts", _PLAIN, "hole", lambda data: data[:3000] + bytes(range(200)) + data[3200:]),
)
ZOO: dict[str, Clip] = {clip.name: clip for family in _FAMILIES for clip in family}
