"""What may happen to a run from outside: signals, other runs, a reader of its output that stalls or goes, a full disk."""

import array
import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from clipreel import cli, extract_features, load_features
from clipreel.extract.store.store import FeatureStore
from clipreel.tests.media import Recipe
from clipreel.tests.small_disk import mounted_disk
from clipreel.tests.test_survival import answer_interrupts

MAIN = Path(__file__).resolve().parent.parent / "main.py"
SAMPLE = MAIN.parent / "sample" / "red_circle_then_blue_square.mp4"


@pytest.fixture(scope="module")
def short_videos(tmp_path_factory):
    """300 links to one video of a second."""
    folder = tmp_path_factory.mktemp("short")
    Recipe(frames=25).write(folder / "000.mp4")
    for number in range(1, 300):
        (folder / f"{number:03}.mp4").symlink_to(folder / "000.mp4")
    return folder


def words(videos, **keys):
    return [f"video_paths={videos}", "model_name=tiny", *(f"{key}={value}" for key, value in keys.items())]


class Stopped(Exception):
    """What a program that uses the API may raise from a signal handler of its own."""


def our_threads():
    return {thread for thread in threading.enumerate() if not thread.name.startswith("tqdm")}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGALRM])
def test_an_error_from_a_signal_handler_ends_the_run_and_comes_through(tiny, short_videos, tmp_path, number):
    def handler(*_):
        raise Stopped

    def send():
        deadline = time.monotonic() + 60
        while not list(tmp_path.rglob("*_meta.json")) and time.monotonic() < deadline:
            time.sleep(0.005)
        os.kill(os.getpid(), number)

    keys = {"encoder": tiny, "extraction_fps": 1, "on_extraction": "save_numpy", "output_path": tmp_path}
    videos = sorted(short_videos.iterdir())[:120]
    before, threads = signal.signal(number, handler), our_threads()
    sender = threading.Thread(target=send)
    try:
        sender.start()
        with pytest.raises(Stopped):
            extract_features(videos, **keys)
    finally:
        sender.join()
        signal.signal(number, before)
    assert our_threads() == threads
    kept = len(list(tmp_path.rglob("*_meta.json")))
    assert 1 <= kept < 120
    report = extract_features(videos, **keys)
    assert (len(report.skipped), len(report.done)) == (kept, 120 - kept)


def wait_until_full(pipe):
    """Until there is much in it, and for half a second no more."""
    there, filled, since = array.array("i", [0]), 0, time.monotonic()
    deadline = since + 60
    while filled < 30_000 or time.monotonic() - since < 0.5:
        fcntl.ioctl(pipe, termios.FIONREAD, there)
        if there[0] != filled:
            filled, since = there[0], time.monotonic()
        assert time.monotonic() < deadline, f"{filled} bytes are in the pipe"
        time.sleep(0.01)


