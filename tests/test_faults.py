"""Every step of a run killed for real, disks that fill, disks that may not be written: a rerun equals a clean run, byte for byte.

All runs are `deterministic=true`; `test_survival.py` has a killed run without it.
"""

import builtins
import contextlib
import errno
import json
import os
import signal
import subprocess

import numpy as np
import pytest
from clipreel import cli, extract_features
from clipreel.extract.store import files
from clipreel.extract.store.store import FeatureStore
from clipreel.tests.fault_server import FaultServer
from clipreel.tests.media import Recipe
from clipreel.tests.small_disk import mounted_disk

# Steps of a run (fault_server.py), and at which of their calls it is killed. A video as NumPy files: four are written, each
# flushed twice and its folder once, and renamed, the mark last. As HDF5 it is one file.
KILLS = [("save_numpy", step, nth) for step, calls in {
    "open": (1, 4), "decode": (1, 8), "encode": (1, 3), "lease": (2,), "write": (1, 4, 6), "fsync": (1, 6, 14), "rename": (1, 4, 6),
    "renamed": (1, 7), "mark": (2,), "marked": (2,), "failures": (1,)}.items() for nth in calls]
KILLS += [("save_hdf5", step, 2) for step in ("write", "fsync", "mark", "marked")]
KILLS += [("save_pickle", "write", 7), ("save_pickle", "mark", 1)]


@pytest.fixture(scope="module")
def server():
    server = FaultServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for number in range(3):
        Recipe(frames=30, first_number=number).write(folder / f"{number}.mp4")
    return folder


def keys(output, format_="save_numpy"):
    return {"on_extraction": format_, "output_path": str(output), "extraction_fps": 5, "batch_size": 4, "deterministic": True}


def words(videos, output, format_="save_numpy"):
    given = {"video_paths": videos, "model_name": "tiny", "workers": 1, **keys(output, format_)}
    return [f"{key}={value}" for key, value in given.items()]


@pytest.fixture(scope="module")
def clean(tiny, videos, tmp_path_factory):
    """What a run that nothing happened to leaves, by format."""
    found = {}
    for format_ in ("save_numpy", "save_hdf5", "save_pickle"):
        folder = tmp_path_factory.mktemp("clean")
        assert len(extract_features(videos, encoder=tiny, **keys(folder, format_)).done) == 3
        found[format_] = contents(folder)
    return found


def contents(folder, leave_out="ballast"):
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))
            if path.name != leave_out}


def assert_whole(folder, format_, clean):
    """What is marked as done is what a clean run makes; returns how much that is."""
    place = folder / "clip" / "tiny"
    store = FeatureStore(place, format_)
    for key in store.keys() if place.is_dir() else ():
        store.read(key, verify=True)
        mark = store.mark(key)
        assert mark is not None
        for name in [f"{key}.h5"] if format_ == "save_hdf5" else [f"{key}_meta.json", *mark.contents]:
            assert (place / name).read_bytes() == clean[format_][f"clip/tiny/{name}"]
    return len(store.keys()) if place.is_dir() else 0


@pytest.mark.parametrize(("format_", "step", "nth"), KILLS, ids=lambda value: str(value).removeprefix("save_"))
def test_a_run_killed_at_any_step_is_finished_by_the_next(server, tiny, videos, clean, tmp_path, format_, step, nth):
    code, err = server.run(words(videos, tmp_path, format_), step, nth)
    assert code == -signal.SIGKILL, err
    kept = assert_whole(tmp_path, format_, clean)
    assert kept < 3 or step == "failures"
    rerun = extract_features(videos, encoder=tiny, **keys(tmp_path, format_))
    assert (len(rerun.skipped), len(rerun.done)) == (kept, 3 - kept)
    assert contents(tmp_path) == clean[format_]  # not one file of the killed run is left, its lease neither


