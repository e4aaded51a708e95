"""Runs with videos_per_file: few files, every video once, whole files whatever happens, and what is refused."""

import csv
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from clipreel import cli, extract_features, load_features
from clipreel.errors import ConfigError, StoreConflictError, StoredDataError
from clipreel.extract import shard_writer
from clipreel.extract.store.find import find_stored
from clipreel.extract.store.store import FeatureStore
from clipreel.tests.media import Recipe

MAIN = Path(__file__).resolve().parent.parent.parent / "main.py"
FORMATS = ["save_hdf5", "save_webdataset"]
SUFFIX = {"save_hdf5": ".h5", "save_webdataset": ".tar"}


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Names of three contents; one of them twice, with different contents."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(3):
        Recipe(frames=25 * (number + 1), first_number=number).write(folder / f"{number:02}.mp4")
    for number in range(3, 23):
        (folder / f"{number:02}.mp4").symlink_to(folder / f"{number % 3:02}.mp4")
    (folder / "more").mkdir()
    (folder / "more" / "07.mp4").symlink_to(folder / "00.mp4")  # and 07 itself is 01
    return folder


def keys(tiny, output, form="save_hdf5", number: int | None = 5, **more):
    return {"encoder": tiny, "extraction_fps": 2, "on_extraction": form, "videos_per_file": number, "output_path": output, **more}


def rows(output):
    """Every stored key, as often as it is there."""
    return sorted(video.key for video in find_stored(output / "clip" / "tiny"))


def files(output):
    return sorted(path.name for path in (output / "clip" / "tiny").iterdir())


@pytest.mark.parametrize("form", FORMATS)
def test_few_files_with_what_a_file_a_video_has(many, tiny, tmp_path, form):
    report = extract_features(many, **keys(tiny, tmp_path / "few", form))
    assert (len(report.done), report.failed) == (24, [])
    assert files(tmp_path / "few") == [f"videos-{number:05d}{SUFFIX[form]}" for number in range(5)]
    each = extract_features(many, **keys(tiny, tmp_path / "each", "save_numpy", None))
    assert sorted(report.done) == sorted(each.done) == rows(tmp_path / "few")
    assert sum(key.startswith("07") for key in report.done) == 2
    for key, features in each.features.items():
        few = report.features[key]
        assert np.allclose(few.features, features.features, atol=1e-5)
        assert np.array_equal(few.timestamps_ms, features.timestamps_ms)
        assert few.provenance == features.provenance
    again = extract_features(many, **keys(tiny, tmp_path / "few", form, 7))
    assert (len(again.skipped), again.done) == (24, [])
    assert np.array_equal(again.features["02"].features, report.features["02"].features)
    assert not (tmp_path / "few" / "clip" / "tiny" / ".leases").exists()


@pytest.mark.parametrize("form", FORMATS)
def test_other_settings_are_refused_and_overwrite_replaces(many, tiny, tmp_path, form):
    extract_features(many, **keys(tiny, tmp_path, form, 10))
    before = {path: path.read_bytes() for path in tmp_path.rglob("videos-*")}
    with pytest.raises(StoreConflictError, match=r"'00' made with other settings \(extraction_fps: 2.0 there, 1.0 now\)"):
        extract_features(many, **keys(tiny, tmp_path, form, 10, extraction_fps=1))
    assert {path: path.read_bytes() for path in tmp_path.rglob("videos-*")} == before
    some = [many / f"{number:02}.mp4" for number in range(3, 7)]
    report = extract_features(some, **keys(tiny, tmp_path, form, 10, extraction_fps=1, overwrite=True))
    assert len(report.done) == 4
    assert len(rows(tmp_path)) == len(set(rows(tmp_path))) == 24
    for video in find_stored(tmp_path):
        assert video.mark is not None
        assert video.mark.provenance.settings.extraction_fps == (1 if video.key in report.done else 2)
        assert len(video.read(True)) == video.mark.shape[0]
    report = extract_features(many, **keys(tiny, tmp_path, form, 10, extraction_fps=1, overwrite=True))
    assert len(report.done) == 24
    assert len(rows(tmp_path)) == 24
    assert len(files(tmp_path)) == 3


def test_failures_are_rows_and_the_others_are_stored(many, tiny, tmp_path):
    for number in range(3):
        (tmp_path / f"no{number}.mp4").write_bytes(b"no video")
    report = extract_features([many, *tmp_path.glob("no*.mp4")], **keys(tiny, tmp_path / "out"))
    assert (len(report.done), len(report.failed)) == (24, 3)
    assert len((tmp_path / "out" / "failures.jsonl").read_text().splitlines()) == 3
    assert report.exit_code == 1


