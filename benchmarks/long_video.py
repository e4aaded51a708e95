"""One long video on every core: decoded in parts between keyframes by all threads, against one thread, the encoder costing
next to nothing. The features must be equal to the bit. The video is one clip of 10 seconds whose packets are muxed again and again.

usage: python benchmarks/long_video.py [--minutes 10] [--fps 1] [--rounds 3] [--workers N]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from clipreel import extract_features
from free_encoder import free_encoder
from videos import loop_packets, make_video

GOAL = 1.8


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--minutes", type=float, default=10)
    arguments.add_argument("--fps", type=float, default=1)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = arguments.parse_args()
    folder = Path(tempfile.gettempdir())
    video = folder / f"clipreel_long_{options.minutes:g}.mp4"
    if not video.exists():
        loop_packets(make_video(folder / "clipreel_720p_10s.mp4", seconds=10), video, 60 * options.minutes)
    encoder, ratios, said, count = free_encoder(), [], [], 0
    for number in range(options.rounds + 1):
        seconds, rows = [], []
        for workers in (1, options.workers):
            began = time.perf_counter()
            report = extract_features(video, encoder=encoder, extraction_fps=options.fps, workers=workers, batch_size=16)
            seconds.append(time.perf_counter() - began)
            (features,) = report.features.values()
            rows.append(features.features)
        if not np.array_equal(rows[0], rows[1]):
            raise SystemExit("the two differ")
        count = len(rows[0])
        if number:  # the first is to warm both
            ratios.append(seconds[0] / seconds[1])
            said.append(f"1 thread {seconds[0]:.1f} s, {options.workers} threads {seconds[1]:.1f} s\n")
    sys.stdout.write(f"{''.join(said)}{options.minutes:g} minutes of 720p at {options.fps:g} fps, {count} rows equal to the "
                     f"bit; {statistics.median(ratios):.2f} times faster (goal {GOAL})\n")


if __name__ == "__main__":
    main()