def test_a_run_killed_again_and_again_ends_too(server, videos, clean, tmp_path):
    """Each run of main.py gets a little further than the last."""
    for step, nth in (("write", 3), ("mark", 1), ("marked", 1), ("rename", 2), ("renamed", 4), ("fsync", 3)):
        code, err = server.run(words(videos, tmp_path), step, nth)
        assert code == -signal.SIGKILL, err
        assert_whole(tmp_path, "save_numpy", clean)
    code, err = server.run(words(videos, tmp_path))
    assert code == 0, err
    assert "Traceback" not in err
    assert contents(tmp_path) == clean["save_numpy"]


def test_a_run_that_replaces_other_features_may_be_killed_too(server, tiny, videos, clean, tmp_path):
    """With overwrite=true the old mark goes first: what is half replaced is nobody's, never a mixture."""
    for step, nth in (("rename", 2), ("mark", 1), ("renamed", 6)):
        before = {**keys(tmp_path), "extraction_fps": 2, "overwrite": True}
        assert len(extract_features(videos, encoder=tiny, **before).done) == 3
        old = contents(tmp_path)
        code, _ = server.run([*words(videos, tmp_path), "overwrite=true"], step, nth)
        assert code == -signal.SIGKILL
        store = FeatureStore(tmp_path / "clip" / "tiny", "save_numpy")
        for key in store.keys():  # noqa: SIM118
            store.read(key, verify=True)
            meta = f"clip/tiny/{key}_meta.json"
            assert contents(tmp_path)[meta] in (old[meta], clean["save_numpy"][meta])
        assert len(extract_features(videos, encoder=tiny, **keys(tmp_path), overwrite=True).done) == 3
        assert contents(tmp_path) == clean["save_numpy"]


# disks that fill

class Disk:
    """A folder that has room for so many pages of 4 KiB more."""

    def __init__(self, folder):
        self.folder = folder

    def fill(self, pages):
        (self.folder / "ballast").unlink(missing_ok=True)
        with open(self.folder / "ballast", "wb", buffering=0) as file:
            with contextlib.suppress(OSError):
                while file.write(b"0" * 4096):
                    pass
            file.truncate(max(0, file.tell() - 4096 * pages))

    def empty(self):
        (self.folder / "ballast").unlink(missing_ok=True)


