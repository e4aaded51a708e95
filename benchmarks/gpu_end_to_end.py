"""From files to stored features: many videos of 720p and 1080p at 1 fps and at all frames, decoded by the CPU, by NVDEC, by both.

usage: python benchmarks/gpu_end_to_end.py [--videos 200] [--heights 720 1080] [--rates 1 all] [--decoders cpu nvdec both]
                                           [--seconds 30] [--model ViT-B/32] [--precision bfloat16] [--compile] [--usual 4]
                                           [--trace FILE] [--device cpu --tiny]
Eight videos a height are made (kept in the folder for temporary files) and linked under many names. Random weights. Printed:
hours of video an hour, rows a second, CPU seconds of decoding, and the share of the time in which the device had nothing to
compute. --usual N: the same flow as most people write it (usual_flow.py) on N of the videos, beside it; needs ffmpeg and
opencv-python-headless. --trace: as in gpu_encode.py, of a run over eight of the videos.
Without --device cpu it needs a CUDA device. Never run on one so far: no figures yet.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import torch
from clipreel import extract_features, load_encoder
from clipreel.extract.decode.nvdec import nvdec_fault
from clipreel.extract.report import Report
from clipreel.models.base import Encoder
from clipreel.models.clip.architecture import ARCHITECTURES
from videos import make_video

READERS = {"cpu": "pyav", "nvdec": "torchcodec", "both": "auto"}
DISTINCT = 8


def make_one(job: tuple[str, float, int, int]) -> str:
    path, seconds, height, seed = job
    make_video(Path(path), seconds=seconds, width=height * 16 // 9 // 2 * 2, height=height, seed=seed)
    return path


def linked_videos(folder: Path, height: int, seconds: float, count: int) -> Path:
    """A folder of `count` names for eight videos."""
    made = Path(tempfile.gettempdir())
    jobs = [(str(made / f"clipreel_{height}p_{seconds:g}s_{seed}.mp4"), seconds, height, seed)
            for seed in range(min(DISTINCT, count))]
    # Not forked: torch and CUDA have threads by now, whose locks a fork would copy.
    with ProcessPoolExecutor(min(DISTINCT, os.cpu_count() or 1), multiprocessing.get_context("spawn")) as pool:
        videos = list(pool.map(make_one, jobs))
    links = folder / f"{height}p"
    links.mkdir()
    for number in range(count):
        (links / f"video_{number:05}.mp4").symlink_to(videos[number % len(videos)])
    return links


def random_checkpoint(name: str, path: Path) -> Path:
    from clip.model import CLIP

    torch.manual_seed(0)
    network = CLIP(*dataclasses.astuple(ARCHITECTURES[name]))
    torch.save({key: tensor.half().float() for key, tensor in network.state_dict().items()}, path)
    return path


def line(what: str, report: Report, devices: int = 1) -> str:
    wall = report.wall_seconds
    return (f"{what}: {report.video_seconds / wall:.0f} hours of video an hour, {report.frames / wall:.0f} rows/s, "
            f"decoding {report.decode_seconds:.1f} CPU-s, device idle {1 - report.encode_seconds / wall / devices:.0%}, "
            f"{wall:.1f} s, {len(report.done)} done, {len(report.failed)} failed\n")


@contextmanager
def traced(path: Path | None) -> Iterator[None]:
    if path is None:
        yield
        return
    from torch.profiler import profile

    with profile() as profiler:
        yield
    with tempfile.TemporaryDirectory() as folder:
        profiler.export_chrome_trace(f"{folder}/all.json")
        events = json.loads(Path(f"{folder}/all.json").read_text())["traceEvents"]
    kept = [{key: event[key] for key in ("name", "ph", "ts", "dur", "pid", "tid", "cat")} for event in events
            if event.get("ph") == "X" and event.get("cat") in ("kernel", "gpu_memcpy")][:4000]
    for event in kept:
        event["name"] = event["name"][:60]
    path.write_text(json.dumps({"traceEvents": kept}, separators=(",", ":")))


def run(videos: Path | list[Path], encoder: Encoder, folder: Path, rate: str, reader: str, options: argparse.Namespace) -> Report:
    with tempfile.TemporaryDirectory(dir=folder) as output:
        return extract_features([videos] if isinstance(videos, Path) else videos, encoder=encoder, reader=reader,
                                extraction_fps=None if rate == "all" else float(rate), batch_size=options.batch,
                                compile=options.compile, on_extraction="save_numpy", output_path=output)


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--videos", type=int, default=200)
    arguments.add_argument("--heights", type=int, nargs="+", default=[720, 1080])
    arguments.add_argument("--rates", nargs="+", default=["1", "all"])
    arguments.add_argument("--decoders", nargs="+", default=list(READERS), choices=list(READERS))
    arguments.add_argument("--seconds", type=float, default=30)
    arguments.add_argument("--model", default="ViT-B/32", choices=list(ARCHITECTURES))
    arguments.add_argument("--precision", default="bfloat16")
    arguments.add_argument("--batch", type=int, default=256)
    arguments.add_argument("--compile", action="store_true")
    arguments.add_argument("--usual", type=int, default=0)
    arguments.add_argument("--trace", type=Path)
    arguments.add_argument("--device", default="cuda")
    arguments.add_argument("--tiny", action="store_true", help="the demonstration model on 3 videos of 2 s: does it work?")
    options = arguments.parse_args()
    on_gpu = options.device.startswith("cuda")
    if on_gpu and not torch.cuda.is_available():
        sys.exit("this benchmark needs a CUDA device, and there is none (--device cpu --tiny shows that it works)")
    if options.tiny:
        options.videos, options.seconds, options.heights, options.batch = 3, 2.0, [240], 8
    fault = nvdec_fault(options.device) if on_gpu else "the device is a CPU"
    if fault is not None:
        sys.stdout.write(f"no NVDEC: {fault}; nvdec and both are left out\n")
        options.decoders = [name for name in options.decoders if name == "cpu"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoint = None if options.tiny else random_checkpoint(options.model, folder / "random.pt")
        encoder = (load_encoder("clip", "tiny", precision=options.precision, device=options.device) if checkpoint is None else
                   load_encoder("clip", "custom", precision=options.precision, device=options.device, checkpoint=str(checkpoint)))
        what = torch.cuda.get_device_name() if on_gpu else "CPU"
        sys.stdout.write(f"{what}, {os.cpu_count()} cores, torch {torch.__version__}, {'tiny' if options.tiny else options.model} "
                         f"{options.precision}, batches of {options.batch}, {options.videos} videos of {options.seconds:g} s\n")
        few: list[Path] = []
        for height in options.heights:
            videos = linked_videos(folder, height, options.seconds, options.videos)
            few = sorted(videos.iterdir())[:DISTINCT]
            for rate in options.rates:
                for decoder in options.decoders:
                    run(few, encoder, folder, rate, READERS[decoder], options)  # warm: kernels, memory, decoders
                    with traced(None):
                        report = run(videos, encoder, folder, rate, READERS[decoder], options)
                    sys.stdout.write(line(f"{height}p, {rate} fps, decoded by {decoder}", report))
                    sys.stdout.flush()
            if options.usual and checkpoint is not None:
                said = subprocess.run([sys.executable, str(Path(__file__).with_name("usual_flow.py")), str(checkpoint), "1",
                                       *map(str, few[:options.usual])], capture_output=True, text=True,
                                      env={**os.environ, "DEVICE": options.device}, check=False)
                sys.stdout.write(f"{height}p, 1 fps, usual flow on {options.usual} videos: {said.stdout or said.stderr[-500:]}")
        if options.trace is not None:
            with traced(options.trace):
                run(few, encoder, folder, options.rates[0], READERS[options.decoders[-1]], options)
            sys.stdout.write(f"{options.trace}: {options.trace.stat().st_size / 1e3:.0f} kB\n")


if __name__ == "__main__":
    main()
