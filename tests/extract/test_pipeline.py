"""The pipeline as a whole: what comes out, in full batches, over several devices, whatever single videos do."""

import signal
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from clipreel import extract_features
from clipreel.extract.extractor import Units
from clipreel.extract.framewise import FramewiseExtractor
from clipreel.extract.job import Attempt, Job
from clipreel.extract.options import PipelineOptions
from clipreel.extract.pipeline import Pipeline
from clipreel.extract.sampling import SamplingRequest
from clipreel.extract.videos import VideoItem
from clipreel.tests.extract.collect import Collect
from clipreel.tests.extract.lying_packets import write_lying
from clipreel.tests.media import Recipe, plain_decode, read_code


class Wrapped:
    """A real extractor, with `encode` or `prepare` watched or disturbed."""

    def __init__(self, encoder, encode=None, units=None):
        self._inner = FramewiseExtractor(encoder)
        self.encoder, self.prepare = encoder, self._inner.prepare
        self.encode = encode or self._inner.encode
        self.units = units or self._inner.units


def run(extractors, paths, **options):
    defaults = PipelineOptions(SamplingRequest(fps=5), batch_size=4, workers=2)
    outcome = Collect()
    pipeline = Pipeline(extractors, replace(defaults, **options), outcome)
    jobs = [Job(number, path.name, VideoItem(str(path), path.stem), f"{number:032}") for number, path in enumerate(paths)]
    pipeline.run(jobs, lambda: None)
    return outcome, pipeline.tally


@pytest.fixture(scope="module")
def short_videos(tmp_path_factory):
    """40 videos of 3 to 12 frames."""
    folder = tmp_path_factory.mktemp("short")
    for number in range(40):
        Recipe(frames=3 + number % 10, first_number=number).write(folder / f"short {number:02}.mp4")
    return folder


def test_features_are_those_of_a_plain_flow(tiny, zoo):
    """Decode everything with a plain loop, prepare with PIL, encode one by one: the same features."""
    from clipreel.models.preprocess import preprocess_frames

    path = zoo("h264.mp4")
    features = extract_features(path, encoder=tiny).features["h264"]
    pil = replace(tiny.preprocess, backend="pil")
    plain = [tiny.encode(preprocess_frames(rgb[None], pil))[0].numpy() for _, rgb in plain_decode(path, upright=True)]
    assert features.features.shape == (36, tiny.dim)
    cosines = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(features.features, plain, strict=True)]
    assert min(cosines) > 0.999
    assert features.timestamps_ms.tolist() == [40.0 * number for number in range(36)]
    assert features.fps == 25.0


@pytest.mark.parametrize("devices", ["cpu", "[cpu, cpu]"])
def test_batches_fill_across_videos(short_videos, devices):
    report = extract_features(short_videos, model_name="tiny", batch_size=16, device_ids=devices)
    assert len(report.done) == 40
    sizes = [size for worker in report.batch_sizes.values() for size in worker]
    assert sum(sizes) == report.frames == sum(3 + number % 10 for number in range(40))
    assert len(report.batch_sizes) == (2 if "," in devices else 1)
    for worker in report.batch_sizes.values():
        assert set(worker[:-1]) <= {16}


def test_batch_size_and_devices_do_not_change_features(short_videos):
    one = extract_features(short_videos, model_name="tiny", batch_size=1, device_ids="cpu", workers=1)
    many = extract_features(short_videos, model_name="tiny", batch_size=32, device_ids="[cpu, cpu]", workers=3)
    assert set(one.features) == set(many.features)
    for key, left in one.features.items():
        right = many.features[key]
        assert (left.timestamps_ms == right.timestamps_ms).all()
        assert left.provenance == right.provenance
        a, b = left.features, right.features
        cosines = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        assert cosines.min() >= 0.999999


def test_a_slower_source_repeats_rows_and_encodes_once(tiny, zoo):
    report = extract_features(zoo("one_frame.mp4"), encoder=tiny, extraction_fps=100)
    features = report.features["one_frame"]
    assert len(features) == 4  # 40 ms on screen
    assert (features.features == features.features[0]).all()
    assert sum(sum(sizes) for sizes in report.batch_sizes.values()) == 1


