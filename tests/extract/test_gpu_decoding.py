"""Two kinds of decoders on one queue, and frames that stay where they were decoded. Here "the device" is the CPU, with
torchcodec in NVDEC's place; on a GPU the same code runs with NVDEC."""

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch
from clipreel import extract_features
from clipreel.errors import ConfigError, NvdecError, UnreadableVideoError
from clipreel.extract import job
from clipreel.extract.decode import nvdec
from clipreel.extract.decode.nvdec import nvdec_fault, own_stream, torchcodec_fault, wait_until_made
from clipreel.extract.decode.pyav import PyavReader
from clipreel.extract.decode.torchcodec import TorchcodecReader, has_nvdec_colours
from clipreel.extract.extractor import Units
from clipreel.extract.frames import DeviceFrameBatch
from clipreel.extract.framewise import FramewiseExtractor, prepared
from clipreel.extract.job import Attempt, Job
from clipreel.extract.options import PipelineOptions
from clipreel.extract.pipeline import Pipeline
from clipreel.extract.sampling import SamplingRequest
from clipreel.extract.videos import VideoItem
from clipreel.tests.extract.collect import Collect
from clipreel.tests.media import PATCHES, ZOO, Recipe

needs_torchcodec = pytest.mark.skipif(torchcodec_fault() is not None, reason=str(torchcodec_fault()))


def run(tiny, paths, **options):
    outcome = Collect()
    defaults = PipelineOptions(SamplingRequest(fps=5), batch_size=4, workers=2)
    jobs = [Job(number, path.name, VideoItem(str(path), path.stem), f"{number:032}") for number, path in enumerate(paths)]
    Pipeline([FramewiseExtractor(tiny)], replace(defaults, **options), outcome).run(jobs, lambda: None)
    return outcome


def cosines(one, other):
    return torch.cosine_similarity(torch.from_numpy(one), torch.from_numpy(other))


@pytest.fixture
def who(monkeypatch):
    """Which reader gave frames of which video."""
    seen = {"cpu": set(), "device": set()}
    on_device, on_cpu = TorchcodecReader.frames_on_device, PyavReader.frames
    monkeypatch.setattr(TorchcodecReader, "frames_on_device", lambda self, index, wanted, **keys: (
        seen["device"].add(index.path.name), on_device(self, index, wanted, **keys))[1])
    monkeypatch.setattr(PyavReader, "frames", lambda self, index, wanted, **keys: (
        seen["cpu"].add(index.path.name), on_cpu(self, index, wanted, **keys))[1])
    return seen


@needs_torchcodec
def test_both_kinds_share_one_queue(tiny, tmp_path, who):
    paths = [tmp_path / f"{number}.mp4" for number in range(24)]
    for number, path in enumerate(paths):
        Recipe(frames=20, first_number=number).write(path)
    both = run(tiny, paths, nvdec=("cpu",))
    assert not both.errors
    assert who["cpu"] | who["device"] == {path.name for path in paths}
    assert not who["cpu"] & who["device"]  # each video is one decoder's
    assert who["device"]
    alone = run(tiny, paths)
    for key, (rows, units) in alone.rows.items():
        assert cosines(rows, both.rows[key][0]).min() >= 0.999
        assert units.timestamps_ms.tolist() == both.rows[key][1].timestamps_ms.tolist()


@needs_torchcodec
def test_what_the_device_cannot_decode_the_cpu_does(tiny, zoo, who, monkeypatch, caplog):
    def refusing(self, file, index, stream_number):
        raise NvdecError(f"{index.path}: NVDEC does not decode it")

    caplog.set_level("INFO", logger="clipreel")
    monkeypatch.setattr(TorchcodecReader, "_decoder", refusing)
    paths = [zoo(name) for name in ("h264.mp4", "hevc.mp4", "h264.ts", "vp9.webm", "h264_10_bit.mp4")]
    outcome = run(tiny, paths, nvdec=("cpu",))
    assert not outcome.errors
    assert set(outcome.rows) == {path.name for path in paths}
    assert caplog.text.count("decoded on the CPU") <= 1  # none where the CPU's threads were the faster ones


@needs_torchcodec
def test_alone_it_says_what_it_cannot_decode(tiny, zoo, who):
    outcome = run(tiny, [zoo("h264.mp4"), zoo("h264.ts"), zoo("cut.mp4")], nvdec=("cpu",), reader="torchcodec")
    assert set(outcome.rows) == {"h264.mp4"}
    assert isinstance(outcome.errors["h264.ts"], UnreadableVideoError)
    assert "use reader=pyav" in str(outcome.errors["h264.ts"])
    assert not who["cpu"]


