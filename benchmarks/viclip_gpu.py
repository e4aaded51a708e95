"""Clips a second of ViCLIP-L in bfloat16 on a GPU, and the share of the chip's measured matrix rate that it reaches.

usage: python benchmarks/viclip_gpu.py [--model ViCLIP-L|ViCLIP-B] [--batches 1 8 32] [--seconds 3] [--checkpoint FILE]
Random weights unless a checkpoint is given (the speed is the same). Uint8 clips lie on the GPU; normalising counts.
The chip's rate is that of a bfloat16 product of 8192 x 8192 matrices, measured just before, not the vendor's.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from clipreel.models.base import EncoderIdentity, PreprocessSpec
from clipreel.models.registry import load_encoder
from clipreel.models.viclip.architecture import ARCHITECTURES, Architecture, build
from clipreel.models.viclip.encoder import ViCLIPEncoder
from clipreel.models.viclip.network import ViCLIP
from clipreel.models.viclip.recipes import MEAN, RECIPES, STD


def clip_flop(architecture: Architecture) -> float:
    """Floating-point operations of one clip's vision pass, 2 a multiply-add: 1.65e12 for L."""
    width = architecture.vision_width
    patches = architecture.num_frames * (architecture.image_size // architecture.patch_size) ** 2
    tokens = patches + 1
    embedding = 2 * patches * 3 * architecture.patch_size**2 * width
    linear = 2 * tokens * 12 * width**2  # query, key, value, output, and four times as wide up and down
    attention = 2 * 2 * tokens**2 * width
    return embedding + architecture.vision_layers * (linear + attention) + 2 * width * architecture.embed_dim


def random_encoder(name: str, device: str) -> ViCLIPEncoder:
    architecture = ARCHITECTURES[name]
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in ViCLIP(architecture).state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    state = {key: 0.02 * torch.randn(shape, generator=generator) + float("ln_" in key and key.endswith("weight"))
             for key, shape in shapes.items()}
    network = build(architecture, state, Path("random weights"))
    network.lower_precision(torch.bfloat16)
    identity = EncoderIdentity("viclip", name, None, "0" * 64, "bfloat16", "squash", "tensor", "train")
    spec = PreprocessSpec(architecture.image_size, MEAN, STD, crop="squash")
    return ViCLIPEncoder(identity, spec, RECIPES["train"], architecture, network.to(device), torch.device(device))


def seconds_of(call: Callable[[], object], least_seconds: float) -> float:
    """The median of single calls, by the GPU's own clock."""
    for _ in range(3):
        call()
    torch.cuda.synchronize()
    times: list[float] = []
    while sum(times) < least_seconds or len(times) < 5:
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        call()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end) / 1000)
    return statistics.median(times)


def chip_flop_per_second(least_seconds: float, side: int = 8192) -> float:
    left, right = (torch.randn(side, side, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    return 2 * side**3 / seconds_of(lambda: left @ right, least_seconds)


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--model", choices=list(ARCHITECTURES), default="ViCLIP-L")
    arguments.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    arguments.add_argument("--seconds", type=float, default=3)
    arguments.add_argument("--checkpoint")
    options = arguments.parse_args()
    if not torch.cuda.is_available():
        sys.exit("this benchmark needs a CUDA device, and there is none")
    if options.checkpoint:
        encoder = load_encoder("viclip", options.model, checkpoint=options.checkpoint, precision="bfloat16", device="cuda")
    else:
        encoder = random_encoder(options.model, "cuda")
    flop, chip = clip_flop(ARCHITECTURES[options.model]), chip_flop_per_second(options.seconds)
    sys.stdout.write(f"{torch.cuda.get_device_name()}, torch {torch.__version__}: {chip / 1e12:.0f} TFLOP/s measured in bfloat16; "
                     f"{options.model}: {flop / 1e12:.2f} TFLOP a clip\n")
    for batch in options.batches:
        clips = torch.randint(0, 256, (batch, 8, 3, 224, 224), dtype=torch.uint8, device="cuda")
        seconds = seconds_of(lambda clips=clips: encoder.encode(clips), options.seconds)
        sys.stdout.write(f"batch {batch}: {batch / seconds:.1f} clips/s, {batch * flop / seconds / chip:.0%} of the chip's rate\n")


if __name__ == "__main__":
    main()
