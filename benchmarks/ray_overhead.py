"""launcher=ray on two local nodes of one processor each, against the local launcher on the same two, on the same videos.

usage: python benchmarks/ray_overhead.py [--videos N] [--seconds S] [--rounds R]      the extra ray; the machine otherwise idle
The cluster's start, the workers' (imports, networks) and the local network's loading are shown apart: the time counted begins when
the first worker is given its first video. Goal: at most 10 % more than the local launcher on three minutes of work or more.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

from clipreel import extract_features, load_encoder
from clipreel.extract.ray_launcher import RayCluster
from ray.cluster_utils import Cluster
from videos import make_video

KEYS = {"extraction_fps": 1, "on_extraction": "save_numpy", "batch_size": 32}


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--videos", type=int, default=260)
    arguments.add_argument("--seconds", type=float, default=30.0)
    arguments.add_argument("--rounds", type=int, default=1)
    options = arguments.parse_args()
    began = time.perf_counter()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    sys.stdout.write(f"cluster up after {time.perf_counter() - began:.1f} s\n")
    given: list[float] = []
    give = RayCluster._give

    def noted(self: RayCluster, worker: object, wanted: int) -> None:
        given.append(time.perf_counter())
        give(self, worker, wanted)  # pyright: ignore[reportArgumentType]

    RayCluster._give = noted  # type: ignore[method-assign]
    source = make_video(Path(tempfile.gettempdir()) / f"clipreel_720p_{options.seconds:g}s.mp4", seconds=options.seconds)
    walls: dict[str, list[float]] = {"local": [], "ray": []}
    with tempfile.TemporaryDirectory(dir=source.parent) as name:
        folder = Path(name)
        (folder / "videos").mkdir()
        for number in range(options.videos):
            os.link(source, folder / "videos" / f"v{number:05d}.mp4")
        encoder = load_encoder("clip", "tiny", device="cpu")
        for turn in range(options.rounds):
            began = time.perf_counter()
            local = extract_features(folder / "videos", encoder=encoder, workers=2, output_path=folder / f"local{turn}", **KEYS)
            walls["local"].append(time.perf_counter() - began)
            given.clear()
            began = time.perf_counter()
            cluster_run = extract_features(folder / "videos", model_name="tiny", output_path=folder / f"ray{turn}", launcher="ray",
                                           address=cluster.address, **KEYS)
            walls["ray"].append(time.perf_counter() - given[0])
            assert len(local.done) == len(cluster_run.done) == options.videos
            sys.stdout.write(f"local {walls['local'][-1]:.1f} s; ray {walls['ray'][-1]:.1f} s after {given[0] - began:.1f} s of "
                             f"planning and of the workers' start; decode {local.decode_seconds:.1f} and "
                             f"{cluster_run.decode_seconds:.1f} CPU-s\n")
    cluster.shutdown()
    local_wall, ray_wall = statistics.median(walls["local"]), statistics.median(walls["ray"])
    sys.stdout.write(f"median: local {local_wall:.1f} s, ray {ray_wall:.1f} s, overhead {100 * (ray_wall / local_wall - 1):.1f} % "
                     "(goal: at most 10)\n")


if __name__ == "__main__":
    main()