def test_a_reader_that_stalls_and_goes_ends_the_run(short_videos, tmp_path):
    argv = words(short_videos, extraction_fps=5, on_extraction="print", output_path=tmp_path)
    with subprocess.Popen([sys.executable, str(MAIN), *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(100)
        wait_until_full(process.stdout)  # and everything behind it waits
        process.stdout.close()
        err = process.stderr.read()
        assert process.wait(timeout=30) == 1
    assert b"Traceback" not in err


@pytest.mark.parametrize(("redirect", "said"), [("> /dev/full", b"No space left on device"), (">&-", b"output cannot be")])
@pytest.mark.parametrize("words", [f"model_name=tiny video_paths={SAMPLE} extraction_fps=1", "extract --help"])
def test_no_place_for_the_output(words, redirect, said):
    """A full disk under a redirection, and an output that the caller closed."""
    command = f"exec {sys.executable} {MAIN} {words} {redirect}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, timeout=60, check=False)
    assert done.returncode == 1
    assert said in done.stderr
    assert b"Traceback" not in done.stderr


def test_two_interrupts_end_it_at_once(short_videos, tmp_path):
    argv = words(short_videos, on_extraction="save_numpy", output_path=tmp_path)
    with subprocess.Popen([sys.executable, str(MAIN), *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          preexec_fn=answer_interrupts) as process:
        while not list(tmp_path.rglob("*_meta.json")):
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"Traceback" not in err
    assert cli.main(["inspect", str(tmp_path)]) == 0  # what is marked as done is whole


def test_two_runs_at_once_keep_both_videos_of_one_name(sample_videos, tiny, tmp_path):
    """Both were planned before either wrote: the second to write finds its key taken and takes a longer one."""
    reports = {}
    for number in range(2):
        (tmp_path / f"{number}").mkdir()
        shutil.copy(sample_videos[number], tmp_path / f"{number}" / "clip.mp4")
    both = threading.Barrier(2)

    class Together:
        """The model, but each run waits here until the other has planned too."""

        def __init__(self):
            self.waited = False

        def __getattr__(self, name):
            return getattr(tiny, name)

        def encode(self, frames):
            if not self.waited:
                self.waited = True
                both.wait(timeout=60)
            return tiny.encode(frames)

    def one(number):
        reports[number] = extract_features(tmp_path / f"{number}", encoder=Together(), extraction_fps=1, batch_size=4,  # pyright: ignore[reportArgumentType]
                                           on_extraction="save_numpy", output_path=tmp_path / "out")

    runs = [threading.Thread(target=one, args=(number,)) for number in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    keys = sorted(key for report in reports.values() for key in report.done)
    assert len(keys) == 2
    assert keys[0] == "clip"
    assert keys[1].startswith("clip-")
    for number, report in reports.items():
        features = load_features(tmp_path / "out", report.done[0])
        assert features.provenance.source.path == str(tmp_path / f"{number}" / "clip.mp4")
        alone = extract_features(tmp_path / f"{number}", encoder=tiny, extraction_fps=1).features["clip"]
        assert np.allclose(features.features, alone.features, atol=1e-5)


@pytest.mark.parametrize("format_", ["save_numpy", "save_pickle", "save_hdf5"])
def test_four_threads_write_one_store(tiny, sample_videos, tmp_path, format_):
    features = extract_features(sample_videos[0], encoder=tiny, extraction_fps=1).features[sample_videos[0].stem]
    store = FeatureStore(tmp_path, format_)
    store.prepare()

    def write(first):
        for number in range(first, 40, 4):
            with store.locked():
                store.write(f"video {number}", features)
                store.write("the same", features)

    threads = [threading.Thread(target=write, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    keys = store.keys()
    assert len(keys) == 41
    assert all(np.array_equal(store.read(key).features, features.features) for key in keys)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_interrupted_retries_stay_on_the_list_with_their_columns(tiny, tmp_path, monkeypatch):
    listed = tmp_path / "list.csv"
    listed.write_text("path,start,end,label\n" + "".join(f"{tmp_path}/{n}.mp4,{n},9,cat {n}\n" for n in range(3)))
    keys = {"encoder": tiny, "extraction_fps": 1, "on_extraction": "save_numpy", "output_path": tmp_path / "out"}
    assert len(extract_features(file_with_video_paths=listed, **keys).failed) == 3
    before = (tmp_path / "out" / "failures.jsonl").read_text()
    for number in range(3):
        Recipe(frames=250).write(tmp_path / f"{number}.mp4")

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("clipreel.extract.run.run_together", interrupted)
        with pytest.raises(KeyboardInterrupt):
            extract_features(**keys, retry_failed=True)
    rows = [json.loads(line) for line in (tmp_path / "out" / "failures.jsonl").read_text().splitlines()]
    first = [json.loads(line) for line in before.splitlines()]
    kept = ("path", "key", "start_seconds", "end_seconds", "name", "metadata")
    assert [[row[name] for name in kept] for row in rows] == [[row[name] for name in kept] for row in first]
    report = extract_features(**keys, retry_failed=True)
    assert len(report.done) == 3
    stored = [report.features[key].provenance for key in report.done]
    assert {provenance.metadata["label"] for provenance in stored} == {"cat 0", "cat 1", "cat 2"}
    assert {provenance.source.start_seconds for provenance in stored} == {0.0, 1.0, 2.0}


def test_a_partial_video_is_not_done_for_a_strict_run(tiny, zoo, tmp_path):
    keys = {"encoder": tiny, "extraction_fps": 5, "on_extraction": "save_numpy", "output_path": tmp_path}
    assert extract_features(zoo("cut.mp4"), **keys, allow_truncated=True).done == ["cut"]
    strict = extract_features(zoo("cut.mp4"), **keys)
    assert not strict.skipped
    assert "allow_truncated=true" in strict.failed[0].reason
    assert extract_features(zoo("cut.mp4"), **keys, allow_truncated=True).skipped == ["cut"]


def test_a_video_that_changes_meanwhile_fails_alone(tiny, tmp_path):
    """One is removed, one replaced, one grows while the first is encoded: what is stored is never another's."""
    paths = [tmp_path / f"{number}.ts" for number in range(4)]
    for number, path in enumerate(paths):
        Recipe(frames=25, first_number=number).write(path)
    (tmp_path / "replacing").write_bytes(paths[0].read_bytes())

    class Changing:
        """The model."""

        def __getattr__(self, name):
            return getattr(tiny, name)

        def encode(self, frames):
            if paths[1].exists():
                paths[1].unlink()
                os.replace(tmp_path / "replacing", paths[2])
                with open(paths[3], "ab") as file:
                    file.write(paths[0].read_bytes())
            return tiny.encode(frames)

    keys = {"extraction_fps": 5, "on_extraction": "save_numpy", "output_path": tmp_path / "out", "workers": 1}
    report = extract_features(paths, encoder=Changing(), **keys)  # pyright: ignore[reportArgumentType]
    assert report.done == ["0"]
    assert len(report.failed) == 3
    again = extract_features(paths, encoder=tiny, **keys)
    assert (again.skipped, sorted(again.done), len(again.failed)) == (["0"], ["2", "3"], 1)


@pytest.fixture
def small_disk(tmp_path):
    with mounted_disk(tmp_path / "disk") as folder:
        yield folder


def fill(folder):
    with open(folder / "ballast", "wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"0" * 4096):
            pass


def test_overwriting_on_a_full_disk_keeps_what_was_there(sample_videos, small_disk, capsys):
    argv = words(sample_videos[0], extraction_fps=1, on_extraction="save_numpy", output_path=small_disk)
    assert cli.main(argv) == 0
    before = load_features(small_disk, sample_videos[0].stem)
    fill(small_disk)
    assert cli.main([*argv, "overwrite=true", "extraction_fps=2"]) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert np.array_equal(load_features(small_disk, sample_videos[0].stem).features, before.features)
    assert cli.main([*argv, "show_pred=true", "pred_texts=['a red circle']"]) == 1  # its table cannot be written
    assert "No space left on device" in capsys.readouterr().err
    (small_disk / "ballast").unlink()
    assert cli.main([*argv, "show_pred=true", "pred_texts=['a red circle']"]) == 0


def test_a_run_that_prints_lists_failures_too(zoo, tmp_path, capsys):
    argv = words(zoo("text.mp4"), output_path=tmp_path / "out")
    assert cli.main(argv) == 1
    (row,) = (tmp_path / "out" / "failures.jsonl").read_text().splitlines()
    assert json.loads(row)["key"] == "text"
    assert cli.main(words(zoo("one_frame.mp4"), output_path=tmp_path / "out")) == 0
    assert (tmp_path / "out" / "failures.jsonl").read_text() == ""
    assert cli.main(words(zoo("one_frame.mp4"), output_path=tmp_path / "new")) == 0
    assert not (tmp_path / "new").exists()
    capsys.readouterr()
