"""An index that is damaged, killed in the middle of a change, or read and written at once."""

import json
import signal
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
from clipreel.errors import StoredDataError
from clipreel.retrieval import index_files
from clipreel.retrieval.index import VectorIndex
from clipreel.retrieval.index_files import MANIFEST, read_manifest
from clipreel.retrieval.index_update import Change, update_index
from clipreel.tests.retrieval.test_index import EMPTY, found, some, vectors_of


def test_there_is_no_index(tmp_path):
    with pytest.raises(StoredDataError, match="holds no index"):
        VectorIndex.open(tmp_path / "nowhere")


@pytest.mark.parametrize("dtype", ["float16", "int8"])
@pytest.mark.parametrize("harm", ["cut", "flip", "gone", "longer"])
def test_every_file_that_is_harmed_is_noticed(tmp_path, dtype, harm):
    update_index(tmp_path, replace(EMPTY, dtype=dtype, structure="ivf"), some(range(300)))
    update_index(tmp_path, replace(EMPTY, dtype=dtype, structure="ivf"), some([1], 1))
    for path in sorted(tmp_path.iterdir()):
        whole = path.read_bytes()
        if harm == "gone":
            path.unlink()
        elif harm == "flip":
            path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
        else:
            path.write_bytes(whole[:-5] if harm == "cut" else whole + b"\0")
        with pytest.raises(StoredDataError):
            VectorIndex.open(tmp_path)
        path.write_bytes(whole)
    VectorIndex.open(tmp_path)


def test_a_large_file_is_compared_when_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(index_files, "_VERIFIED_BYTES", 100)
    update_index(tmp_path, EMPTY, some(range(300)))
    (path,) = tmp_path.glob("*.vectors.npy")
    whole = path.read_bytes()
    path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    VectorIndex.open(tmp_path)
    with pytest.raises(StoredDataError, match="content changed"):
        VectorIndex.open(tmp_path, verify=True)


def test_a_damaged_index_may_be_overwritten(tmp_path):
    update_index(tmp_path, EMPTY, some(range(3)))
    (tmp_path / MANIFEST).write_text("{")
    with pytest.raises(StoredDataError, match="damaged"):
        update_index(tmp_path, EMPTY, some(range(4)))
    update_index(tmp_path, EMPTY, some(range(4)), overwrite=True)
    assert len(VectorIndex.open(tmp_path)) == 4


def test_another_versions_layout_is_said(tmp_path):
    update_index(tmp_path, EMPTY, some(range(3)))
    content = json.loads((tmp_path / MANIFEST).read_text())
    (tmp_path / MANIFEST).write_text(json.dumps({**content, "schema_version": 9}))
    with pytest.raises(StoredDataError, match="layout 9"):
        VectorIndex.open(tmp_path)


# writers that are killed, and readers beside writers


_WRITER = """
import os, sys
from pathlib import Path
from clipreel.retrieval import index_update
from clipreel.tests.retrieval.test_index import EMPTY, some, replace

def update(stop):
    step, real = 0, os.replace

    def replace_and_count(*words):
        nonlocal step
        if step == stop:
            os.kill(os.getpid(), 9)
        step += 1
        real(*words)

    os.replace = replace_and_count
    index_update.update_index(Path(sys.argv[1]), replace(EMPTY, dtype="int8"), some(range(50, 90), 1), ["3"])

for stop in map(int, sys.argv[2:]):
    child = os.fork()
    if not child:
        update(stop)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    input()  # until what it left has been looked at
"""


def test_a_killed_update_leaves_the_old_index(tmp_path):
    folder, empty = tmp_path / "i", replace(EMPTY, dtype="int8")
    update_index(folder, empty, some(range(60)))
    before = (folder / MANIFEST).read_bytes()
    stops = (0, 3, 7)  # of the files that are put in place, the manifest is the last
    with subprocess.Popen([sys.executable, "-c", _WRITER, str(folder), *map(str, stops)], text=True, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as writers:
        assert writers.stdin is not None and writers.stdout is not None
        for _ in stops:
            assert int(writers.stdout.readline()) == -signal.SIGKILL
            assert (folder / MANIFEST).read_bytes() == before
            index = VectorIndex.open(folder)
            assert len(index) == 60
            assert found(index, vectors_of([3, 55]), 1) == [["3"], ["55"]]
            print(file=writers.stdin, flush=True)
    assert len(list(folder.iterdir())) > len(read_manifest(folder).files())  # what the killed ones left
    assert update_index(folder, empty, some(range(50, 90), 1), ["3"]) == Change(30, 10, 1, 89)
    index = VectorIndex.open(folder)
    assert found(index, vectors_of([55, 80], 1), 1) == [["55"], ["80"]]
    assert {path.name for path in folder.iterdir()} == index.manifest.files()


def test_readers_beside_writers_see_one_commit_or_the_other(tmp_path):
    update_index(tmp_path, EMPTY, some(range(10)))
    ended, faults, opened = threading.Event(), [], []

    def read():
        while not ended.is_set():
            index = VectorIndex.open(tmp_path)
            videos = {video.video_id for video in index.videos()}
            versions = {video.sha256[:1] for video in index.videos()}
            opened.append(index.manifest.generation)
            if videos != {str(number) for number in range(10)} or len(versions) != 1:
                faults.append((videos, versions))
            if found(index, vectors_of([4], int(next(iter(versions)))), 1) != [["4"]]:
                faults.append("not found")

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for version in range(1, 40):
            update_index(tmp_path, EMPTY, some(range(10), version % 10))
    finally:
        ended.set()
        for reader in readers:
            reader.join()
    assert not faults
    assert len(set(opened)) > 3


def test_an_open_index_outlives_what_replaces_it(tmp_path):
    update_index(tmp_path, EMPTY, some(range(10)))
    index = VectorIndex.open(tmp_path)
    update_index(tmp_path, EMPTY, some(range(10), 1))
    assert {path.name for path in tmp_path.iterdir()}.isdisjoint(index.manifest.files() - {MANIFEST})
    assert found(index, vectors_of([7]), 1) == [["7"]]


def test_two_writers_lose_nothing(tmp_path):
    def write(first):
        for number in range(first, 40, 2):
            update_index(tmp_path, EMPTY, some([number]))

    writers = [threading.Thread(target=write, args=(first,)) for first in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert {video.video_id for video in VectorIndex.open(tmp_path).videos()} == {str(number) for number in range(40)}
