"""Ordered alignment of 5 stages with 600 frames: ours against a loop over cells, as the published program has one.

usage: python benchmarks/differencing_segmentation.py [--stages 5] [--frames 600] [--rounds 200]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import numpy as np
from clipreel.differencing.segment import align

GOAL = 50


def align_cell_by_cell(costs: np.ndarray) -> np.ndarray:
    """The same boundaries: from every cell one stays in its stage or came from the stage before, each with probability one half;
    equal ways come from the stage before."""
    stages, n = costs.shape
    total = np.full((stages, n), np.inf)
    total[0, 0] = costs[0, 0]
    came_from = np.zeros((stages, n), dtype=np.int64)
    transition = -np.log(np.array([0.5, 0.5]))
    for frame in range(1, n):
        for stage in range(stages):
            before = np.arange(max(stage - 1, 0), stage + 1)
            ways = total[before, frame - 1] + transition[-len(before):]
            cheapest = np.argmin(ways)
            total[stage, frame] = ways[cheapest] + costs[stage, frame]
            came_from[stage, frame] = before[cheapest]
    bounds = np.zeros(stages + 1, dtype=np.int64)
    bounds[stages], stage = n, stages - 1
    for frame in range(n - 1, 0, -1):
        before = came_from[stage, frame]
        if before != stage:
            bounds[stage], stage = frame, before
    return bounds


def median_seconds(work, rounds: int) -> float:
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--stages", type=int, default=5)
    arguments.add_argument("--frames", type=int, default=600)
    arguments.add_argument("--rounds", type=int, default=200)
    options = arguments.parse_args()
    generator = np.random.default_rng(0)
    for _ in range(20):
        costs = -np.log(generator.uniform(1e-5, 1, (options.stages, options.frames)))
        ours, loop = align(costs), align_cell_by_cell(costs)
        if not np.array_equal(ours, loop):
            raise SystemExit(f"the two disagree: {ours} and {loop}")
    costs = -np.log(generator.uniform(1e-5, 1, (options.stages, options.frames)))
    loop = median_seconds(lambda: align_cell_by_cell(costs), max(5, options.rounds // 20))
    ours = median_seconds(lambda: align(costs), options.rounds)
    sys.stdout.write(f"{options.stages} stages x {options.frames} frames, medians: loop {1e3 * loop:.2f} ms, ours {1e3 * ours:.3f} "
                     f"ms, {loop / ours:.0f} times faster (goal {GOAL})\n")


if __name__ == "__main__":
    main()
