"""Encoding alone, frames in memory: images (ViCLIP: clips) a second, and the share of the chip's own matrix rate.

usage: python benchmarks/gpu_encode.py [--models ViT-B/32 ViT-L/14 ViT-bigG-14 ViCLIP-L] [--batch N] [--seconds 3]
                                       [--precision bfloat16] [--no-compile] [--trace FILE] [--device cpu --tiny]
Random weights, as fast as any. Three figures a model: `encode` on frames that lie on the device; the run's own passes from
the host's memory to the host's memory, plain, and with compile=true (torch.compile, and a CUDA graph where it pays). The
chip's rate is that of one large matrix product in the same precision, measured just before, not the vendor's. --trace keeps a
small trace (kernels, copies and waits alone, for a browser's trace viewer) of six batches of the last model.
Without --tiny and --device cpu it needs a CUDA device. Never run on one so far: no figures yet.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from clipreel.extract.compiling import compiled
from clipreel.extract.forward import Forward, forward_of, unit_shape
from clipreel.extract.registry import make_extractor
from clipreel.models.base import Encoder, EncoderIdentity, PreprocessSpec
from clipreel.models.clip.architecture import ARCHITECTURES, Architecture, build
from clipreel.models.clip.family import MEAN, STD, tokenize
from clipreel.models.precision import DTYPES, lower_precision
from clipreel.models.two_towers import TwoTowerEncoder
from viclip_gpu import clip_flop, random_encoder

BATCHES = {"ViT-B/32": 1024, "ViT-L/14": 256, "ViT-bigG-14": 128, "ViCLIP-L": 32}
TINY = Architecture(64, 64, 2, 64, 16, 77, 49408, 64, 1, 1)


def transformer_flop(width: int, layers: int, tokens: int, patch: int, embed_dim: int, hidden: int | None = None) -> float:
    """Floating-point operations of one image through a vision transformer, 2 a multiply-add."""
    linear = 2 * tokens * (4 * width**2 + 2 * width * (hidden or 4 * width))
    attention = 2 * 2 * tokens**2 * width
    return 2 * (tokens - 1) * 3 * patch**2 * width + layers * (linear + attention) + 2 * width * embed_dim


def random_clip(architecture: Architecture, name: str, precision: str, device: str) -> TwoTowerEncoder:
    from clip.model import CLIP

    with torch.device("meta"):
        shapes = {key: value.shape for key, value in CLIP(*dataclasses.astuple(architecture)).state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    state = {key: 0.02 * torch.randn(shape, generator=generator) + float("ln_" in key and key.endswith("weight"))
             for key, shape in shapes.items()}
    network = build(architecture, state, Path("random weights"))
    if precision != "float32":
        lower_precision(network, DTYPES[precision])
    return TwoTowerEncoder(
        EncoderIdentity("clip", name, None, "0" * 64, precision, "center", "tensor"),
        PreprocessSpec(architecture.image_size, MEAN, STD), network.to(device), dim=architecture.embed_dim,
        device=torch.device(device), log_logit_scale=math.log(100), tokenize=tokenize)


def random_open_clip(name: str, precision: str, device: str) -> tuple[TwoTowerEncoder, float]:
    import open_clip

    names = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
    with torch.device(device):  # the random numbers, too: 2.5 billion would take a CPU half a minute
        network = open_clip.create_model(name, load_weights=False, pretrained_text=False, precision=names[precision], device=device)
    network.eval().requires_grad_(False)
    config = open_clip.get_model_config(name)
    assert config is not None
    vision, dim = config["vision_cfg"], config["embed_dim"]
    tokens = (vision["image_size"] // vision["patch_size"]) ** 2 + 1
    flop = transformer_flop(vision["width"], vision["layers"], tokens, vision["patch_size"], dim,
                            int(vision["width"] * vision.get("mlp_ratio", 4)))
    encoder = TwoTowerEncoder(
        EncoderIdentity("open_clip", name, None, "0" * 64, precision, "center", "tensor"),
        PreprocessSpec(vision["image_size"], MEAN, STD), network, dim=dim, device=torch.device(device),  # pyright: ignore[reportArgumentType]
        log_logit_scale=math.log(100), tokenize=lambda texts: open_clip.tokenize(texts))
    return encoder, flop


def encoder_of(name: str, precision: str, device: str, tiny: bool) -> tuple[Encoder, float]:
    """And its floating-point operations for one image (clip)."""
    if name == "ViCLIP-L" and not tiny:
        from clipreel.models.viclip.architecture import ARCHITECTURES as CLIPS

        return random_encoder(name, device), clip_flop(CLIPS[name])
    if name == "ViT-bigG-14" and not tiny:
        return random_open_clip(name, precision, device)
    one = TINY if tiny else ARCHITECTURES[name]
    assert one.patch_size is not None
    assert isinstance(one.vision_layers, int)
    tokens = (one.image_size // one.patch_size) ** 2 + 1
    return random_clip(one, name, precision, device), transformer_flop(one.vision_width, one.vision_layers, tokens, one.patch_size,
                                                                       one.embed_dim)


def synchronize(device: str) -> None:
    torch.get_device_module(device).synchronize()


def calls_a_second(call: Callable[[], object], device: str, seconds: float) -> float:
    for _ in range(3):
        call()
    synchronize(device)
    began, calls = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        for _ in range(4):  # no wait between them
            call()
        synchronize(device)
        calls += 4
    return calls / (time.perf_counter() - began)


def chip_flop_per_second(precision: str, device: str, seconds: float) -> float:
    side = 8192 if device.startswith("cuda") else 1024
    left, right = (torch.randn(side, side, device=device, dtype=DTYPES[precision]) for _ in range(2))
    return 2 * side**3 * calls_a_second(lambda: left @ right, device, seconds)


def through_passes(forward: Forward, frames: list[torch.Tensor], seconds: float) -> tuple[float, float]:
    """Units a second from host to host, and the share of that time in which the device computed."""
    for _ in range(3):
        forward.submit(frames)
    list(forward.results(0))
    began, units, busy = time.perf_counter(), 0, 0.0
    while time.perf_counter() - began < seconds:
        forward.submit(frames)
        for encoded in forward.results(forward.under_way):
            units, busy = units + len(encoded.features), busy + encoded.seconds
    for encoded in forward.results(0):
        units, busy = units + len(encoded.features), busy + encoded.seconds
    wall = time.perf_counter() - began
    return units / wall, busy / wall


def write_trace(forward: Forward, frames: list[torch.Tensor], path: Path) -> None:
    """Of six batches: what the device did, and where the host waited for it."""
    from torch.profiler import profile

    with profile() as profiler:
        for _ in range(6):
            forward.submit(frames)
            list(forward.results(forward.under_way))
        list(forward.results(0))
    with tempfile.TemporaryDirectory() as folder:
        profiler.export_chrome_trace(f"{folder}/all.json")
        events = json.loads(Path(f"{folder}/all.json").read_text())["traceEvents"]
    kept = [{key: event[key] for key in ("name", "ph", "ts", "dur", "pid", "tid", "cat")} for event in events
            if event.get("ph") == "X" and (event.get("cat") in ("kernel", "gpu_memcpy") or "Synchronize" in event.get("name", ""))]
    for event in kept:
        event["name"] = event["name"][:60]
    path.write_text(json.dumps({"traceEvents": kept}, separators=(",", ":")))
    sys.stdout.write(f"{path}: {len(kept)} events, {path.stat().st_size / 1e3:.0f} kB\n")


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--models", nargs="+", default=list(BATCHES), choices=list(BATCHES))
    arguments.add_argument("--batch", type=int)
    arguments.add_argument("--seconds", type=float, default=3)
    arguments.add_argument("--precision", default="bfloat16", choices=list(DTYPES))
    arguments.add_argument("--device", default="cuda")
    arguments.add_argument("--no-compile", action="store_true")
    arguments.add_argument("--tiny", action="store_true", help="a small network in place of each: does this program work?")
    arguments.add_argument("--trace", type=Path)
    options = arguments.parse_args()
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        sys.exit("this benchmark needs a CUDA device, and there is none (--device cpu --tiny shows that it works)")
    device, precision = options.device, options.precision
    chip = chip_flop_per_second(precision, device, options.seconds)
    name = torch.cuda.get_device_name() if device.startswith("cuda") else "CPU"
    sys.stdout.write(f"{name}, torch {torch.__version__}: {chip / 1e12:.2f} TFLOP/s measured in {precision}\n")
    for model in options.models:
        encoder, flop = encoder_of(model, precision, device, options.tiny)
        batch = options.batch or (4 if options.tiny else BATCHES[model])
        extractor = make_extractor(encoder)
        frames = list(torch.randint(0, 256, (batch, *unit_shape(extractor)), dtype=torch.uint8))
        resident = torch.stack(frames).to(device)
        alone = batch * calls_a_second(lambda encoder=encoder, resident=resident: encoder.encode(resident), device, options.seconds)

        def say(what: str, rate: float, more: str = "", *, model: str = model, batch: int = batch, flop: float = flop) -> None:
            sys.stdout.write(f"{model}, batches of {batch}, {what}: {rate:.0f} a second, {rate * flop / chip:.0%} of the chip's "
                             f"rate{more}\n")
            sys.stdout.flush()

        say("encode", alone)
        forward = forward_of(extractor, batch)
        rate, busy = through_passes(forward, frames, options.seconds)
        say("host to host", rate, f", device busy {busy:.0%}")
        if not options.no_compile:
            forward = forward_of(make_extractor(compiled(encoder)), batch, compiled=True)
            rate, busy = through_passes(forward, frames, options.seconds)
            say("host to host, compile=true", rate, f", device busy {busy:.0%}")
        if options.trace is not None and model == options.models[-1]:
            write_trace(forward, frames, options.trace)


if __name__ == "__main__":
    main()
