"""VP9 WebM videos of the demonstration world whose frames say their own number, to be read back from the browser's canvas.

The number stands in a row of black and white blocks along the lower edge: a white one, eleven bits, a parity bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from clipreel.sample.draw import draw_frame
from clipreel.sample.scene import Motion, Shape, VideoScript

BITS = 11
BLOCKS = BITS + 2
CODE_HEIGHT = 16
OPTIONS = {"crf": "34", "b": "0", "cpu-used": "8", "deadline": "realtime"}
RED = Shape("red", "circle", "large", "middle")
BLUE = Shape("blue", "square", "large", "middle")

# Reads the number that the <video> with this id shows now; -1 where the picture holds none.
READ_CODE = f"const BLOCKS = {BLOCKS}, ROW = {CODE_HEIGHT // 2 + 2};" + """
return (() => {
  const video = document.getElementById(id);
  const canvas = document.createElement('canvas');
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.drawImage(video, 0, 0);
  const bits = [];
  for (let block = 0; block < BLOCKS; block += 1) {
    const x = Math.round((block + 0.5) * canvas.width / BLOCKS);
    const { data } = context.getImageData(x - 2, canvas.height - ROW, 4, 4);
    let sum = 0;
    for (let place = 0; place < data.length; place += 4) sum += data[place];
    bits.push(sum / (data.length / 4) > 128 ? 1 : 0);
  }
  const code = bits.slice(1, -1);
  const parity = code.reduce((sum, bit) => sum + bit, 0) % 2;
  return bits[0] === 1 && bits.at(-1) === parity ? parseInt(code.join(''), 2) : -1;
})();"""
READ_CODE = "(id) => {" + READ_CODE + "}"


def code_row(number: int, width: int) -> np.ndarray:
    """The blocks of one number.  # uint8 [width]"""
    bits = [number >> bit & 1 for bit in reversed(range(BITS))]
    blocks = np.array([1, *bits, sum(bits) % 2], np.uint8) * 255
    return blocks[np.arange(width) * BLOCKS // width]


def scenes_script(seconds: float = 4.0, fps: Fraction = Fraction(25), width: int = 320, height: int = 240) -> VideoScript:
    """Empty, a red circle, empty, a blue square, empty: each for `seconds`."""
    parts: list[tuple[Shape | None, float, Motion]] = [(shape, seconds, "still") for shape in (None, RED, None, BLUE, None)]
    return VideoScript.of(parts, width=width, height=height, fps=fps, seed=77)


def write_coded(path: Path, script: VideoScript, *, ticks_ms: Sequence[int] | None = None, tone: bool = False) -> list[float]:
    """Encodes the script as VP9 with a keyframe every two seconds; returns the frames' times in seconds.

    Args:
        ticks_ms: the frames' times for a variable rate; default is one frame every 1/fps
        tone: with an Opus track
    """
    count = len(ticks_ms) if ticks_ms else script.frame_count
    times = [tick / 1000 for tick in ticks_ms] if ticks_ms else [float(n / script.fps) for n in range(count)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=script.fps, options=OPTIONS)
        stream.width, stream.height, stream.pix_fmt = script.width, script.height, "yuv420p"
        stream.codec_context.gop_size = round(2 * script.fps)
        time_base = Fraction(1, 1000) if ticks_ms else 1 / script.fps
        stream.codec_context.time_base = time_base
        sound = container.add_stream("libopus", rate=48_000, layout="mono") if tone else None
        said = 0  # samples so far: browsers seek badly where sound and picture do not alternate in the file
        for number in range(count):
            picture = draw_frame(script, times[number])
            picture[-CODE_HEIGHT:] = code_row(number, script.width)[None, :, None]
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = ticks_ms[number] if ticks_ms else number, time_base
            container.mux(stream.encode(frame))
            while sound is not None and said < times[number] * 48_000:
                wave = 0.1 * np.sin(2 * np.pi * 330 * np.arange(said, said + 960) / 48_000)
                samples = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None], format="fltp", layout="mono")
                samples.sample_rate, samples.pts, samples.time_base = 48_000, said, Fraction(1, 48_000)
                container.mux(sound.encode(samples))
                said += 960
        container.mux(stream.encode())
        if sound is not None:
            container.mux(sound.encode())
    return times


def copy_later(source: Path, target: Path, seconds: float, *kinds: str) -> None:
    """The same packets with raised timestamps: of these kinds of streams (`video`, `audio`), or of all."""
    with av.open(str(source)) as whole, av.open(str(target), "w") as later:
        copies = {one.index: later.add_stream_from_template(one) for one in (*whole.streams.video, *whole.streams.audio)}
        for packet in whole.demux():
            if packet.pts is not None and packet.dts is not None:
                shift = round(seconds / packet.time_base) if not kinds or packet.stream.type in kinds else 0
                packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, copies[packet.stream.index]
                later.mux(packet)