@pytest.mark.parametrize(("words", "part"), [
    ("on_extraction=save_numpy videos_per_file=5", "is for on_extraction=save_hdf5"), ("videos_per_file=5", "save_webdataset"),
    ("on_extraction=save_hdf5 videos_per_file=0", "from 1 to 100000"),
    ("on_extraction=save_hdf5 videos_per_file=many", "videos_per_file"),
    ("on_extraction=save_webdataset videos_per_file=100001", "from 1 to 100000")])
def test_words_that_are_refused(words, part, many, tmp_path, capsys):
    assert cli.main([f"video_paths={many}", "model_name=tiny", f"output_path={tmp_path}", *words.split()]) == 2
    assert part in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_thousand_in_a_tar_unless_said(many, tiny, tmp_path):
    extract_features(many, **keys(tiny, tmp_path, "save_webdataset", None))
    assert files(tmp_path) == ["videos-00000.tar"]


def test_files_end_at_many_bytes_too(many, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(shard_writer, "BYTES_PER_FILE", 3_000)
    report = extract_features(many, **keys(tiny, tmp_path, number=1000))
    assert len(report.done) == 24
    assert 3 < len(files(tmp_path)) < 12


def test_predictions_are_printed_and_one_table(many, tmp_path, capsys):
    words = [f"video_paths={many}", "model_name=tiny", f"output_path={tmp_path}", "extraction_fps=1", "show_pred=true",
             "on_extraction=save_webdataset"]
    assert cli.main([*words, "pred_texts=['a red circle', 'a blue square']"]) == 0
    out = capsys.readouterr().out
    places = [out.index(f"Video #{number}:") for number in range(24)]
    assert places == sorted(places)
    assert files(tmp_path) == ["predictions.csv", "videos-00000.tar"]
    table = tmp_path / "clip" / "tiny" / "predictions.csv"
    with open(table, newline="") as file:
        first = list(csv.DictReader(file))
    stored = {video.key: len(video.read(False)) for video in find_stored(tmp_path)}
    assert Counter(row["key"] for row in first) == stored
    assert all(0.99 < float(row["a red circle"]) + float(row["a blue square"]) < 1.01 for row in first)
    assert cli.main([*words, "pred_texts=['a ring']", "shard=0/1"]) == 0  # of what is stored, for another text
    assert len(table.with_name("predictions.0-of-1.csv").read_text().splitlines()) == len(first) + 1


@pytest.mark.parametrize("form", FORMATS)
def test_two_runs_at_once_do_every_video_once(many, tiny, tmp_path, form):
    reports = []

    def run():
        reports.append(extract_features(many, **keys(tiny, tmp_path, form, 4)))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not any(report.failed for report in reports)
    done = sorted(key for report in reports for key in report.done)
    assert done == rows(tmp_path)
    assert len(done) == len(set(done)) == 24
    assert all(len(report.done) + len(report.skipped) + len(report.elsewhere) == 24 for report in reports)
    assert not (tmp_path / "clip" / "tiny" / ".leases").exists()


def test_shards_share_the_numbers(many, tiny, tmp_path):
    for number in range(3):
        extract_features(many, **keys(tiny, tmp_path, shard=f"{number}/3"))
    assert len(rows(tmp_path)) == len(set(rows(tmp_path))) == 24
    names = files(tmp_path)
    assert names == [f"videos-{number:05d}.h5" for number in range(len(names))]


def test_what_another_run_stored_meanwhile_is_left_to_it(many, tiny, tmp_path):
    """The other run finishes between this one's plan and its commit: no video is stored twice, two of one name both stay."""
    (tmp_path / "other").mkdir()
    shutil.copy(many / "02.mp4", tmp_path / "other" / "00.mp4")
    once = threading.Lock()

    class Overtaken:
        """The model, but while it is at the first frames the other run does two of this one's videos, and another 00."""

        def __getattr__(self, name):
            return getattr(tiny, name)

        def encode(self, frames):
            if once.acquire(blocking=False):
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr("clipreel.extract.leases.Leases.take", lambda *_: True)  # as after a long cut of the network
                    extract_features([tmp_path / "other" / "00.mp4", many / "01.mp4", many / "04.mp4"],
                                     **keys(tiny, tmp_path / "out"))
            return tiny.encode(frames)

    report = extract_features(many, **keys(Overtaken(), tmp_path / "out", number=100, workers=1))
    stored = rows(tmp_path / "out")
    assert len(stored) == len(set(stored)) == 25
    assert sorted(report.elsewhere) == ["01", "04"]
    assert sum(key.startswith("00") for key in stored) == 2
    assert load_features(tmp_path / "out", key="00").provenance.source.path == str(tmp_path / "other" / "00.mp4")
    assert sum(key.startswith("00-") for key in report.done) == 1


def start(many, output, form, *words):
    return subprocess.Popen([sys.executable, str(MAIN), f"video_paths={many}", "model_name=tiny", f"on_extraction={form}",
                             "videos_per_file=3", f"output_path={output}", "extraction_fps=2", "workers=1", *words],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))


