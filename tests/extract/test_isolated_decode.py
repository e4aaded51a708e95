"""`isolate=true`: the same frames, and decoders that crash or hang for real."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from clipreel import extract_features
from clipreel.errors import DecoderDiedError, QuarantinedError, VideoError
from clipreel.extract import decode_process
from clipreel.extract.decode.pyav import PyavReader
from clipreel.extract.decode.registry import reader_for
from clipreel.extract.decode_process import DecodeProcesses
from clipreel.extract.isolated_decode import IsolatedReader
from clipreel.extract.job import Job
from clipreel.extract.outcome import lease_name
from clipreel.extract.store.files import machine
from clipreel.extract.videos import VideoItem, content_id
from clipreel.tests.faulty_child import CHILD
from clipreel.tests.media import Recipe
from clipreel.tests.processes import at_work, children

KEYS = {"extraction_fps": 5, "on_extraction": "save_numpy", "batch_size": 4, "deterministic": True}


@pytest.fixture(scope="module")
def processes():
    processes = DecodeProcesses(threading.Event())
    yield processes
    processes.close()


@pytest.fixture
def faulty(monkeypatch):
    monkeypatch.setattr(decode_process, "_CHILD", CHILD)


@pytest.fixture
def videos(tmp_path):
    """Three videos; one has the name of its fault."""
    def make(name):
        folder = tmp_path / "videos"
        folder.mkdir(exist_ok=True)
        for number, stem in enumerate(("a", name, "z")):
            if not (folder / f"{stem}.mp4").exists():
                Recipe(frames=25, first_number=number).write(folder / f"{stem}.mp4")
        return folder

    return make


def rows(folder):
    return [json.loads(line) for line in (folder / "failures.jsonl").read_text().splitlines()]


@pytest.fixture
def no_child_left():
    """Of those that the test's runs have started."""
    before = children()
    yield
    assert children() <= before


# the same frames

@pytest.mark.parametrize("name", ["h264.mp4", "mpeg4.avi", "raw.h264", "vp9.webm", "edit_list.mp4"])
def test_frames_times_and_order_are_the_readers_own(processes, zoo, name):
    path, plain = zoo(name), reader_for(zoo(name), "auto")
    isolated = IsolatedReader(processes, "auto", None, None)
    for by_decoding in (False, True):
        index, wanted_index = isolated.index(path, by_decoding=by_decoding), plain.index(path, by_decoding=by_decoding)
        for field in ("path", "width", "height", "time_base", "start_seconds", "fps", "end_pts", "damage", "said_end_pts"):
            assert getattr(index, field) == getattr(wanted_index, field)
        assert np.array_equal(index.pts, wanted_index.pts)
        assert (index.packets is None) == (wanted_index.packets is None)
        wanted = np.arange(0, len(index), 3)
        for a, b in zip(isolated.frames(index, wanted), plain.frames(wanted_index, wanted), strict=True):
            assert np.array_equal(a.pixels, b.pixels)
            assert np.array_equal(a.frames, b.frames)
            assert np.array_equal(a.timestamps_ms, b.timestamps_ms)


@pytest.mark.parametrize(("name", "work"), [
    ("text.mp4", lambda reader, path: reader.index(path)),
    ("nothing here.mp4", lambda reader, path: reader.index(path)),
    ("cut.mp4", lambda reader, path: list(reader.frames(reader.index(path), np.arange(30)))),
])
def test_errors_are_the_readers_own(processes, zoo, tmp_path, name, work):
    path = tmp_path / name if name.startswith("nothing") else zoo(name)
    said = []
    for reader in (reader_for(path, "auto"), IsolatedReader(processes, "auto", None, None)):
        with pytest.raises(VideoError) as caught:
            work(reader, path)
        said.append((type(caught.value), str(caught.value)))
    assert said[0] == said[1]


def test_a_child_left_in_the_middle_is_not_asked_again(processes, zoo):
    reader = IsolatedReader(processes, "auto", None, None)
    index = reader.index(zoo("h264.mp4"))
    frames = reader.frames(index, np.arange(len(index)))
    next(frames)
    del frames
    assert [batch.frames[0] for batch in reader.frames(index, np.arange(3))] == [0, 1, 2]


def test_a_run_makes_the_same_features(tiny, sample_videos, no_child_left, tmp_path):
    reports = [extract_features(sample_videos, encoder=tiny, isolate=isolate, output_path=tmp_path / str(isolate), **KEYS)
               for isolate in (False, True)]
    for key, features in reports[0].features.items():
        assert np.array_equal(features.features, reports[1].features[key].features)
        assert features.provenance == reports[1].features[key].provenance
    assert reports[1].decode_seconds > 0


