"""Forward passes: in order, several under way, filled up where the network is compiled for one size."""

import math
import os
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from clipreel import extract_features, load_encoder
from clipreel.errors import ConfigError
from clipreel.extract import forward_gpu
from clipreel.extract.compiling import compiled
from clipreel.extract.forward import Forward, OneByOne, forward_of, unit_shape
from clipreel.extract.forward_gpu import GpuPasses
from clipreel.extract.framewise import FramewiseExtractor
from clipreel.tests.viclip_small import write_small

slow = pytest.mark.skipif("CLIPREEL_SLOW_TESTS" not in os.environ, reason="compiling takes a minute: set CLIPREEL_SLOW_TESTS=1")


def pictures(count, shape=(3, 64, 64), seed=0):
    return list(torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)))


def all_results(forward, batches):
    features = []
    for batch in batches:
        forward.submit(batch)
        features += [one.features for one in forward.results(forward.under_way)]
    return [*features, *(one.features for one in forward.results(0))]


def test_the_passes_of_a_gpu_give_what_plain_ones_do(tiny):
    """Their code, with a CPU in a GPU's place: its streams do nothing, all else is what a GPU runs."""
    batches = [pictures(count, seed=count) for count in (8, 8, 8, 8, 3)]
    passes = GpuPasses(tiny, 8, unit_shape(FramewiseExtractor(tiny)))
    ours = all_results(Forward(passes, "cpu", 8, under_way=2), batches)
    plain = all_results(Forward(OneByOne(FramewiseExtractor(tiny)), "cpu", 8), batches)
    assert [len(features) for features in ours] == [8, 8, 8, 8, 3]
    for one, other in zip(ours, plain, strict=True):
        assert np.allclose(one, other, atol=1e-4)


def test_memory_that_runs_out_under_way_costs_nothing_else(tiny, monkeypatch):
    passes, seen = GpuPasses(tiny, 8, (3, 64, 64)), []
    run = passes._features

    def failing(pixels, count):
        if len(seen) >= 2 and count > 2:
            raise torch.OutOfMemoryError("no memory left")
        seen.append(count)
        return run(pixels, count)

    monkeypatch.setattr(passes, "_features", failing)
    batches = [pictures(8, seed=seed) for seed in range(5)]
    ours = all_results(Forward(passes, "cpu", 8, under_way=2), batches)
    plain = all_results(Forward(OneByOne(FramewiseExtractor(tiny)), "cpu", 8), batches)
    assert seen == [8, 8, *[2] * 12]
    assert np.allclose(np.concatenate(ours), np.concatenate(plain), atol=1e-4)


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=slow)])
def test_a_compiled_encoder_gives_the_same_features(tmp_path, monkeypatch, backend):
    """The default backend only on demand; the quick one traces and lowers the same graph, and generates no code."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    encoder: Any = load_encoder("viclip", "custom", checkpoint=str(write_small(tmp_path / "small.pth")), device="cpu")
    twin = compiled(encoder)
    shape = (encoder.num_frames, 3, *[encoder.preprocess.image_size] * 2)
    clips = torch.stack(pictures(2, shape))
    assert torch.cosine_similarity(twin.encode(clips), encoder.encode(clips)).min() >= 0.999999
    assert twin.identity == encoder.identity


def test_compiling_is_warmed_up_and_filled_up(tiny, monkeypatch, sample_videos, caplog):
    """With the compiler itself left out: which batches the network sees, and what is said."""
    sizes, encode = [], type(tiny).encode
    monkeypatch.setattr(torch, "compile", lambda function, dynamic: function)
    monkeypatch.setattr("clipreel.extract.compiling.compile_fault", lambda device: None)
    monkeypatch.setattr(type(tiny), "encode", lambda self, frames: (sizes.append(len(frames)), encode(self, frames))[1])
    report = extract_features(sample_videos[0], encoder=tiny, extraction_total=20, batch_size=8, compile=True)
    assert sizes == [8, 8, 8, 8]  # a warm-up, and 20 frames in three batches
    assert not report.failed
    said = []
    from clipreel.extract.model_run import ModelRun

    pipeline = ModelRun.pipeline
    monkeypatch.setattr(ModelRun, "pipeline", lambda self, say: pipeline(self, lambda what: (said.append(what), say(what))))
    extract_features(sample_videos[0], encoder=tiny, extraction_total=8, batch_size="auto", compile=True)
    assert said[0] == "finding the batch size of tiny"
    assert said[1].startswith("compiling tiny for batches of ")
    assert said[-1] == ""


def test_where_it_cannot_be_compiled_it_is_said(tiny, monkeypatch, sample_videos):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(ConfigError, match=r"compile=true cannot work here: .*C\+\+ compiler.*build-essential; or leave it out"):
        extract_features(sample_videos[0], encoder=tiny, compile=True)
    with pytest.raises(ConfigError, match="compile=true does not go with this encoder"):
        extract_features(sample_videos[0], feature_type="policy", model_name="raw", device="cpu", compile=True)
    for other in ({"deterministic": True}, {"select": "x.pt"}):
        with pytest.raises(ConfigError, match="compile=true"):
            extract_features(sample_videos[0], encoder=tiny, compile=True, **other)


@pytest.mark.needs_cuda
@pytest.mark.filterwarnings("default")  # torch's compiler warns of float32 that is not TF32, and more
@pytest.mark.parametrize("with_compiler", [False, True])
def test_a_gpu_gives_what_the_cpu_does(tiny, with_compiler, monkeypatch):
    """With the compiler through a CUDA graph, however slow. Twelve batches: memory is used again while others are under way."""
    monkeypatch.setattr(forward_gpu, "_GRAPH_GAIN", math.inf)
    encoder = load_encoder("clip", "tiny", device="cuda", precision="float32")
    extractor = FramewiseExtractor(compiled(encoder) if with_compiler else encoder)
    forward = forward_of(extractor, 8, compiled=with_compiler)
    assert forward.under_way == 2
    assert isinstance(forward._passes, GpuPasses)
    assert (forward._passes._graph is not None) == with_compiler
    batches = [pictures(count, seed=seed) for seed, count in enumerate((*[8] * 12, 3))]
    batches[1] = [one.cuda() if place % 2 else one for place, one in enumerate(batches[1])]  # decoded by both kinds
    plain = all_results(Forward(OneByOne(FramewiseExtractor(tiny)), "cpu", 8), [[one.cpu() for one in batch] for batch in batches])
    for one, other in zip(all_results(forward, batches), plain, strict=True):
        assert torch.cosine_similarity(torch.from_numpy(one), torch.from_numpy(other)).min() >= 0.9999


@pytest.mark.needs_cuda
def test_memory_of_a_gpu_that_runs_out(tiny, caplog):
    """What a batch of 512 took is not there again: it goes on with less, and nothing is lost."""
    encoder = load_encoder("clip", "tiny", device="cuda", precision="float32")
    batches = [pictures(512, seed=seed) for seed in range(3)]
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    plain = all_results(forward_of(FramewiseExtractor(encoder), 512), batches)
    before, peak = torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated()
    torch.cuda.empty_cache()
    forward = forward_of(FramewiseExtractor(encoder), 512)
    share = (torch.cuda.memory_reserved() + 0.6 * (peak - before)) / torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(share)
    try:
        less = all_results(forward, batches)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert "out of memory; going on with batches of" in caplog.text
    cosines = torch.cosine_similarity(torch.from_numpy(np.concatenate(less)), torch.from_numpy(np.concatenate(plain)))
    assert cosines.min() >= 0.9999
