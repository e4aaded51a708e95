"""Answering about 20 drawn videos with 3 questions each: ours against the usual flow (videoqa_seed_flow.py), ViCLIP-B with
random weights, float32, the model loaded before on both sides.

usage: python benchmarks/videoqa_features.py [--videos 20] [--rounds 1]      needs opencv-python-headless and pyarrow
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from clipreel import answer_questions, load_encoder
from clipreel.models.viclip.architecture import ARCHITECTURES
from clipreel.models.viclip.network import ViCLIP
from clipreel.sample.questions import PARQUET, questions_of, script_of, write_dataset
from clipreel.sample.video import write_video
from videoqa_seed_flow import SeedFlow

GOAL = 0.40
SEED = 800_000


def random_checkpoint(path: Path) -> Path:
    """ViCLIP-B with every parameter drawn."""
    if not path.exists():
        generator = torch.Generator().manual_seed(0)
        state = {name: 0.02 * torch.randn(value.shape, generator=generator) + (value.ndim == 1 and name.endswith("weight"))
                 for name, value in ViCLIP(ARCHITECTURES["ViCLIP-B"]).state_dict().items()}
        torch.save({"model": state | {"temp": torch.tensor(0.01)}}, path)
    return path


def drawn(folder: Path, count: int):
    """Videos of 320x240 with their questions."""
    rows = []
    (folder / "data").mkdir(parents=True)
    (folder / PARQUET).parent.mkdir(parents=True)
    for number in range(count):
        script = script_of(SEED + number, 320, 240)
        rows += questions_of(number, SEED + number, script)
        write_video(script, folder / "data" / f"{rows[-1].videoID}.mp4")
    write_dataset(folder / PARQUET, rows)
    return rows


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--videos", type=int, default=20)
    arguments.add_argument("--rounds", type=int, default=1)
    options = arguments.parse_args()
    checkpoint = random_checkpoint(Path(tempfile.gettempdir()) / "clipreel_viclip_b_random.pth")
    encoder = load_encoder("viclip", "ViCLIP-B", checkpoint=str(checkpoint), recipe="demo", precision="float32", device="cpu")
    network = encoder._network  # type: ignore[attr-defined]  # the same network on both sides
    encoder.encode_text(["warm"])
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        rows = drawn(folder / "questions", options.videos)
        for number in range(options.rounds):
            load = os.getloadavg()[0]
            began = time.perf_counter()
            run = answer_questions(folder / "questions" / PARQUET, video_root=folder / "questions", encoder=encoder,
                                   output_path=folder / f"out{number}", strip_letters=False)
            ours.append(time.perf_counter() - began)
            flow, began = SeedFlow(network), time.perf_counter()
            letters = ["ABCD"[flow.answer(folder / "questions" / "data" / f"{row.videoID}.mp4", row.options)] for row in rows]
            theirs.append(time.perf_counter() - began)
            same = sum(one.letter == letter for one, letter in zip(run.answers, letters, strict=True))
            parts = ", ".join(f"{name} {spent:.2f}" for name, spent in flow.seconds.items())
            sys.stdout.write(
                f"ours {ours[-1]:.2f} s ({run.run['seconds']}; {run.run['texts']['encoded']} texts), usual {theirs[-1]:.2f} s "
                f"({parts}; {len(flow.remembered)} texts), the same letter {same} of {len(rows)}, "
                f"{torch.get_num_threads()} threads, load before {load:.1f}\n")
    ratio = statistics.median(ours) / statistics.median(theirs)
    sys.stdout.write(f"{ratio:.3f} of the usual flow's time (goal {GOAL})\n")


if __name__ == "__main__":
    main()