# crashes

@pytest.mark.parametrize("name", ["once", "once-index"])
def test_a_crash_is_tried_once_more_and_no_frame_is_lost(tiny, videos, faulty, tmp_path, caplog, name):
    keys = {**KEYS, "encoder": tiny}
    report = extract_features(videos(name), isolate=True, output_path=tmp_path / "isolated", **keys)
    assert sorted(report.done) == ["a", name, "z"]
    assert f"{name}.mp4: the process that decodes it died of SIGSEGV; another one tries once more" in caplog.text
    plain = extract_features(videos(name), output_path=tmp_path / "plain", **keys)
    assert all(np.array_equal(plain.features[key].features, report.features[key].features) for key in plain.done)


@pytest.mark.parametrize("name", ["crash", "crash-index"])
def test_a_video_that_kills_its_process_twice_is_in_quarantine(tiny, videos, faulty, tmp_path, name):
    keys = {**KEYS, "encoder": tiny, "output_path": tmp_path / "out"}
    report = extract_features(videos(name), isolate=True, **keys)
    assert sorted(report.done) == ["a", "z"]
    (row,) = rows(tmp_path / "out")
    assert (row["key"], row["error"], row["decoder_deaths"]) == (name, "QuarantinedError", 2)
    assert "died of SIGSEGV, the second time" in row["reason"]

    started = time.monotonic()
    again = extract_features(videos(name), **keys)  # it would be read in this very process
    assert time.monotonic() - started < 60
    assert (sorted(again.skipped), again.done, again.exit_code) == (["a", "z"], [], 1)
    assert "in quarantine since an earlier run" in again.failed[0].reason
    assert "retry_failed=true" in again.failed[0].reason

    other = tmp_path / "other.mp4"
    Recipe(frames=25, first_number=9).write(other)
    assert extract_features(other, **keys).done == ["other"]
    assert [row["key"] for row in rows(tmp_path / "out")] == [name]  # a run about other videos leaves it there
    assert extract_features(videos(name), isolate=True, retry_failed=True, **keys).failed[0].error == "QuarantinedError"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decode_process, "_CHILD", CHILD.replace("tests.faulty_child", "extract.decode_child"))
        assert extract_features(**keys, isolate=True, retry_failed=True).done == [name]
    assert rows(tmp_path / "out") == []
    assert sorted(extract_features(videos(name), **keys).skipped) == ["a", name, "z"]


def test_a_video_that_two_runs_died_of_is_isolated_by_itself(tiny, videos, faulty, tmp_path, caplog):
    """Their leases say so. Not isolated it would be read in this very process, and read well."""
    caplog.set_level("INFO", "clipreel")
    keys = {**KEYS, "encoder": tiny, "output_path": tmp_path / "out"}
    folder = videos("crash")
    place = tmp_path / "out" / "clip" / "tiny" / ".leases"
    place.mkdir(parents=True)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for name in ("a", "crash"):
        item = VideoItem(str(folder / f"{name}.mp4"), name)
        lease = place / lease_name(Job(0, name, item, content_id(item)))
        lease.write_text(json.dumps({"host": machine(), "process": dead.pid, "deaths": 1}))
    report = extract_features(folder, **keys)
    assert sorted(report.done) == ["a", "z"]
    assert [failure.error for failure in report.failed] == ["QuarantinedError"]
    assert caplog.text.count("may be what earlier runs died of") == 1
    assert not place.exists()
    again = extract_features(retry_failed=True, **keys)  # not in this process either
    assert [failure.error for failure in again.failed] == ["QuarantinedError"]


def test_an_interrupted_retry_leaves_it_in_quarantine(tiny, videos, faulty, tmp_path, monkeypatch):
    keys = {**KEYS, "encoder": tiny, "output_path": tmp_path / "out", "isolate": True}
    extract_features(videos("crash"), **keys)

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("clipreel.extract.run.run_together", interrupted)
        with pytest.raises(KeyboardInterrupt):
            extract_features(**keys, retry_failed=True)
    assert [(row["error"], row["decoder_deaths"]) for row in rows(tmp_path / "out")] == [("Interrupted", 2)]
    assert "in quarantine since an earlier run" in extract_features(videos("crash"), **keys).failed[0].reason


def test_another_file_of_that_name_is_not_in_quarantine(tiny, videos, faulty, tmp_path):
    keys = {**KEYS, "encoder": tiny, "output_path": tmp_path / "out"}
    folder = videos("crash")
    extract_features(folder, isolate=True, **keys)
    Recipe(frames=30, first_number=7).write(folder / "crash.mp4")
    assert extract_features(folder, **keys).done == ["crash"]


