"""The tables of docs/scale.md: time, cost, bytes and requests for so many minutes of video, from rates.

usage: python benchmarks/scale_plan.py [--minutes 1e6 1e7 1e9] [--decode 3.5] [--gpu-images 30000] …      (--help has them all)
Nothing is measured here. Defaults are measured on two cores where docs/scale.md says so, and assumptions everywhere else: put
better rates in their place.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Rates:
    """Of one minute of video, on one machine."""

    rows: float  # frames to encode
    decode_core_seconds: float
    prepare_core_seconds: float  # resizing, a frame
    cpu_images: float  # encoded by one core in a second
    gpu_images: float  # by one GPU
    nvdec_frames: float  # decoded by one GPU's NVDEC in a second, all of the video's; 0: not used
    source_fps: float
    busy: float  # share of the cores that does this work

    @property
    def before_encoding(self) -> float:
        """Core-seconds."""
        return self.decode_core_seconds + self.rows * self.prepare_core_seconds

    def decoded(self, cores: int, gpus: int) -> float:
        """Minutes a second."""
        return self.busy * cores / self.before_encoding + gpus * self.nvdec_frames / (60 * self.source_fps)

    def minutes_per_second(self, cores: int, gpus: int) -> tuple[float, str]:
        """(minutes of video done in a second by one machine, what holds it back)."""
        if not gpus:
            return self.busy * cores / (self.before_encoding + self.rows / self.cpu_images), "cores"
        return min((self.decoded(cores, gpus), "decoding"), (gpus * self.gpu_images / self.rows, "encoder"))


@dataclass(frozen=True)
class Storage:
    """What lies on disk or in a bucket."""

    row_bytes: float
    video_bytes: float  # beyond the rows
    video_minutes: float
    videos_per_file: int
    file_bytes: float = 256 * 2**20

    def videos(self, minutes: float) -> float:
        return minutes / self.video_minutes

    def total_bytes(self, minutes: float, rows: float) -> float:
        return minutes * rows * self.row_bytes + self.videos(minutes) * self.video_bytes

    def files(self, minutes: float, rows: float, machines: int) -> float:
        """Of many videos: full ones, and one a machine that is not."""
        fit = max(1, min(self.videos_per_file, math.ceil(self.file_bytes / (rows * self.video_minutes * self.row_bytes))))
        return math.ceil(self.videos(minutes) / fit) + machines


def long_time(seconds: float) -> str:
    for unit, size in (("years", 365.25 * 86400), ("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.0f} s"


def size_of(number: float) -> str:
    for unit, size in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9)):
        if number >= size:
            return f"{number / size:,.3g} {unit}"
    return f"{number / 1e6:.3g} MB"


def count(number: float) -> str:
    """Three digits of it, written out."""
    digits = 10 ** max(0, math.floor(math.log10(number)) - 2) if number >= 1 else 1
    return f"{round(number / digits) * digits:,}" if number >= 100 else f"{number:.3g}"


def main() -> None:
    arguments = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    for name, default, meaning in (
            ("--fps", 1.0, "frames a second of video"), ("--decode", 3.5, "core-seconds to decode a minute"),
            ("--prepare", 0.001, "core-seconds to resize a frame"), ("--cpu-images", 19.0, "images/s of a core"),
            ("--gpu-images", 30_000.0, "images/s of a GPU"), ("--nvdec-frames", 0.0, "frames/s of a GPU's NVDEC"),
            ("--source-fps", 30.0, "of the videos"), ("--busy", 0.89, "share of the cores that works"),
            ("--dim", 512, "of a feature"), ("--video-minutes", 10.0, "of a video, on average"),
            ("--input-megabytes", 15.0, "of a minute of video"), ("--video-bytes", 6600, "stored of a video beyond its rows"),
            ("--cpu-price", 0.1, "an hour of the two cores"), ("--gpu-price", 4.0, "an hour of a GPU with its cores"),
            ("--put-price", 5e-6, "a PUT or LIST"), ("--get-price", 4e-7, "a GET or HEAD"),
            ("--gigabyte-price", 0.023, "a GB and month"),
            ("--part-megabytes", 8.0, "sent by a PUT"), ("--reads", 6.0, "requests to read a video"),
            ("--lookups", 5.0, "GETs for a video's place in the store"), ("--puts", 6.0, "PUTs for a video of files of its own")):
        arguments.add_argument(name, type=type(default), default=default, help=meaning)
    arguments.add_argument("--minutes", type=float, nargs="+", default=[1e6, 1e7, 1e9])
    arguments.add_argument("--cores", type=int, default=16, help="beside each GPU")
    arguments.add_argument("--machines", type=int, default=64)
    arguments.add_argument("--videos-per-file", type=int, default=1000)
    given = arguments.parse_args()
    rates = Rates(60 * given.fps, given.decode, given.prepare, given.cpu_images, given.gpu_images, given.nvdec_frames,
                  given.source_fps, given.busy)
    storage = Storage(4 * given.dim + 8, given.video_bytes, given.video_minutes, given.videos_per_file)
    write = sys.stdout.write
    write("| minutes of video | machine | minutes/s | held back by | time | price |\n|---|---|---|---|---|---|\n")
    for minutes in given.minutes:
        for name, cores, gpus, machines, price in (
                ("2 cores", 2, 0, 1, given.cpu_price), (f"1 GPU, {given.cores} cores", given.cores, 1, 1, given.gpu_price),
                (f"{given.machines} of them", given.cores, 1, given.machines, given.gpu_price)):
            rate, limit = rates.minutes_per_second(cores, gpus)
            seconds = minutes / rate / machines
            write(f"| {count(minutes)} | {name} | {rate * machines:.3g} | {limit} | {long_time(seconds)} | "
                  f"{count(seconds / 3600 * machines * price)} |\n")
    rate, _ = rates.minutes_per_second(given.cores, 1)
    write(f"\nThe GPU waits where it encodes more than {rates.rows * rates.decoded(given.cores, 1):.0f} images/s; a machine reads "
          f"{rate * given.input_megabytes:.0f} MB/s.\n\n")
    write("| minutes of video | videos | read | stored, a month | one a video (NumPy): files; PUTs | of many: files; PUTs | GETs |"
          "\n|---|---|---|---|---|---|---|\n")
    for minutes in given.minutes:
        videos, size = storage.videos(minutes), storage.total_bytes(minutes, rates.rows)
        files = storage.files(minutes, rates.rows, given.machines)
        puts, sent, gets = videos * given.puts, files + size / (given.part_megabytes * 1e6), videos * (given.reads + given.lookups)
        write(f"| {count(minutes)} | {count(videos)} | {size_of(minutes * given.input_megabytes * 1e6)} | "
              f"{size_of(size)}, {count(size / 1e9 * given.gigabyte_price)} | "
              f"{count(4 * videos)}; {count(puts)}, {count(puts * given.put_price)} | "
              f"{count(files)}; {count(sent)}, {count(sent * given.put_price)} | "
              f"{count(gets)}, {count(gets * given.get_price)} |\n")


if __name__ == "__main__":
    main()
