"""An ablation over 2,700 synthetic questions about 900 videos from stored features, and how many new texts a second are
encoded. Features and words are random; ViCLIP-B with random weights encodes the texts.

usage: python benchmarks/videoqa_ablation.py [--videos 900] [--texts 512] [--frames 8]      needs opencv-python-headless
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from clipreel import answer_questions, load_encoder
from clipreel.extract.features import Features, Provenance, Settings, Source
from clipreel.extract.store.store import FeatureStore
from clipreel.videoqa.ablation import table
from clipreel.videoqa.dataset import read_dataset
from clipreel.videoqa.text_features import TextFeatures
from clipreel.videoqa.texts import Phrase, phrases_of
from videoqa_features import random_checkpoint

GOAL_SECONDS = 5.0
WORDS = ("time", "people", "water", "red", "small", "house", "walk", "near", "music", "light", "after", "ball", "river")


class Drawing:
    """Stands for the text tower where only the time after it counts: features at random, 512 wide."""

    logit_scale = 100.0

    def encode_text(self, texts):
        return torch.from_numpy(np.random.default_rng(0).standard_normal((len(texts), 512)).astype(np.float32))


def questions(videos: int) -> list[dict]:
    """Three a video, with four options that hardly ever come twice."""
    generator = np.random.default_rng(1)

    def words(count: int) -> str:
        return " ".join(generator.choice(WORDS, count).tolist())

    return [{"video_id": f"{number + 1:03d}", "videoID": f"video{number:04d}", "domain": "Knowledge", "sub_category": "Law",
             "duration": ("short", "medium", "long")[number * 3 // videos], "question_id": f"{number + 1:03d}-{place}",
             "task_type": "OCR Problems", "question": f"What {words(9)}?", "answer": "ABCD"[generator.integers(4)],
             "options": [f"{letter}. {words(6)}." for letter in "ABCD"]} for number in range(videos) for place in (1, 2, 3)]


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--videos", type=int, default=900)
    arguments.add_argument("--texts", type=int, default=512)
    arguments.add_argument("--frames", type=int, default=8, help="rows of features a video")
    options = arguments.parse_args()
    checkpoint = random_checkpoint(Path(tempfile.gettempdir()) / "clipreel_viclip_b_random.pth")
    encoder = load_encoder("viclip", "ViCLIP-B", checkpoint=str(checkpoint), precision="float32", device="cpu")
    generator = np.random.default_rng(2)
    settings = Settings(encoder.identity, "played_at", None, None, None, None, None, "pyav", "float32", False)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "q.json").write_text(json.dumps(questions(options.videos)))
        store = FeatureStore(folder / "features", "save_numpy")
        store.prepare()
        for number in range(options.videos):
            rows = generator.standard_normal((options.frames, encoder.dim)).astype(np.float32)
            source = Source(f"/videos/video{number:04d}.mp4", 1, f"{number:032x}", 320, 240, 60.0)
            times = np.arange(options.frames) * 1000.0
            store.write(f"video{number:04d}", Features(rows, times, 25.0, Provenance(source, settings, "0")))
        videos = read_dataset(str(folder / "q.json"))
        texts, stored = TextFeatures(folder / "out" / "texts", encoder.identity), Drawing()
        for strip in (True, False):
            texts.fill((phrase for video in videos for question in video.questions
                        for phrase in phrases_of(question, "option", strip)), lambda: stored)
        for recipe in ({}, {"pooling": "max", "prior_correction": True}):  # the second is the dearest
            load, began, cpu = os.getloadavg()[0], time.perf_counter(), time.process_time()
            run = answer_questions(folder / "q.json", features=folder / "features", output_path=folder / "out", device="cpu",
                                   ablation=True, **recipe)
            seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
            sys.stdout.write(table(run.ablation))
            sys.stdout.write(f"{len(run.answers)} questions, {len([row for row in run.ablation if not row.lacking])} recipes: "
                             f"{seconds:.2f} s (goal {GOAL_SECONDS:g}), {cpu:.2f} CPU-s, parts {run.run['seconds']}, "
                             f"load before {load:.1f}\n")
        new = TextFeatures(folder / "new", replace(encoder.identity, weights_sha256="0"))
        fresh = [Phrase(f"{WORDS[number % len(WORDS)]} number {number}") for number in range(options.texts)]
        use = new.fill(fresh, lambda: encoder)
        sys.stdout.write(f"new texts: {use.encoded / use.seconds:.1f} texts/s ({use.encoded} in {use.seconds:.2f} s, "
                         f"{torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f})\n")


if __name__ == "__main__":
    main()