@pytest.mark.parametrize(("form", "sent"), [("save_hdf5", signal.SIGKILL), ("save_webdataset", signal.SIGINT)])
def test_killed_and_gone_on(many, tiny, tmp_path, form, sent):
    process = start(many, tmp_path, form)
    deadline = time.monotonic() + 120
    while not list(tmp_path.rglob(f"videos-*{SUFFIX[form]}")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(process.pid, sent)
    _, err = process.communicate(timeout=60)
    assert process.returncode == (130 if sent == signal.SIGINT else -signal.SIGKILL)
    assert "Traceback" not in err
    kept = {path.name: path.read_bytes() for path in tmp_path.rglob("videos-*")}
    before = rows(tmp_path)
    assert 3 <= len(before) < 24
    if sent == signal.SIGKILL:
        assert len(before) % 3 == 0
    assert cli.main(["inspect", str(tmp_path)]) == 0
    report = extract_features(many, **keys(tiny, tmp_path, form, 3))
    assert sorted(report.skipped) == before
    assert len(report.done) == 24 - len(before)
    assert len(rows(tmp_path)) == len(set(rows(tmp_path))) == 24
    assert all((tmp_path / "clip" / "tiny" / name).read_bytes() == content for name, content in kept.items())
    assert all(name.startswith("videos-") for name in files(tmp_path))


def test_a_full_disk_fails_the_videos_of_the_file(many, tmp_path):
    run = ("import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (25_000, 25_000)); "
           "from clipreel.cli import main; sys.exit(main(sys.argv[1:]))")
    words = [f"video_paths={many}/0*.mp4", "model_name=tiny", "on_extraction=save_webdataset",
             f"output_path={tmp_path}", "extraction_fps=1"]
    done = subprocess.run([sys.executable, "-c", run, *words, "videos_per_file=8"], check=False)
    assert done.returncode == 1
    listed = (tmp_path / "failures.jsonl").read_text()
    assert listed.count("cannot be written") == 8  # and the last two videos have a file that is small enough
    assert len(rows(tmp_path)) == 2
    assert cli.main([*words, "retry_failed=true"]) == 0
    assert len(rows(tmp_path)) == 10
    assert all(name.startswith("videos-") for name in files(tmp_path))


def test_a_damaged_file_stops_the_run_before_it_starts(many, tiny, tmp_path):
    extract_features(many, **keys(tiny, tmp_path))
    path = tmp_path / "clip" / "tiny" / "videos-00002.h5"
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(StoredDataError, match=r"videos-00002\.h5.*move it away"):
        extract_features(many, **keys(tiny, tmp_path))
    path.unlink()
    report = extract_features(many, **keys(tiny, tmp_path))
    assert (len(report.done), len(report.skipped)) == (5, 19)


def test_one_folder_is_not_both(many, tiny, tmp_path):
    extract_features(many / "00.mp4", **keys(tiny, tmp_path / "one", number=None))
    with pytest.raises(StoreConflictError, match="a video's own file"):
        extract_features(many, **keys(tiny, tmp_path / "one"))
    extract_features(many / "00.mp4", **keys(tiny, tmp_path / "many"))
    with pytest.raises(StoreConflictError, match="file of many videos"):
        extract_features(many, **keys(tiny, tmp_path / "many", number=None))
    with pytest.raises(ConfigError, match="videos_per_file"):
        extract_features(many, **keys(tiny, tmp_path / "many", "save_pickle"))
    assert FeatureStore(tmp_path / "one" / "clip" / "tiny", "save_hdf5").keys() == ["00"]