@needs_torchcodec
def test_one_video_in_parts_by_the_device(tiny, zoo):
    one = run(tiny, [zoo("h264_open_gop.mp4")], request=SamplingRequest())
    many = run(tiny, [zoo("h264_open_gop.mp4")], request=SamplingRequest(), nvdec=("cpu",), reader="torchcodec", workers=4)
    assert cosines(one.rows["h264_open_gop.mp4"][0], many.rows["h264_open_gop.mp4"][0]).min() >= 0.999


@needs_torchcodec
def test_a_folder_of_pictures_is_the_cpus(tiny, tmp_path):
    from PIL import Image

    for number in range(4):
        Image.fromarray(np.full((64, 64, 3), 40 * number, np.uint8)).save(tmp_path / f"{number}.png")
    assert len(run(tiny, [tmp_path], nvdec=("cpu",), fps=5).rows[tmp_path.name][0]) == 4


@needs_torchcodec
def test_reader_torchcodec_as_a_key(tiny, sample_videos):
    report = extract_features(sample_videos, encoder=tiny, extraction_fps=2, reader="torchcodec")
    plain = extract_features(sample_videos, encoder=tiny, extraction_fps=2)
    assert not report.failed
    for key, features in plain.features.items():
        assert cosines(features.features, report.features[key].features).min() >= 0.999
        assert report.features[key].provenance.settings.reader == "torchcodec"
        assert features.provenance.settings.reader == "pyav"


@needs_torchcodec
@pytest.mark.parametrize("name", [name for name in ZOO if name.startswith("bt")])
def test_colours_follow_the_tagged_matrix_and_range(name, zoo):
    (batch,) = TorchcodecReader().frames(PyavReader().index(zoo(name)), np.array([2]))
    assert np.abs(batch.pixels[0][40, 8::16].astype(int) - PATCHES).max() <= (4 if "10" in name else 3)


@needs_torchcodec
def test_colours_that_nvdec_may_get_wrong_are_the_cpus(tmp_path):
    """What torchcodec calls codecs and matrices, and which of them go together."""
    said = {}
    for codec, options in (("libx264", {}), ("libvpx-vp9", {"cpu-used": "8", "deadline": "realtime"})):
        path = tmp_path / f"{codec}.mkv"
        Recipe(codec, options, frames=2, colours=("bt709", False)).write(path)
        with open(path, "rb") as file:
            metadata = nvdec.video_decoder(file).metadata
        said[metadata.codec] = metadata.color_space
    assert said == {"h264": "bt709", "vp9": "bt709"}
    assert [has_nvdec_colours(*one) for one in said.items()] == [True, False]
    assert all(has_nvdec_colours(codec, matrix) for codec in ("vp9", "vp8", "mpeg4") for matrix in (None, "unknown", "smpte170m"))
    assert not has_nvdec_colours("h264", "smpte240m")


def test_frames_are_prepared_where_they_lie(tiny):
    frames = torch.randint(0, 256, (2, 90, 120, 3), dtype=torch.uint8)
    batch = DeviceFrameBatch(frames, np.arange(2), np.zeros(2))
    on_device, on_cpu = prepared(batch, tiny.preprocess), prepared(batch.on_cpu(), tiny.preprocess)
    assert (on_device.int() - on_cpu.int()).abs().max() <= 1
    pil = replace(tiny.preprocess, backend="pil")
    assert torch.equal(prepared(batch, pil), prepared(batch.on_cpu(), pil))
    assert len(batch.only(np.array([False, True]))) == 1


def test_without_torchcodec_it_is_said_how_to_get_it(monkeypatch, tiny, sample_videos):
    torchcodec_fault.cache_clear()
    monkeypatch.setattr(nvdec.importlib.metadata, "version", lambda name: "0.15.1")
    try:
        assert "0.16 is needed" in str(torchcodec_fault())
        with pytest.raises(ConfigError, match=r"reader=torchcodec: torchcodec 0\.15\.1 is too old"):
            extract_features(sample_videos[0], encoder=tiny, reader="torchcodec")
    finally:
        torchcodec_fault.cache_clear()


