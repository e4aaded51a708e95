"""batch_size=auto: a size by measuring, and runs that go on when memory runs out."""

import gc

import pytest
import torch
from clipreel import cli, extract_features
from clipreel.errors import ConfigError
from clipreel.extract import batch_size
from clipreel.extract.batch_size import best_size, find_batch_size
from clipreel.extract.extractor import Extractor
from clipreel.extract.framewise import FramewiseExtractor


class Device:
    """Passes of a made-up device: so many seconds to launch, so many a unit, memory for so many."""

    def __init__(self, launch, each, room=10**6):
        self.launch, self.each, self.room, self.tried = launch, each, room, []

    def __call__(self, size):
        self.tried.append(size)
        if size > self.room:
            raise torch.OutOfMemoryError("no memory left")
        return self.launch + self.each * size


def test_where_launching_costs_more_units_are_taken_at_once():
    assert best_size(Device(1e-9, 1.0), most=64, seconds=60) == 1
    # 1 + n/16: 32 is 4 % slower a unit than 64 would be, less than a doubling must bring
    assert best_size(Device(1.0, 1 / 16), most=1024, seconds=60) in (128, 256)


def test_memory_that_runs_out_ends_the_search():
    device = Device(1.0, 1e-6, room=40)
    assert best_size(device, most=1024, seconds=60) == 32
    assert device.tried == [1, 2, 4, 8, 16, 32, 64]
    with pytest.raises(torch.OutOfMemoryError):
        best_size(Device(1.0, 1.0, room=0), most=1024, seconds=60)


def test_nothing_is_tried_that_would_take_too_long():
    assert best_size(Device(1.0, 1e-6), most=1024, seconds=-1) == 1


def test_a_real_encoder_in_two_seconds(tiny):
    size = find_batch_size([FramewiseExtractor(tiny)])
    assert 1 <= size <= 64
    assert size & (size - 1) == 0


def test_features_and_their_provenance_do_not_depend_on_it(sample_videos, tiny, monkeypatch):
    runs = []
    for size in (4, 16):
        monkeypatch.setattr("clipreel.extract.model_run.find_batch_size", lambda extractors, size=size: size)
        runs.append(extract_features(sample_videos[:2], encoder=tiny, extraction_fps=4, batch_size="auto"))
    one, two = runs
    assert max(size for sizes in one.batch_sizes.values() for size in sizes) == 4
    assert max(size for sizes in two.batch_sizes.values() for size in sizes) == 16
    for key, features in one.features.items():
        assert features.provenance == two.features[key].provenance
        cosine = torch.cosine_similarity(torch.from_numpy(features.features), torch.from_numpy(two.features[key].features))
        assert cosine.min() >= 0.999999


def test_memory_that_runs_out_in_the_middle_of_a_run(sample_videos, tiny, monkeypatch, caplog):
    """After two whole batches a third of 16 does not fit any more: it is split, and the run goes on with halves."""
    encode, sizes = FramewiseExtractor.encode, []

    def failing(self, crops):
        if len(sizes) >= 2 and len(crops) > 8:
            raise torch.OutOfMemoryError("no memory left")
        sizes.append(len(crops))
        return encode(self, crops)

    plain = extract_features(sample_videos[:2], encoder=tiny, extraction_fps=5)
    monkeypatch.setattr(FramewiseExtractor, "encode", failing)
    monkeypatch.setattr("clipreel.extract.model_run.find_batch_size", lambda extractors: 16)
    report = extract_features(sample_videos[:2], encoder=tiny, extraction_fps=5, batch_size="auto")
    assert not report.failed
    assert sizes[:3] == [16, 16, 8]
    assert set(sizes[2:-1]) == {8}
    assert "going on with batches of 8" in caplog.text
    for key, features in plain.features.items():
        again = report.features[key].features
        assert torch.cosine_similarity(torch.from_numpy(features.features), torch.from_numpy(again)).min() >= 0.999999


def test_it_does_not_go_with_fixed_batches(capsys, sample_videos, tiny):
    with pytest.raises(ConfigError, match=r"batch_size=auto .* deterministic=true"):
        extract_features(sample_videos[0], encoder=tiny, batch_size="auto", deterministic=True)
    assert cli.main([f"video_paths={sample_videos[0]}", "batch_size=many"]) == 2
    assert "batch_size=many: allowed is a whole number or auto" in capsys.readouterr().err


@pytest.mark.needs_cuda
def test_a_gpu_is_filled_to_a_share(monkeypatch):
    from clipreel import load_encoder

    extractors: list[Extractor] = [FramewiseExtractor(load_encoder("clip", "tiny", device="cuda"))]
    monkeypatch.setattr(batch_size, "_GAIN", 0.0)  # every doubling is worth its memory
    assert find_batch_size(extractors) == batch_size._MOST
    gc.collect()  # what earlier tests left
    held = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    extractors[0].encode(torch.zeros(256, 3, 64, 64, dtype=torch.uint8))
    taken, free = torch.cuda.max_memory_allocated() - held, torch.cuda.mem_get_info()[0]
    torch.cuda.empty_cache()
    monkeypatch.setattr(batch_size, "_MEMORY_SHARE", 1.5 * taken / free)
    assert find_batch_size(extractors) in (128, 256)
    assert torch.cuda.memory_allocated() == held  # and is given back
