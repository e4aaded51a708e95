"""Learned frame selection in the drawn world of `sample/events.py`: 500 held-out videos a seed, 4 of 16 frames.

usage: python benchmarks/retrieval_world.py [--seeds 0 1 2] [--train 600] [--test 500] [--coins] [--folder FOLDER]

A video's two captioned shapes are seen in 4 of its 16 frames; the other 12 show the captioned shapes of three other videos.
`--coins` draws the sizes at random, so that nothing tells which frames are captioned: then nothing can be learned.

Measured in November 2026, one thread of an Intel Xeon (AMX), t2v R@1 in percent (R@1 of 1 of 500 is 0.2; the interval of the
learned choice is 3 points either way):

    seed   learned   oracle   learned / oracle   best of uniform, random, centre, fixed (mean / the model's own aggregation)
    0      85.0      85.8     99.1 %             4.4 / 19.4
    1      84.0      86.2     97.4 %             5.8 / 18.2
    2      86.2      87.2     98.9 %             4.8 / 21.2
    7      85.4      86.4     98.8 %             5.2 / 19.0

    k-medoids: 4.8 to 7.2 with the mean, 21.2 to 26.0 with the model's aggregation; all 16 frames: 5.0 to 6.6, 62.2 to 64.2; Q-Score
    over all 16: 17.2 to 19.6. Of a seed: videos 14 s, features 16 to 23 s, training 13 s, evaluation 2 s.
    --coins, seed 0: learned 3.6, best of the others at k=4 5.8, oracle 85.0.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from clipreel import evaluate_retrieval, extract_features, load_encoder, train_retrieval
from clipreel.extract.text_features import CaptionFeatures
from clipreel.retrieval.annotations import read_annotations
from clipreel.retrieval.baselines import mean_vectors
from clipreel.retrieval.gallery import load_gallery
from clipreel.retrieval.metrics import retrieval_metrics
from clipreel.retrieval.queries import query_features
from clipreel.sample.events import draw_world, write_world

FRAMES, K, EPOCHS = 16, 4, 6
RULES = ("uniform", "random", "centre", "best fixed")


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments.add_argument("--train", type=int, default=600)
    arguments.add_argument("--test", type=int, default=500)
    arguments.add_argument("--coins", action="store_true")
    arguments.add_argument("--folder", type=Path, default=None, help="keep videos and features here")
    options = arguments.parse_args()
    encoder = load_encoder("clip", "tiny", device="cpu")
    with tempfile.TemporaryDirectory() as temporary:
        for seed in options.seeds:
            folder = (options.folder or Path(temporary)) / f"seed_{seed}"
            began = time.monotonic()
            for _ in write_world(folder, draw_world(options.train, options.test, seed, size_tells=not options.coins)):
                pass
            drawn = time.monotonic()
            extract_features(file_with_video_paths=folder / "videos.csv", encoder=encoder, on_extraction="save_numpy",
                             output_path=folder, batch_size=64)
            extracted = time.monotonic()
            keys = {"features": folder / "clip" / "tiny", "annotations": folder, "texts": folder}
            trained = train_retrieval(**keys, num_frm=FRAMES, top_k=K, frame_agg="mlp", concat_captions="mean", num_epochs=EPOCHS,
                                      device="cpu", seed=seed, output_path=folder / "trained", overwrite=True)
            learned = time.monotonic()
            done = evaluate_retrieval(**keys, checkpoint=trained.checkpoint, encoder=encoder, output_path=folder / "evaluated")
            sys.stdout.write(f"seed {seed}: videos {drawn - began:.0f} s, features {extracted - drawn:.0f} s, training "
                             f"{learned - extracted:.0f} s, evaluation {time.monotonic() - learned:.0f} s\n")
            best = oracle(folder, encoder)
            method = done.method.metrics.text_to_video
            rivals = {f"{one.line.choice}, {one.line.aggregation}, {one.line.frames}": one.metrics.text_to_video.recall[1]
                      for one in done.baselines}
            without = max(value for name, value in rivals.items() if name.startswith(RULES) and name.endswith(f" {K}"))
            low, high = method.intervals["R@1"]
            sys.stdout.write(f"  t2v R@1: learned {method.recall[1]:.1f} ({low:.1f} to {high:.1f}), oracle {best:.1f}, learned / "
                             f"oracle {100 * method.recall[1] / best:.1f} %, best of uniform, random and fixed {without:.1f}\n")
            sys.stdout.write("".join(f"  {value:6.1f}  {name}\n" for name, value in rivals.items()))
            sys.stdout.flush()


def oracle(folder: Path, encoder) -> float:
    """t2v R@1 of the mean of exactly the captioned frames."""
    videos, said = read_annotations(folder / "test.json"), json.loads((folder / "test.json").read_text())
    gallery = load_gallery(folder / "clip" / "tiny", [video.video_id for video in videos], FRAMES)
    queries = query_features(videos, "mean", CaptionFeatures(folder / "texts", encoder.identity), lambda: encoder)
    choice = np.array([np.flatnonzero(said[video.video_id]["is_event"]) for video in videos])
    similarity = queries.features @ mean_vectors(gallery.features, choice).T
    return retrieval_metrics(similarity, queries.video_of, resamples=0).text_to_video.recall[1]


if __name__ == "__main__":
    main()
