"""launcher=ray on two local nodes of one processor each, against the local launcher on the same two, on the same videos.

usage: python benchmarks/ray_overhead.py [--videos N] [--seconds S] [--rounds R]      the extra ray; the machine otherwise idle
Of both the time counts from the first video to the end of the run. Apart are shown: the cluster's start, and of each run what is
before the first video (planning; the networks' loading, and with Ray the workers' start). Both use as many threads in all: two that
decode, and two of the network's. CPU-s are those of all processes meanwhile, Ray's own included.
Goal: at most 10 % more than the local launcher on three minutes of work or more.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

from clipreel import extract_features
from clipreel.extract import run
from clipreel.extract.ray_launcher import RayCluster
from clipreel.extract.report import Report
from ray.cluster_utils import Cluster
from videos import make_video

KEYS = {"model_name": "tiny", "extraction_fps": 1, "on_extraction": "save_numpy", "batch_size": 32}
_TICKS = os.sysconf("SC_CLK_TCK")
Note = tuple[float, float]  # the time, and the CPU-s until then
first_video: list[Note] = []  # when it was given out
last_video: list[Note] = []  # when all were done, and a cluster's workers still there


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--videos", type=int, default=360)
    arguments.add_argument("--seconds", type=float, default=30.0)
    arguments.add_argument("--rounds", type=int, default=1)
    options = arguments.parse_args()
    run.run_together = noting(first_video, run.run_together)
    RayCluster._give = noting(first_video, RayCluster._give)  # type: ignore[method-assign]
    RayCluster._dismiss = noting(last_video, RayCluster._dismiss)  # type: ignore[method-assign]
    source = make_video(Path(tempfile.gettempdir()) / f"clipreel_720p_{options.seconds:g}s.mp4", seconds=options.seconds)
    walls: dict[str, list[float]] = {"local": [], "ray": []}
    with tempfile.TemporaryDirectory(dir=source.parent) as name:
        folder = Path(name)
        (folder / "videos").mkdir()
        for number in range(options.videos):
            os.link(source, folder / "videos" / f"v{number:05d}.mp4")
        extract_features(folder / "videos" / "v00000.mp4", output_path=folder / "warm", **KEYS)  # imports, page cache
        for turn in range(options.rounds):
            walls["local"].append(measured("local", folder, options.videos, output_path=folder / f"local{turn}", workers=2))
            began = time.perf_counter()
            cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
            for _ in range(2):
                cluster.add_node(num_cpus=1)
            sys.stdout.write(f"cluster up after {time.perf_counter() - began:.1f} s\n")
            try:
                walls["ray"].append(measured("ray", folder, options.videos, output_path=folder / f"ray{turn}", launcher="ray",
                                             address=cluster.address))
            finally:
                cluster.shutdown()
    local_wall, ray_wall = statistics.median(walls["local"]), statistics.median(walls["ray"])
    sys.stdout.write(f"median: local {local_wall:.1f} s, ray {ray_wall:.1f} s, overhead {100 * (ray_wall / local_wall - 1):.1f} % "
                     "(goal: at most 10)\n")


def measured(name: str, folder: Path, videos: int, **keys: object) -> float:
    """Seconds from the first video on."""
    first_video.clear()
    last_video.clear()
    began = time.perf_counter()
    report: Report = extract_features(folder / "videos", **KEYS, **keys)  # pyright: ignore[reportArgumentType]
    ended, (first, before) = time.perf_counter(), first_video[0]
    assert len(report.done) == videos, report.failed
    _, after = last_video[0] if last_video else now()
    sys.stdout.write(f"{name}: {ended - first:.1f} s after {first - began:.1f} s; {after - before:.1f} CPU-s in all, of them "
                     f"{report.decode_seconds:.1f} decoding\n")
    return ended - first


def noting(notes: list[Note], do: Callable[..., object]) -> Callable[..., object]:
    """Does so, and notes when it was the first time."""
    def noted(*arguments: object, **keys: object) -> object:
        if not notes:
            notes.append(now())
        return do(*arguments, **keys)

    return noted


def now() -> Note:
    return time.perf_counter(), cpu_seconds()


def cpu_seconds() -> float:
    """Of this process, those that it started, and theirs, ended ones too."""
    spent, parents = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        process = int(path.parent.name)
        parents[process], spent[process] = int(words[1]), sum(map(int, words[11:15])) / _TICKS
    total = 0.0
    for process, seconds in spent.items():
        ancestor = process
        while ancestor not in (os.getpid(), 0):
            ancestor = parents.get(ancestor, 0)
        total += seconds if ancestor else 0.0
    return total


if __name__ == "__main__":
    main()
