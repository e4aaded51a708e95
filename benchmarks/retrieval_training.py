"""Training throughput on stored features, heads only: pairs of video and text a second, in one process and in two.

2,000 videos of 16 frames and 512 dimensions (drawn numbers: the arithmetic does not depend on them), the network of the
msrvtt-jsfusion preset (selector of 4.0 M parameters on the features, MLP-Score of 1.05 M, k 12 of 16), 64 pairs a step over
all processes. The rate is the median over epochs but the first; the whole run, start-up included, is printed beside it.

On 2 cores (torch 2.15, float32): 260 pairs/s in one process with one thread, 462 with two threads, 367 in two processes with a
thread each, which exchange 5 million gradients a step: on one machine threads are the better use of its cores.

usage: python benchmarks/retrieval_training.py [--videos 2000] [--epochs 4]      no other work beside it
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from clipreel.extract.features import Features, Provenance, Settings, Source
from clipreel.extract.store.store import FeatureStore
from clipreel.extract.text_features import CaptionFeatures
from clipreel.models.base import EncoderIdentity

MAIN = Path(__file__).resolve().parents[1] / "main.py"
FRAMES, DIM, PAIRS_A_STEP = 16, 512, 64
ENCODER = EncoderIdentity("clip", "ViT-B/32", None, "0" * 64, "float32", "center", "tensor")


class DrawnTexts:
    """Numbers in place of a text tower, which heads-only training never runs."""

    logit_scale = 100.0

    def encode_text(self, texts):
        return torch.randn(len(texts), DIM, generator=torch.Generator().manual_seed(1))


def make(folder: Path, count: int) -> None:
    """Stored features, text features and train.json."""
    generator = np.random.default_rng(0)
    store = FeatureStore(folder / "features", "save_numpy")
    store.prepare()
    settings = Settings(ENCODER, "played_at", None, FRAMES, None, None, None, "pyav", "float32", False)
    videos = {}
    for number in range(count):
        name = f"video{number:05d}"
        source = Source(f"/{name}.mp4", 1, f"{number:064x}", 1, 1, 16.0)
        rows = generator.standard_normal((FRAMES, DIM)).astype(np.float32)
        store.write(name, Features(rows, np.arange(FRAMES) * 1000.0, 1.0, Provenance(source, settings, "0")))
        videos[name] = {"sentences": [f"caption {number}"]}
    (folder / "train.json").write_text(json.dumps(videos))
    captions = [video["sentences"][0] for video in videos.values()]
    CaptionFeatures(folder / "texts", ENCODER).fill(captions, DrawnTexts)


def measure(folder: Path, processes: int, threads: int, epochs: int) -> tuple[float, float]:
    """(pairs a second, seconds of the whole run)"""
    output = folder / f"run{processes}-{threads}"
    program = [sys.executable, str(MAIN)]
    if processes > 1:
        program = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}", str(MAIN)]
    began = time.perf_counter()
    subprocess.run([*program, "retrieval", "train", "preset=msrvtt-jsfusion", f"features={folder / 'features'}",
                    f"annotations={folder / 'train.json'}", "train_annot=null", "val_annot=null", "test_annot=null",
                    f"texts={folder}", f"output_path={output}", "validation_fraction=0", "device=cpu", f"num_epochs={epochs}",
                    f"batch_size={PAIRS_A_STEP // processes}"],
                   check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": str(threads)})
    whole = time.perf_counter() - began
    with open(output / "log.csv", newline="") as file:
        rates = [float(row["pairs_per_second"]) for row in csv.DictReader(file)]
    return statistics.median(rates[1:]), whole


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--videos", type=int, default=2000)
    arguments.add_argument("--epochs", type=int, default=4)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make(folder, options.videos)
        sys.stdout.write("processes  threads each  pairs/s  whole run (s)\n")
        for processes, threads in ((1, 1), (1, 2), (2, 1)):
            rate, whole = measure(folder, processes, threads, options.epochs)
            sys.stdout.write(f"{processes:>9}  {threads:>12}  {rate:>7.0f}  {whole:>13.1f}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
