"""Two hundred short videos: hours of video an hour, and how busy the decoders are.

usage: python benchmarks/short_videos.py [--videos 200] [--seconds 15] [--models tiny ViT-B/32] [--rounds N]
The videos are links to eight of 1280x720 H.264 (x264's defaults, 30 fps), at 1 fps, features to NumPy files, each row a process of
its own whose model is loaded and warm. `tiny` runs in float32, ViT-B/32 in bfloat16 with random weights. Links share a content id;
keys come of names, so every one is read, decoded, encoded and stored for itself, which is checked.

"decoders" is the CPU time of the decode threads / (wall x cores): what is left of 1 went into the encoder, into writing, or to
nobody. "busy" is the CPU time of the whole process / (wall x cores).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from videos import make_video
from whole_run import random_checkpoint

DISTINCT = 8
CHILD = """
import json, os, sys, time
from clipreel import extract_features, load_encoder
folder, warm, output, checkpoint = sys.argv[1:]
encoder = (load_encoder("clip", "custom", checkpoint=checkpoint, precision="bfloat16", device="cpu") if checkpoint
           else load_encoder("clip", "tiny", device="cpu"))
keys = {"encoder": encoder, "extraction_fps": 1, "batch_size": 32, "on_extraction": "save_numpy"}
extract_features(warm, **keys, output_path=output + "/warm")
began, cpu = time.perf_counter(), time.process_time()
report = extract_features(folder, **keys, output_path=output + "/out")
wall, cpu = time.perf_counter() - began, time.process_time() - cpu
sys.stdout.write(json.dumps({
    "wall": wall, "cpu": cpu, "decode": report.decode_seconds, "encode": report.encode_seconds, "write": report.write_seconds,
    "video_seconds": report.video_seconds, "done": len(report.done), "rows": report.frames}))
"""


def linked(sources: list[Path], folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        os.link(sources[number % len(sources)], folder / f"video {number:04d}.mp4")
    return folder


def measure(videos: Path, warm: Path, output: Path, model: str) -> dict[str, float]:
    checkpoint = "" if model == "tiny" else str(random_checkpoint(Path(tempfile.gettempdir()) / "clipreel_vit_b_32_random.pt"))
    done = subprocess.run([sys.executable, "-c", CHILD, str(videos), str(warm), str(output), checkpoint],
                          stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--videos", type=int, default=200)
    arguments.add_argument("--seconds", type=float, default=15.0)
    arguments.add_argument("--models", nargs="+", default=["tiny", "ViT-B/32"], choices=["tiny", "ViT-B/32"])
    arguments.add_argument("--rounds", type=int, default=1)
    options = arguments.parse_args()
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = [make_video(folder / f"{seed}.mp4", seconds=options.seconds, seed=seed) for seed in range(DISTINCT)]
        videos, warm = linked(sources, folder / "videos", options.videos), linked(sources, folder / "warm", 4)
        for model in options.models:
            rounds = []
            for number in range(options.rounds):
                rounds.append(measure(videos, warm, folder / f"{model.replace('/', '-')} {number}", model))
                if (rounds[-1]["done"], rounds[-1]["rows"]) != (options.videos, options.videos * round(options.seconds)):
                    raise SystemExit(f"{model}: {rounds[-1]}")
            one = {key: statistics.median(row[key] for row in rounds) for key in rounds[0]}
            wall, minutes = one["wall"], one["video_seconds"] / 60
            sys.stdout.write(
                f"{model:>9}: {60 * minutes / wall:.0f} hours of video an hour ({minutes:.0f} minutes in {wall:.1f} s, "
                f"{one['rows'] / wall:.0f} frames/s); decoders {one['decode'] / wall / cores:.2f}, busy "
                f"{one['cpu'] / wall / cores:.2f} of {cores} cores; encode {one['encode']:.1f} s, write {one['write']:.1f} s\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
