"""Stores on disks that fill, in runs that are killed, two at once."""

import errno
import os
import resource
import socket
import subprocess
import sys
from contextlib import suppress

import pytest
from clipreel.extract.store.files import remove_stale, temporary_beside, write_whole
from clipreel.extract.store.store import FeatureStore
from clipreel.tests.extract.stored_files import files


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("nth", range(6))
def test_a_disk_that_fills_leaves_nothing_half_visible(store, make_features, same, monkeypatch, call, nth):
    real, calls = getattr(os, call), []

    def fail(*arguments):
        calls.append(arguments)
        if len(calls) > nth:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments)

    monkeypatch.setattr(os, call, fail)
    with suppress(OSError):  # the later calls are not made by every format
        store.write("a", make_features())
    # a file whose folder could not be flushed is whole already
    assert store.mark("a") is None or same(store.read("a", verify=True), make_features())
    assert not [path for path in store.folder.iterdir() if path.name.endswith("-tmp")]
    monkeypatch.undo()
    store.write("a", make_features())
    assert same(store.read("a", verify=True), make_features())


def test_a_real_limit_on_sizes(store, make_features):
    features = make_features(rows=2000, dim=50)
    child = os.fork()
    if not child:
        status = 9
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
            store.write("a", features)
        except OSError as error:
            left = [path.name for path in store.folder.iterdir() if path.name.endswith("-tmp")]
            status = 0 if error.errno == errno.EFBIG and store.mark("a") is None and not left else 8
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_old_features_survive_a_failed_hdf5_write(tmp_path, make_features, same, monkeypatch):
    store = FeatureStore(tmp_path, "save_hdf5")
    store.write("a", make_features())
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    with pytest.raises(OSError, match="full"):
        store.write("a", make_features(seed=1))
    assert same(store.read("a", verify=True), make_features())


def test_stale_files_of_dead_processes_of_this_host_go(store, monkeypatch):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    target = store.folder / f"{'k' * 200}_timestamps_ms.npy"
    names = {}
    for name, host, process in [("dead", None, dead.pid), ("alive", None, os.getppid()), ("own", None, os.getpid()),
                                ("other host", "elsewhere", dead.pid), ("longer host", f"x.{socket.gethostname()}", dead.pid)]:
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda process=process: process)
            if host is not None:
                patch.setattr(socket, "gethostname", lambda host=host: host)
            names[name] = temporary_beside(target)
            names[name].touch()
    (store.folder / ".foreign").touch()
    (store.folder / ".x.clipreel-tmp").touch()
    store.prepare()
    assert {name for name, path in names.items() if not path.exists()} == {"dead"}
    assert (store.folder / ".foreign").exists() and (store.folder / ".x.clipreel-tmp").exists()
    assert store.keys() == []
    remove_stale(store.folder / "none")  # no folder, nothing to do


def test_names_of_temporary_files_fit_and_differ(tmp_path, monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "h" * 64)
    one, other = (temporary_beside(tmp_path / ("k" * 240 + end)) for end in ("a", "b"))
    assert one != other
    assert len(one.name) <= 255


def test_a_failing_writer_leaves_the_old_file(tmp_path):
    path = tmp_path / "a"
    write_whole(path, lambda file: file.write(b"old"))
    with pytest.raises(ZeroDivisionError):
        write_whole(path, lambda file: 1 / 0)
    assert files(tmp_path) == {"a": b"old"}


def test_two_runs_may_prepare_one_folder_at_once(store, monkeypatch):
    """The other run removes our probe before we do."""
    touch = type(store.folder).touch

    def touch_and_lose(path):
        touch(path)
        path.unlink()

    monkeypatch.setattr(type(store.folder), "touch", touch_and_lose)
    store.prepare()
