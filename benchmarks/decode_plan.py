"""CPU time of the decode plan against a plain PyAV decode and against decord, one thread each, medians of N rounds.

usage: python benchmarks/decode_plan.py [--rounds N] [--video FILE]
Draws its own videos (90 s of 720p, x264's defaults; and one with GOP 60) unless one is given.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
from clipreel.extract.decode.pyav import PyavReader
from clipreel.extract.sampling import SamplingRequest, sample
from videos import make_video

DECORD = """
import sys, resource, decord, numpy
reader = decord.VideoReader(sys.argv[1], num_threads=1)
before = resource.getrusage(resource.RUSAGE_SELF)
reader = decord.VideoReader(sys.argv[1], num_threads=1)
for place in map(int, sys.argv[2].split(",")):
    reader[place].asnumpy()
after = resource.getrusage(resource.RUSAGE_SELF)
sys.stdout.write(str(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
"""


def plain(path: Path) -> None:
    """Decode everything, convert nothing."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for _ in container.decode(stream):
            pass


def planned(path: Path, fps: float) -> None:
    """Index, choose, decode and convert to RGB: all that the extractor does before the crop."""
    reader = PyavReader()
    index = reader.index(path)
    for _ in reader.frames(index, sample(index, SamplingRequest(fps=fps)).wanted):
        pass


def by_decord(path: Path, wanted: np.ndarray) -> float:
    places = ",".join(map(str, wanted.tolist()))
    return float(subprocess.run([sys.executable, "-c", DECORD, str(path), places], capture_output=True, text=True,
                                check=True).stdout)


def cpu_seconds(work: Callable[[], None]) -> float:
    before = resource.getrusage(resource.RUSAGE_SELF)
    work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--video", type=Path)
    options = arguments.parse_args()
    folder = Path(tempfile.gettempdir())
    default = options.video or make_video(folder / "clipreel_720p_default.mp4")
    short_gops = options.video or make_video(folder / "clipreel_720p_gop60.mp4", options={"g": "60"})
    index = PyavReader().index(default)
    wanted = sample(index, SamplingRequest(fps=1)).wanted
    rows: dict[str, list[float]] = {name: [] for name in ("plain", "plan", "decord", "plain60", "plan60")}
    for _ in range(options.rounds):  # taken in turns, so that a slow minute of the machine hits all alike
        rows["plain"].append(cpu_seconds(lambda: plain(default)))
        rows["plan"].append(cpu_seconds(lambda: planned(default, 1)))
        rows["decord"].append(by_decord(default, wanted))
        rows["plain60"].append(cpu_seconds(lambda: plain(short_gops)))
        rows["plan60"].append(cpu_seconds(lambda: planned(short_gops, 0.2)))
    median = {name: statistics.median(values) for name, values in rows.items()}
    sys.stdout.write(
        f"{default.name}: {index.width}x{index.height}, {index.duration_seconds:.0f} s, "
        f"{default.stat().st_size * 8 / index.duration_seconds / 1e6:.1f} Mbit/s\n"
        f"1 fps, x264 defaults: plan {median['plan']:.2f} CPU-s, plain {median['plain']:.2f}, "
        f"decord {median['decord']:.2f}\n"
        f"  plan / plain  {median['plan'] / median['plain']:.3f}  (goal 0.72)\n"
        f"  plan / decord {median['plan'] / median['decord']:.3f}  (goal 0.62)\n"
        f"0.2 fps, GOP 60: plan {median['plan60']:.2f} CPU-s, plain {median['plain60']:.2f}\n"
        f"  plan / plain  {median['plan60'] / median['plain60']:.3f}  (goal 0.25)\n")


if __name__ == "__main__":
    main()
