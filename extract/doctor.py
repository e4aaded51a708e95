"""`python main.py doctor`: what is installed and present, what is wrong with it, and what to do about each fault."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .. import __version__
from ..configs.doctor_schema import DoctorConfig
from ..errors import ClipreelError

_NEEDED = ("torch", "torchvision", "av", "clip-anytorch", "open_clip_torch", "omegaconf", "numpy", "h5py")
_EXTRAS = {"decord": "reader=decord", "torchcodec": "decoding on GPUs", "faiss-cpu": "search of millions of videos",
           "openai": "differencing with language models", "starlette": "serve and investigator", "pyarrow": "parquet files"}
_IMPORTED = ("numpy", "torch", "torchvision", "av", "h5py")  # all that follows needs them
_LEAST_GB = 5.0  # of free disk: less is said
_NO_GB = 0.1  # the disk is full
_SAMPLE = Path(__file__).parent.parent / "sample" / "red_circle_then_blue_square.mp4"


@dataclass(frozen=True)
class Finding:
    """One line of the report. `fault` makes the exit code 1; `advice` says what to do."""

    state: Literal["ok", "note", "fault"]
    name: str
    text: str
    advice: str = ""


def run(config: DoctorConfig) -> int:
    """Prints every finding; returns 1 when one is a fault."""
    faults = 0
    for finding in examine(config):
        sys.stdout.write(f"{finding.state:<6} {finding.name:<16} {finding.text}\n")
        if finding.advice:
            sys.stdout.write(f"{'':<23} -> {finding.advice}\n")
        sys.stdout.flush()
        faults += finding.state == "fault"
    sys.stdout.write("all is well\n" if not faults else f"{faults} fault{'s' * (faults > 1)}\n")
    return 1 if faults else 0


def examine(config: DoctorConfig) -> Iterator[Finding]:
    """Every finding, the quick ones first."""
    yield Finding("ok", "clipreel", f"{__version__} at {Path(__file__).parent.parent}; Python {platform.python_version()}, "
                                    f"{platform.platform()}, {os.cpu_count()} CPU cores")
    yield from _packages()
    broken = list(_broken())
    yield from broken
    if broken:
        return
    from ..models.download import cache_dir

    yield from _devices()
    yield from _decoding()
    yield _room("output_path", lambda: Path(config.output_path).expanduser(), "give another output_path=")
    room = _room("weights cache", cache_dir, "set CLIPREEL_CACHE to another folder")
    yield room
    if room.state != "fault":
        yield _weights(cache_dir())
    if config.self_test:
        import torch

        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        for device in ("cpu", *(f"cuda:{number}" for number in range(gpus))):
            yield _self_test(device)


def _packages() -> Iterator[Finding]:
    found, absent = {}, []
    for name in _NEEDED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            absent.append(name)
    if absent:
        yield Finding("fault", "packages", f"{', '.join(absent)} not installed", f"pip install {' '.join(absent)}")
    yield Finding("ok", "packages", ", ".join(f"{name} {version}" for name, version in found.items()))
    here = [name for name in _EXTRAS if _is_installed(name)]
    lacking = [f"{name} ({use})" for name, use in _EXTRAS.items() if name not in here]
    yield Finding("ok", "extras", f"{', '.join(here) or 'none'}; not installed: {', '.join(lacking) or 'none'}")


def _broken() -> Iterator[Finding]:
    """Packages that are installed and cannot be imported: of another Python or CUDA, or with a library missing."""
    for name in _IMPORTED:
        try:
            module = importlib.import_module(name)
        except (Exception, SystemExit) as error:  # noqa: BLE001  whatever is wrong with it
            yield Finding("fault", name, f"cannot be imported ({type(error).__name__}: {error})",
                          f"pip install --force-reinstall {name}; nothing more can be looked at before")
        else:
            if not hasattr(module, "__version__"):  # somebody's own av.py, beside what he runs
                yield Finding("fault", name, f"is hidden by {getattr(module, '__file__', None) or 'a folder of its name'}",
                              "rename that, or take its folder off PYTHONPATH; nothing more can be looked at before")


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _devices() -> Iterator[Finding]:
    import torch

    if not torch.cuda.is_available():
        if torch.version.cuda is None:
            yield Finding("note", "devices", "the CPU alone: this torch was built without CUDA",
                          "on a machine with an NVIDIA GPU install torch as pytorch.org says")
        elif Path("/proc/driver/nvidia/version").exists():
            yield Finding("fault", "devices", f"an NVIDIA driver is here, but torch {torch.__version__} (for CUDA "
                                              f"{torch.version.cuda}) cannot use it",
                          "update the driver, or install a torch for an older CUDA")
        else:
            yield Finding("note", "devices", "the CPU alone: no NVIDIA driver was found")
    for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        free, total = (size / 1e9 for size in torch.cuda.mem_get_info(number))
        yield Finding("ok", f"cuda:{number}", f"{torch.cuda.get_device_name(number)}, {free:.1f} of {total:.1f} GB free")


def _decoding() -> Iterator[Finding]:
    import av

    versions = av.library_versions
    yield Finding("ok", "FFmpeg", "of PyAV " + ", ".join(f"{name} {'.'.join(map(str, number))}" for name, number in versions.items()
                                                         if name in ("libavcodec", "libavformat", "libswscale")))
    codecs = {name: name in av.codecs_available for name in ("h264", "hevc", "vp9", "libdav1d")}
    absent = [name for name, is_here in codecs.items() if not is_here]
    if absent:
        yield Finding("fault", "codecs", f"this FFmpeg cannot decode {', '.join(absent)}", "pip install --force-reinstall av")
    yield Finding("ok", "codecs", ", ".join(name for name in codecs if name not in absent))
    yield from _gpu_decoding()


def _gpu_decoding() -> Iterator[Finding]:
    """torchcodec and the GPUs' own decoders, each tried on a frame of the sample video."""
    import torch

    from .decode.nvdec import nvdec_fault, torchcodec_fault

    fault = torchcodec_fault()
    if not torch.cuda.is_available():
        yield Finding("ok", "NVDEC", "no CUDA device: videos are decoded on the CPU")
        if fault is not None and _is_installed("torchcodec"):
            yield Finding("note", "torchcodec", fault)
        return
    for number in range(torch.cuda.device_count()):
        fault = nvdec_fault(f"cuda:{number}")
        if fault is None:
            yield Finding("ok", "NVDEC", f"cuda:{number} decodes videos beside the CPU")
        else:
            yield Finding("note", "NVDEC", "videos are decoded on the CPU alone", fault)
    from .compiling import compile_fault

    fault = compile_fault("cuda")
    if fault is not None:
        yield Finding("note", "compile=true", "cannot be used", fault)