def test_out_of_memory_halves_the_batch(tiny, zoo, caplog):
    largest, seen = 3, []
    inner = FramewiseExtractor(tiny).encode

    def encode(crops):
        if len(crops) > largest:
            raise torch.OutOfMemoryError("no memory left")
        seen.append(len(crops))
        return inner(crops)

    outcome, _ = run([Wrapped(tiny, encode)], [zoo("h264.mp4"), zoo("vp9.webm")], batch_size=16,
                     request=SamplingRequest())
    assert not outcome.errors
    assert sum(seen) == 72
    assert max(seen) == 2  # 16 -> 8 -> 4 -> 2, and it stays
    plain, _ = run([FramewiseExtractor(tiny)], [zoo("h264.mp4")], request=SamplingRequest())
    assert np.allclose(outcome.rows["h264.mp4"][0], plain.rows["h264.mp4"][0], atol=1e-4)
    assert "batches of 2" in caplog.text


def test_no_memory_for_one_frame_ends_the_run(tiny, zoo):
    def encode(crops):
        raise torch.OutOfMemoryError("no memory left")

    with pytest.raises(torch.OutOfMemoryError):
        run([Wrapped(tiny, encode)], [zoo("h264.mp4")])


def test_a_broken_encoder_ends_the_run(tiny, zoo):
    def encode(crops):
        raise RuntimeError("device lost")

    with pytest.raises(RuntimeError, match="device lost"):
        run([Wrapped(tiny, encode), FramewiseExtractor(tiny)], [zoo("h264.mp4")] * 3)


def test_an_unexpected_error_on_one_video_is_its_own(tiny, zoo):
    inner = FramewiseExtractor(tiny)

    def units(samples):
        if len(samples) == 1:
            raise ZeroDivisionError("surprise")
        return inner.units(samples)

    outcome, _ = run([Wrapped(tiny, units=units)], [zoo("one_frame.mp4"), zoo("h264.mp4")])
    assert list(outcome.rows) == ["h264.mp4"]
    assert isinstance(outcome.errors["one_frame.mp4"], ZeroDivisionError)


def test_packets_that_lie_are_indexed_again(tiny, tmp_path):
    """Presentation times muxed as decode times: frames come out against their times, so the video is counted."""
    true, lying = write_lying(tmp_path)
    truth = extract_features(true, encoder=tiny).features["true"]
    found = extract_features(lying, encoder=tiny).features["lying"]
    assert np.allclose(found.features, truth.features, atol=1e-4)
    assert (np.diff(found.timestamps_ms) > 0).all()


def test_windows_of_frames(tiny, zoo):
    """The contract that windowed models need: units of T frames that overlap and repeat frames."""
    shapes = []

    def units(samples):
        last = len(samples) - 1
        frames = np.array([[k, min(k + 1, last), min(k + 2, last)] for k in range(0, len(samples), 2)])
        times = samples.timestamps_ms[frames[:, 0]]
        return Units(frames, np.arange(len(frames)), times, np.stack([times, times + 120], axis=1))

    def encode(crops):
        shapes.append(tuple(crops.shape))
        return np.array([[float(crop.float().mean()) for crop in window] for window in crops], dtype=np.float32)

    outcome, _ = run([Wrapped(tiny, encode, units)], [zoo("h264.mp4"), zoo("hevc.mp4")], request=SamplingRequest())
    rows, kept = outcome.rows["h264.mp4"]
    assert rows.shape == (18, 3)
    assert kept.intervals_ms is not None
    assert kept.intervals_ms.shape == (18, 2)
    assert all(shape[1:] == (3, 3, 64, 64) for shape in shapes)
    assert np.allclose(rows[:-1, 2], rows[1:, 0])  # a frame shared by two windows is the same picture
    assert rows[-1, 1] == rows[-1, 2]


