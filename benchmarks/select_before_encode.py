"""Extraction with frames chosen before the encoder against encoding every candidate: ViT-B/32 and the selector with random
weights (what is chosen does not matter here, what is computed does), float32, the models loaded before on both sides.

usage: python benchmarks/select_before_encode.py [--videos 8] [--width 320 --height 240] [--policies raw mobilenet_v3_large]
           [--num_frm 16] [--top_k 4] [--rounds 3]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from dataclasses import astuple
from pathlib import Path

import torch
from clipreel import extract_features, load_encoder
from clipreel.models.adaclip.checkpoint import Checkpoint, TextRules, save_checkpoint
from clipreel.models.adaclip.model import AdaClip
from clipreel.models.adaclip.options import AdaClipOptions
from clipreel.models.clip.architecture import ARCHITECTURES, import_clip
from clipreel.models.policy.backbones import BACKBONES
from clipreel.models.registry import identify
from videos import make_video


def random_clip(path: Path) -> Path:
    """ViT-B/32."""
    import_clip()
    from clip.model import CLIP

    torch.manual_seed(0)
    torch.save(CLIP(*astuple(ARCHITECTURES["ViT-B/32"])).state_dict(), path)  # pyright: ignore[reportArgumentType]
    return path


def random_selection(path: Path, policy: str, weights: Path | None, num_frm: int, top_k: int, encoder) -> Path:
    """The selector of the paper: one transformer block, 512 wide, and an MLP."""
    torch.manual_seed(0)
    identity = identify("policy", policy, checkpoint=None if weights is None else str(weights), device="cpu")
    model = AdaClip(AdaClipOptions(encoder.dim, num_frm=num_frm, top_k=top_k, policy_backbone=policy,  # pyright: ignore
                                   policy_dim=BACKBONES[policy].dim))
    save_checkpoint(path, Checkpoint(model, encoder.identity, TextRules("concat", 32), identity))
    return path


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--videos", type=int, default=8)
    arguments.add_argument("--width", type=int, default=320)
    arguments.add_argument("--height", type=int, default=240)
    arguments.add_argument("--seconds", type=float, default=15)
    arguments.add_argument("--policies", nargs="+", default=["raw", "mobilenet_v3_large"])
    arguments.add_argument("--num_frm", type=int, default=16)
    arguments.add_argument("--top_k", type=int, default=4)
    arguments.add_argument("--batch_size", type=int, default=16)
    arguments.add_argument("--rounds", type=int, default=3)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        size = {"width": options.width, "height": options.height, "seconds": options.seconds}
        videos = [make_video(folder / f"{number}.mp4", seed=number, **size) for number in range(options.videos)]
        encoder = load_encoder("clip", "ViT-B/32", checkpoint=str(random_clip(folder / "clip.pt")), device="cpu")
        encoder.encode(torch.zeros(options.batch_size, 3, 224, 224, dtype=torch.uint8))

        def seconds(**keys) -> tuple[float, str]:
            began = time.perf_counter()
            report = extract_features(videos, encoder=encoder, batch_size=options.batch_size, **keys)
            assert not report.failed, report.failed
            return time.perf_counter() - began, str(report.selection or "")

        ways = {"every candidate": {"extraction_total": options.num_frm}}
        for policy in options.policies:
            weights = None
            if (network := BACKBONES[policy]).published is not None:
                weights = folder / f"{policy}.pth"
                torch.save(network.build().state_dict(), weights)
            path = random_selection(folder / f"{policy}.safetensors", policy, weights, options.num_frm, options.top_k, encoder)
            # extraction_total: of N rows the N candidates are all
            ways[policy] = {"extraction_total": options.num_frm, "select": path, "policy_checkpoint": weights}
        spent: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, keys in ways.items():
                wall, said = seconds(**{key: str(value) if isinstance(value, Path) else value for key, value in keys.items()})
                spent[name].append(wall)
                load = f"load {os.getloadavg()[0]:.1f}, {torch.get_num_threads()} threads"
                sys.stdout.write(f"{name}: {wall:.2f} s ({load}) {said}\n")
        base = statistics.median(spent["every candidate"])
        for name, walls in spent.items():
            sys.stdout.write(f"{name}: median {statistics.median(walls):.2f} s, {statistics.median(walls) / base:.2f} of encoding "
                             f"every candidate ({len(videos)} videos, {options.rounds} rounds)\n")


if __name__ == "__main__":
    main()
