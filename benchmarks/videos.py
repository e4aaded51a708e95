"""The videos that benchmarks run on: drawn and encoded here, so that anyone has the same ones."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import av.video.stream
import numpy as np


def make_video(path: Path, *, seconds: float = 90.0, fps: int = 30, width: int = 1280, height: int = 720,
               options: dict[str, str] | None = None, seed: int = 0) -> Path:
    """H.264 with x264's defaults but for `options`: a panning, slowly changing texture with moving discs and grain,
    which compresses about as film does (1 to 3 Mbit/s at 720p). Kept when it is there already."""
    if path.exists():
        return path
    rng = np.random.default_rng(seed)
    canvas = _texture(rng, height * 2, width * 2)
    grain = rng.integers(-4, 5, (8, height, width, 1), dtype=np.int16)
    discs = [(rng.uniform(0, 1, 2), rng.uniform(-0.15, 0.15, 2), rng.integers(30, 120), rng.integers(0, 256, 3))
             for _ in range(8)]
    temporary = path.with_name(f".{path.name}")
    with av.open(str(temporary), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps), options=options or {})
        assert isinstance(stream, av.video.stream.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(int(seconds * fps)):
            time = number / fps
            top, left = (int(size * (0.5 + 0.45 * np.sin(time / period))) for size, period in
                         ((height, 11.0), (width, 17.0)))
            picture = canvas[top:top + height, left:left + width].astype(np.int16) + grain[number % 8]
            for start, speed, radius, colour in discs:
                y, x = (((start + speed * time) % 1.0) * (height, width)).astype(int)
                box = (slice(max(0, y - radius), min(height, y + radius)), slice(max(0, x - radius), min(width, x + radius)))
                rows, columns = np.ogrid[box]
                inside = (rows - y) ** 2 + (columns - x) ** 2 < radius ** 2
                picture[box][inside] = picture[box][inside] // 4 + colour * 3 // 4
            frame = av.VideoFrame.from_ndarray(np.clip(picture, 0, 255).astype(np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    temporary.rename(path)
    return path


def loop_packets(source: Path, target: Path, seconds: float) -> None:
    """The source's packets, over and over, with shifted times; nothing is decoded."""
    with av.open(str(source)) as once:
        stream = once.streams.video[0]
        packets = [(bytes(packet), packet.pts, packet.dts, packet.is_keyframe) for packet in once.demux(stream)
                   if packet.size and packet.pts is not None]
        assert stream.time_base is not None
        assert stream.average_rate is not None
        length = int(len(packets) / stream.average_rate / stream.time_base)
        with av.open(str(target), "w") as output:
            copy = output.add_stream_from_template(stream)
            for turn in range(int(seconds / (length * Fraction(stream.time_base)))):
                for data, pts, dts, key in packets:
                    packet = av.Packet(data)
                    packet.pts, packet.dts = pts + turn * length, dts + turn * length
                    packet.time_base, packet.stream, packet.is_keyframe = stream.time_base, copy, key
                    output.mux(packet)


def _texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """uint8 [height, width, 3]: sums of smooth noise at several scales."""
    total = np.zeros((height, width, 3))
    for cell, weight in ((256, 1.0), (64, 0.5), (16, 0.25), (4, 0.1)):
        coarse = rng.standard_normal((height // cell + 2, width // cell + 2, 3))
        fine = np.repeat(np.repeat(coarse, cell, axis=0), cell, axis=1)[:height, :width]
        for axis in (0, 1):
            fine = sum(np.roll(fine, shift, axis) for shift in range(0, cell, max(1, cell // 4))) / min(cell, 4)
        total += weight * fine
    return np.clip(128 + 55 * total, 0, 255).astype(np.uint8)
