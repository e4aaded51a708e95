"""ViCLIP on a GPU, and the benchmark of it."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from clipreel.models.base import Precision
from clipreel.models.registry import load_encoder
from clipreel.models.viclip.architecture import ARCHITECTURES
from clipreel.tests.viclip_small import write_small

BENCHMARK = Path(__file__).resolve().parents[3] / "benchmarks" / "viclip_gpu.py"


@pytest.fixture(scope="module")
def viclip_gpu():
    spec = importlib.util.spec_from_file_location("viclip_gpu", BENCHMARK)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_operations_of_a_clip(viclip_gpu):
    assert viclip_gpu.clip_flop(ARCHITECTURES["ViCLIP-L"]) == pytest.approx(1.65e12, rel=0.01)


def test_without_a_gpu_it_says_so(viclip_gpu, monkeypatch):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    monkeypatch.setattr(sys, "argv", [str(BENCHMARK)])
    with pytest.raises(SystemExit) as ended:  # with a sentence: written to standard error, exit code 1
        viclip_gpu.main()
    assert ended.value.code == "this benchmark needs a CUDA device, and there is none"


@pytest.mark.needs_cuda
@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
def test_equal_to_the_cpu(precision: Precision, tmp_path):
    path = write_small(tmp_path / "small.pth")
    windows = torch.randint(0, 256, (5, 8, 3, 32, 32), dtype=torch.uint8)
    on_cpu = load_encoder("viclip", "custom", checkpoint=str(path), precision="float32", device="cpu")
    on_gpu = load_encoder("viclip", "custom", checkpoint=str(path), precision=precision, device="cuda")
    least = 0.99999 if precision == "float32" else 0.999
    for ours, theirs in ((on_gpu.encode(windows), on_cpu.encode(windows)),
                         (on_gpu.encode_text(["a dog", "b"]), on_cpu.encode_text(["a dog", "b"]))):
        assert ours.device.type == "cuda"
        assert torch.nn.functional.cosine_similarity(ours.cpu(), theirs).min() > least


@pytest.mark.needs_cuda
def test_the_benchmark_runs():
    done = subprocess.run([sys.executable, str(BENCHMARK), "--model", "ViCLIP-B", "--batches", "2", "--seconds", "0.2"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "batch 2: " in done.stdout and "clips/s" in done.stdout