class InjectedDisk:
    """Where nothing can be mounted: what is written through store/files.py ends after so many pages with ENOSPC."""

    def __init__(self, folder, monkeypatch):
        self.folder, self._left = folder, None
        disk = self

        class Limited:
            def __init__(self, file):
                self._file = file

            def write(self, data):
                disk.take(len(memoryview(data).cast("B")))
                return self._file.write(data)

            def __enter__(self):
                return self

            def __exit__(self, *_):
                self._file.close()

        def opened(path, mode):
            file = builtins.open(path, mode)  # noqa: SIM115
            return Limited(file) if "w" in mode else file

        monkeypatch.setattr(files, "open", opened, raising=False)

    def take(self, size_bytes):
        if self._left is None:
            return
        if size_bytes > self._left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._left -= -(-size_bytes // 4096) * 4096

    def fill(self, pages):
        self._left = 4096 * pages

    def empty(self):
        self._left = None


@pytest.fixture
def mounted(tmp_path):
    """A file system of 256 KiB; where there can be none, the injected full disk is tested alone."""
    with mounted_disk(tmp_path / "disk") as folder:
        yield folder


@pytest.fixture(params=["mounted", "injected"])
def disk(request, tmp_path, monkeypatch):
    return Disk(request.getfixturevalue("mounted")) if request.param == "mounted" else InjectedDisk(tmp_path, monkeypatch)


@pytest.mark.parametrize(("format_", "rooms"), [
    ("save_numpy", (*range(10), 14, 18)), ("save_hdf5", range(0, 12, 2)), ("save_pickle", range(1, 12, 3))])
def test_a_disk_that_fills_at_any_step(disk, tiny, videos, clean, format_, rooms):
    failed = set()
    for pages in rooms:
        folder = disk.folder / f"with room for {pages}"
        (folder / "clip" / "tiny").mkdir(parents=True)
        disk.fill(pages)
        report = extract_features(videos, encoder=tiny, workers=1, **keys(folder, format_))
        assert len(report.done) + len(report.failed) == 3
        assert all("No space left on device" in failure.reason for failure in report.failed)
        assert assert_whole(folder, format_, clean) == len(report.done)
        assert not [path for path in folder.rglob("*") if path.name.endswith("-tmp")]
        failed.add(len(report.failed))
        disk.empty()
        rerun = extract_features(videos, encoder=tiny, **keys(folder, format_))
        assert (len(rerun.skipped), len(rerun.done)) == (len(report.done), len(report.failed))
        assert contents(folder) == clean[format_]
        subprocess.run(["rm", "-r", str(folder)], check=True)
    assert {3, 2} <= failed  # it did fill, at the first video and behind it


# disks that may not be written

def test_an_output_that_may_not_be_written_is_said_before_anything_starts(mounted, videos, capsys):
    subprocess.run(["mount", "-o", "remount,ro", str(mounted)], check=True)
    assert cli.main(words(videos, mounted / "out")) == 2
    assert "cannot be written (Read-only file system" in capsys.readouterr().err


def test_an_output_that_becomes_read_only_fails_videos(server, mounted, videos, clean):
    """Behind the first video's mark."""
    out = mounted / "out"
    code, err = server.run(words(videos, out), "marked", 1, ["mount", "-o", "remount,ro", str(mounted)])
    assert code == 1, err
    assert err.count("Read-only file system") >= 2
    assert "Traceback" not in err
    assert assert_whole(out, "save_numpy", clean) == 1
    subprocess.run(["mount", "-o", "remount,rw", str(mounted)], check=True)
    code, err = server.run(words(videos, out))
    assert (code, "done 2, skipped 1, failed 0" in err) == (0, True), err
    assert contents(out) == clean["save_numpy"]


# two runs at once, a device without memory

def test_two_runs_on_one_folder_make_one_clean_run(server, tiny, videos, clean, tmp_path):
    """main.py in a process of its own, and this one (`tests/extract/test_leases.py` has more)."""
    ended = server.start(words(videos, tmp_path))
    mine = extract_features(videos, encoder=tiny, **keys(tmp_path))
    code, err = ended()
    assert (code, mine.failed) == (0, []), err
    assert contents(tmp_path) == clean["save_numpy"]


def test_a_device_without_memory_ends_the_run_and_keeps_what_is_done(tiny, videos, clean, tmp_path, monkeypatch):
    import torch

    calls, encode = [], type(tiny).encode

    def full(self, frames):
        calls.append(len(frames))
        if len(calls) > 2:
            raise torch.OutOfMemoryError("no memory left")
        return encode(self, frames)

    monkeypatch.setattr(type(tiny), "encode", full)
    with pytest.raises(Exception, match="out of memory with batch_size=4"):
        extract_features(videos, encoder=tiny, workers=1, **keys(tmp_path))
    monkeypatch.undo()
    kept = assert_whole(tmp_path, "save_numpy", clean)
    assert kept == 1
    rerun = extract_features(videos, encoder=tiny, **keys(tmp_path))
    assert (len(rerun.skipped), len(rerun.done)) == (1, 2)
    assert contents(tmp_path) == clean["save_numpy"]


def test_what_is_compared_is_there(clean):
    for format_, count in (("save_numpy", 12), ("save_hdf5", 3), ("save_pickle", 12)):
        assert len([name for name in clean[format_] if name.startswith("clip/tiny/")]) == count
    mark = json.loads(clean["save_numpy"]["clip/tiny/0_meta.json"])
    assert mark["shape"][0] == 6
    assert np.dtype(mark["dtype"]) == np.float32
