"""A whole run against the usual flow (usual_flow.py): 90 s of 720p at 1 fps, ViT-B/32 with random weights, encoder loaded.

usage: python benchmarks/whole_run.py [--rounds N] [--video FILE]      needs ffmpeg and opencv-python-headless for the other side
Start-up is left out on both sides. CPU seconds are the whole process's, so that nothing hides between the parts.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from clip.model import CLIP
from clipreel import extract_features, load_encoder
from videos import make_video

BATCH_SIZE = 32


def random_checkpoint(path: Path) -> Path:
    if not path.exists():
        torch.manual_seed(0)
        network = CLIP(512, 224, 12, 768, 32, 77, 49408, 512, 8, 12)
        torch.save({name: tensor.half().float() for name, tensor in network.state_dict().items()}, path)
    return path


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--video", type=Path)
    options = arguments.parse_args()
    folder = Path(tempfile.gettempdir())
    video = options.video or make_video(folder / "clipreel_720p_default.mp4")
    checkpoint = random_checkpoint(folder / "clipreel_vit_b_32_random.pt")
    encoders = {precision: load_encoder("clip", "custom", checkpoint=str(checkpoint), precision=precision, device="cpu")
                for precision in ("float32", "bfloat16")}
    walls: dict[str, list[float]] = {"usual": [], "float32": [], "bfloat16": []}
    shares: dict[str, list[float]] = {"float32": [], "bfloat16": []}
    usual_lines = []
    for _ in range(options.rounds):
        line = subprocess.run([sys.executable, str(Path(__file__).with_name("usual_flow.py")), str(checkpoint), "1", str(video)],
                              capture_output=True, text=True, check=True).stdout.strip()
        usual_lines.append(line)
        walls["usual"].append(float(line.partition(" ")[0]))
        for precision, encoder in encoders.items():
            extract_features(video, encoder=encoder, extraction_total=BATCH_SIZE, batch_size=BATCH_SIZE)  # warm, as theirs
            before, began = cpu_seconds(), time.perf_counter()
            report = extract_features(video, encoder=encoder, extraction_fps=1, batch_size=BATCH_SIZE)
            wall, cpu = time.perf_counter() - began, cpu_seconds() - before
            walls[precision].append(wall)
            shares[precision].append(wall / (cpu / (os.cpu_count() or 1)))
            sys.stdout.write(f"{precision}: wall {wall:.2f} s, CPU {cpu:.2f} s, decode {report.decode_seconds:.2f} CPU-s, "
                             f"encode {report.encode_seconds:.2f} s, {report.frames} rows\n")
    usual = statistics.median(walls["usual"])
    sys.stdout.write(f"usual flow: {usual_lines[0]}\n")
    for precision, goal in (("float32", 0.55), ("bfloat16", 0.40)):
        wall = statistics.median(walls[precision])
        sys.stdout.write(f"{precision}: {wall:.2f} s against {usual:.2f} s: {wall / usual:.3f} (goal {goal}); "
                         f"wall / (CPU seconds / cores) {statistics.median(shares[precision]):.2f} (goal 1.2)\n")


if __name__ == "__main__":
    main()