def test_a_list_that_cannot_be_read_is_said(tiny, videos, tmp_path, caplog):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "failures.jsonl").write_text("[]\n")
    assert len(extract_features(videos("b"), encoder=tiny, output_path=tmp_path / "out", **KEYS).done) == 3
    assert "which videos are in quarantine is not known" in caplog.text


# hangs

@pytest.mark.parametrize("name", ["hang", "spin-index"])
def test_a_hang_is_killed_and_the_second_one_is_quarantine(tiny, videos, faulty, no_child_left, tmp_path, name):
    keys = {**KEYS, "encoder": tiny, "isolate": True, "decode_seconds_limit": 2, "output_path": tmp_path / "out"}
    for error, deaths in (("DecoderDiedError", 1), ("QuarantinedError", 2)):
        report = extract_features(videos(name), **keys)
        (row,) = rows(tmp_path / "out")
        assert (row["error"], row["decoder_deaths"]) == (error, deaths)
        assert "took longer than 2 s and was killed" in row["reason"]
        assert sorted([*report.done, *report.skipped]) == ["a", "z"]
    assert "since an earlier run" in extract_features(videos(name), **keys).failed[0].reason


def test_time_that_others_take_does_not_count(processes, zoo):
    reader = IsolatedReader(processes, "auto", None, seconds_limit=2.5)
    index = reader.index(zoo("h264.mp4"))
    for _ in reader.frames(index, np.arange(10)):
        time.sleep(0.3)
    with pytest.raises(DecoderDiedError, match=r"took longer than 1e-06 s .*decode_seconds_limit="):
        IsolatedReader(processes, "auto", None, seconds_limit=1e-6).index(zoo("h264.mp4"))
    with pytest.raises(QuarantinedError):
        IsolatedReader(processes, "auto", None, seconds_limit=1e-6).index(zoo("h264.mp4"))


class Stopped(Exception):
    """What a signal handler raises."""


def test_an_interrupt_does_not_wait_for_a_hang(tiny, videos, faulty, no_child_left, tmp_path):
    def handler(*_):
        raise Stopped

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.alarm(3)
        with pytest.raises(Stopped):
            extract_features(videos("hang"), encoder=tiny, isolate=True, output_path=tmp_path / "out", **KEYS)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("name", ["hang-index", "spin-index"])
def test_a_hanging_child_goes_with_a_killed_parent(videos, name):
    code = ("import sys, threading\nfrom pathlib import Path\nfrom clipreel.extract import decode_process, isolated_decode\n"
            f"decode_process._CHILD = {CHILD!r}\nprocesses = decode_process.DecodeProcesses(threading.Event())\n"
            "child = processes.take()\nprint(child._process.pid, flush=True)\nprocesses.give_back(child, 0.0)\n"
            "isolated_decode.IsolatedReader(processes, 'auto', None, None).index(Path(sys.argv[1]))")
    with subprocess.Popen([sys.executable, "-c", code, str(videos(name) / f"{name}.mp4")], stdout=subprocess.PIPE,
                          text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        time.sleep(0.5)
        os.kill(child, 0)
        parent.kill()
    deadline = time.monotonic() + 20
    while at_work(child):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_without_isolation_a_stall_is_said(tiny, videos, tmp_path, caplog, monkeypatch):
    frames = PyavReader.frames

    def slow(self, index, wanted, *, allow_truncated=False):
        for batch in frames(self, index, wanted, allow_truncated=allow_truncated):
            if index.path.stem == "slow" and 0 in batch.frames:
                time.sleep(2)
            yield batch

    monkeypatch.setattr(PyavReader, "frames", slow)
    report = extract_features(videos("slow"), encoder=tiny, decode_seconds_limit=0.5, output_path=tmp_path / "out", **KEYS)
    assert sorted(report.done) == ["a", "slow", "z"]
    said = [record.message for record in caplog.records if "slow.mp4: its decoder has given nothing for 0.5 s" in record.message]
    assert len(said) == 1
    assert "isolate=true" in said[0]


def test_a_process_that_does_not_start_is_said(tiny, videos, tmp_path, monkeypatch):
    monkeypatch.setattr(decode_process, "_CHILD", "raise SystemExit(3)")
    report = extract_features(videos("b"), encoder=tiny, isolate=True, output_path=tmp_path / "out", **KEYS)
    assert len(report.failed) == 3
    assert "isolate=true: the process that is to decode ended with exit code 3" in report.failed[0].reason