def _room(name: str, place: Callable[[], Path], instead: str) -> Finding:
    """Whether a folder, or the nearest one above it that is there, can be written to, and how much room it has."""
    try:
        folder = place()
        there = folder.absolute()
        while not there.exists() and there != there.parent:
            there = there.parent
    except (OSError, RuntimeError) as error:  # ~nobody, or a name that is too long
        return Finding("fault", name, f"cannot be a folder ({error})", instead)
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return Finding("fault", name, f"{folder} cannot be written to", f"make it writable, or {instead}")
    free = shutil.disk_usage(there).free / 1e9
    if free < _NO_GB:
        return Finding("fault", name, f"{folder}: {1000 * free:.0f} MB free", f"make room, or {instead}")
    if free < _LEAST_GB:
        return Finding("note", name, f"{folder}: {free:.1f} GB free", f"make room, or {instead}")
    return Finding("ok", name, f"{folder}: {free:.0f} GB free")


def _weights(cache: Path) -> Finding:
    try:
        files = sorted(path for path in cache.iterdir() if path.suffix in (".pt", ".pth", ".safetensors"))
    except OSError:
        files = []
    if not files:
        return Finding("note", "weights", "none downloaded yet; the demonstration model `tiny` is always here")
    return Finding("ok", "weights", ", ".join(f"{path.name} ({path.stat().st_size / 1e6:.0f} MB)" for path in files))


def _self_test(device: str) -> Finding:
    from .api import extract_features

    began = time.perf_counter()
    try:
        report = extract_features(_SAMPLE, model_name="tiny", extraction_fps=1, device=device)
    except ClipreelError as error:
        return Finding("fault", "self-test", str(error), "install clipreel again: its sample video or model is not as shipped")
    except RuntimeError as error:
        return Finding("fault", "self-test", f"{device}: {(str(error) or type(error).__name__).splitlines()[0]}",
                       "update the driver, or install a torch that is built for this GPU")
    if report.failed:
        return Finding("fault", "self-test", report.failed[0].reason, "pip install --force-reinstall av")
    rows = sum(len(features) for features in report.features.values())
    return Finding("ok", "self-test", f"{device}: {rows} frames of a sample video decoded and encoded in "
                                      f"{time.perf_counter() - began:.1f} s")