def test_attempt_given_up_takes_nothing(zoo):
    from clipreel.extract.decode.pyav import PyavReader

    index = PyavReader().index(zoo("one_frame.mp4"))
    units = Units(np.array([[0]]), np.array([0]), np.array([0.0]))
    attempt = Attempt(Job(0, "a", VideoItem(str(index.path), "a"), "0"), index, units)
    assert [unit for unit, _ in attempt.complete_units(0, torch.zeros(3, 2, 2))] == [0]
    assert attempt.give_up()
    assert not attempt.add(0, np.zeros(4))
    assert not attempt.end_of_part()


def test_right_frames_reach_the_encoder(tiny, zoo):
    """The pictures' own numbers, read where the encoder would: each row's frame is the one on screen at its time."""
    inner, codes = FramewiseExtractor(tiny), []

    class Reading(Wrapped):
        def __init__(self):
            super().__init__(tiny)
            self.prepare = self._prepare

        def _prepare(self, batch):
            codes.extend(zip(batch.timestamps_ms.tolist(), (read_code(rgb) for rgb in batch.pixels), strict=True))
            return inner.prepare(batch)

    outcome, _ = run([Reading()], [zoo("h264_open_gop.mp4")], request=SamplingRequest(fps=3))
    assert not outcome.errors
    assert sorted(codes) == [(40.0 * code, code) for code in (0, 8, 16, 25, 33)]


@pytest.mark.parametrize("name", ["h264_open_gop.mp4", "hevc_open_gop.mp4", "mpeg4.mp4", "vp9.webm", "av1.mp4", "h264.avi",
                                  "h264_intra_refresh.mp4", "edit_list.mp4"])
def test_one_video_in_parts_is_the_same_video(tiny, zoo, name, monkeypatch):
    """With nothing else to do, the threads share one video; bit for bit what one thread makes."""
    from clipreel.extract import decode_pool

    parts = []
    split = decode_pool.split_by_gop
    monkeypatch.setattr(decode_pool, "split_by_gop", lambda *arguments: parts.append(split(*arguments)) or parts[-1])
    for request in (SamplingRequest(), SamplingRequest(fps=7)):
        one, _ = run([FramewiseExtractor(tiny)], [zoo(name)], workers=1, batch_size=1, request=request)
        many, _ = run([FramewiseExtractor(tiny)], [zoo(name)], workers=4, batch_size=1, request=request)
        assert not one.errors
        assert not many.errors
        assert (one.rows[name][0] == many.rows[name][0]).all()
        assert (one.rows[name][1].timestamps_ms == many.rows[name][1].timestamps_ms).all()
    if name in ("h264_open_gop.mp4", "mpeg4.mp4", "vp9.webm"):
        assert max(len(split) for split in parts) > 1


def test_a_damaged_part_fails_the_video_once(tiny, zoo):
    outcome, _ = run([FramewiseExtractor(tiny)], [zoo("cut.mp4"), zoo("burnt.mp4")], workers=4, request=SamplingRequest())
    assert set(outcome.errors) | set(outcome.rows) == {"cut.mp4", "burnt.mp4"}
    assert "cut.mp4" in outcome.errors


@pytest.mark.parametrize("where", ["decoding", "encoding"])
def test_an_interrupt_waits_for_what_is_under_way(tiny, zoo, where):
    """Of whichever thread: what it uses is closed afterwards."""
    class Interrupted(Exception):
        pass

    def interrupt(*_):
        raise Interrupted

    def slowly(work):
        def step(batch):
            if not begun:
                signal.setitimer(signal.ITIMER_REAL, 0.2)
            begun.append(work.__name__)
            time.sleep(0.8)
            ended.append(work.__name__)
            return work(batch)
        return step

    begun, ended = [], []
    extractor = Wrapped(tiny, encode=slowly(tiny.encode) if where == "encoding" else None)
    if where == "decoding":
        extractor.prepare = slowly(extractor.prepare)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(Interrupted):
            run([extractor], [zoo("h264.mp4")], workers=1)
        assert begun == ended != []
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