@needs_torchcodec
def test_a_machine_without_a_gpu_has_no_nvdec():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert "cuda:0" in str(nvdec_fault("cuda:0"))


def test_a_window_is_whole_before_others_take_it(monkeypatch):
    made, index, zeros = [], cast("Any", None), np.zeros(1)
    monkeypatch.setattr(job, "wait_until_made", made.append)
    attempt = Attempt(Job(0, "a", VideoItem("a", "a"), "0" * 32), index, Units(np.array([[3, 5]]), zeros, zeros))
    assert not attempt.complete_units(5, torch.ones(3, 2, 2, dtype=torch.uint8))
    ((unit, window),) = attempt.complete_units(3, torch.zeros(3, 2, 2, dtype=torch.uint8))
    assert (unit, window.float().mean((1, 2, 3)).tolist()) == (0, [0, 1])
    assert made == [window]


@pytest.mark.needs_cuda
def test_what_a_gpu_makes_is_there_for_other_streams():
    with own_stream("cuda:0"):
        torch.cuda._sleep(200_000_000)  # clock cycles: a tenth of a second
        made = torch.full((64, 3, 224, 224), 7, dtype=torch.uint8, device="cuda:0")
        wait_until_made(made)
    with own_stream("cuda:0"):
        assert (made == 7).all().item()


NVDEC = {  # above its least sizes for these
    "large_hevc.mp4": Recipe("libx265", {"x265-params": "log-level=none:pools=none"}, size=(256, 160)),
    "large_vp9.webm": Recipe("libvpx-vp9", {"cpu-used": "8", "deadline": "realtime"}, size=(256, 144)),
    "odd_vp9.webm": Recipe("libvpx-vp9", {"cpu-used": "8", "deadline": "realtime"}, size=(257, 145)),
    "bt709_hevc.mp4": Recipe("libx265", {"x265-params": "log-level=none:pools=none"}, size=(256, 160), scene="patches",
                             colours=("bt709", False)),
    "bt709_av1.mp4": Recipe("libsvtav1", {"preset": "12"}, size=(256, 160), scene="patches", colours=("bt709", False)),
}


@pytest.mark.needs_cuda
@needs_torchcodec
@pytest.mark.parametrize("name", ["h264.mp4", "turned_90.mp4", *NVDEC,
                                  *(name for name in ZOO if name.startswith("bt") and "10" not in name)])
def test_nvdec_agrees_with_the_cpu(name, zoo, tiny, tmp_path):
    """Computed from torchcodec's formulas (nearest chroma, no rounding), means differ by up to 0.7 and cosines are above 0.9999."""
    if (fault := nvdec_fault("cuda:0")) is not None:
        pytest.skip(fault)
    if name in NVDEC:
        NVDEC[name].write(tmp_path / name)
    index, reader = PyavReader().index(tmp_path / name if name in NVDEC else zoo(name)), TorchcodecReader("cuda:0")
    wanted = np.arange(0, len(index), 4)
    batches = list(reader.frames_on_device(index, wanted))
    assert all(batch.pixels.device.type == "cuda" for batch in batches)
    ours = {int(place): pixels for batch in PyavReader().frames(index, wanted)
            for place, pixels in zip(batch.frames, batch.pixels, strict=True)}
    for batch in batches:
        for place, pixels in zip(batch.frames.tolist(), batch.on_cpu().pixels, strict=True):
            assert np.abs(pixels.astype(int) - ours[place]).mean() < 3
            a, b = (tiny.encode(prepared(replace(batch.on_cpu(), pixels=one[None], frames=np.array([place]),
                                                 timestamps_ms=np.zeros(1)), tiny.preprocess)) for one in (pixels, ours[place]))
            assert torch.cosine_similarity(a, b).min() >= 0.999


@pytest.mark.needs_cuda
@needs_torchcodec
def test_nvdec_beside_the_cpu(sample_videos):
    if (fault := nvdec_fault("cuda:0")) is not None:
        pytest.skip(fault)
    both = extract_features(sample_videos, model_name="tiny", precision="float32", extraction_fps=4, device="cuda:0")
    cpu = extract_features(sample_videos, model_name="tiny", precision="float32", extraction_fps=4, device="cuda:0", reader="pyav")
    for key, features in cpu.features.items():
        assert cosines(features.features, both.features[key].features).min() >= 0.999
        assert both.features[key].provenance.settings.reader == "pyav or nvdec"


