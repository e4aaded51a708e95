"""Files of many videos, without a model: what is written is read, by us and by others; whole or not there; numbers of their own."""

import contextlib
import functools
import os
import resource
import signal
import threading

import h5py
import numpy as np
import pytest
from clipreel import cli, load_features
from clipreel.errors import StoreConflictError, StoredDataError
from clipreel.extract.store import sharded
from clipreel.extract.store.find import OpenStore, find_stored
from clipreel.extract.store.sharded import ShardedStore, open_store
from clipreel.extract.store.store import FeatureStore

KEYS = ["a", "a.b", "a.c", "50%", "a%2Eb", "ключ 鍵", "bytes \udcff", "x" * 150, "clipreel_index", "__meta__", "features"]


@pytest.fixture(params=["save_hdf5", "save_webdataset"])
def store(request, tmp_path):
    one = open_store(tmp_path / "clip" / "tiny", request.param, 3)
    assert isinstance(one, ShardedStore)
    one.prepare()
    return one


def again(store):
    """As a later run opens it."""
    other = ShardedStore(store.folder, "save_hdf5" if store._suffix == ".h5" else "save_webdataset", 3)
    other.prepare()
    return other


def files(store):
    return sorted(path.name for path in store.folder.iterdir())


def test_what_is_written_is_read(store, make_features, same):
    videos = {key: make_features(rows=number + 1, seed=number, fps=float("nan") if number == 2 else 25.0, windows=number == 3,
                                 dtype="float16" if number == 4 else "float32", metadata={"label": "ä"},
                                 path=f"/v/{number}\udcfe.mp4", feature_type="clip" if number else "open_clip")
              for number, key in enumerate(KEYS)}
    path = store.folder / store.write_many(videos)
    assert files(store) == [f"videos-00000{store._suffix}"]
    for one in (store, again(store)):
        assert one.keys() == sorted(KEYS)
        for key, features in videos.items():
            assert same(one.read(key, verify=True), features)
            assert one.has(key, features.provenance.settings.fingerprint)
            assert (mark := one.mark(key)) is not None
            assert mark.shape == features.features.shape
    found = {video.key: video for video in find_stored(store.folder)}
    opened = OpenStore()
    for key, features in videos.items():
        assert same(found[key].read(True), features)
        assert same(load_features(path, key=key), features)
        mark, array, times = opened.read(path, key)
        assert mark == found[key].mark
        assert np.array_equal(array, features.features)
        assert np.array_equal(times, features.timestamps_ms)
    assert store.mark("none") is None
    with pytest.raises(StoredDataError, match="no features with this key"):
        store.read("none")


def test_equal_features_make_equal_files(store, make_features):
    videos = {"a": make_features(), "b": make_features(seed=1)}
    one = store.folder / store.write_many(videos)
    content, two = one.read_bytes(), store.folder / store.write_many(videos)
    assert two.read_bytes() == content
    assert not one.exists()  # every row of it is in the second


def test_a_newer_row_takes_the_place_of_the_older(store, make_features, same):
    store.write_many({"a": make_features(), "b": make_features(seed=1)})
    store.write_many({"c": make_features(seed=2)})
    newer = make_features(seed=3, extraction_fps=2.0)
    store.write_many({"b": newer, "c": newer})
    suffix = store._suffix
    assert files(store) == [f"videos-00000{suffix}", f"videos-00002{suffix}"]
    assert [video.key for video in find_stored(store.folder)] == ["a", "b", "c"]
    for one in (store, again(store)):
        assert same(one.read("a", verify=True), make_features())
        assert same(one.read("b", verify=True), newer)


def test_readers_of_a_file_that_is_written_anew(store, make_features, same):
    videos = {key: make_features(rows=number + 5, seed=number) for number, key in enumerate("abcdef")}
    store.write_many(videos)
    early, other, opened = {video.key: video for video in find_stored(store.folder)}, again(store), OpenStore()
    opened.read(early["a"].file, "a")
    store.write_many({"b": make_features(seed=9), "d": make_features(seed=9)})
    for key in "acef":
        assert same(early[key].read(True), videos[key])
        assert same(other.read(key), videos[key])
        assert np.array_equal(opened.read(early[key].file, key)[1], videos[key].features)
    assert same(other.read("b"), make_features(seed=9))
    with pytest.raises(StoredDataError):
        early["b"].read(False)


def test_a_crash_between_the_new_row_and_the_removal_of_the_old(store, make_features, same, monkeypatch):
    store.write_many({"a": make_features(), "b": make_features(seed=1)})
    newer = make_features(seed=3)
    with monkeypatch.context() as patch:
        patch.setattr(ShardedStore, "_drop", lambda *_: None)
        store.write_many({"b": newer})
    assert len(list(find_stored(store.folder))) == 3
    assert same(store.read("b"), newer)
    later = again(store)
    assert [video.key for video in find_stored(store.folder)] == ["a", "b"]
    assert same(later.read("b", verify=True), newer)
    assert same(store.read("a"), make_features())  # after the file was written anew by another


def test_runs_never_write_one_name(store, make_features):
    """Without a lock between them too: locks of other machines may not be seen."""
    stores, written = [again(store) for _ in range(4)], []

    def write(first, one):
        written.extend(one.write_many({f"video {number}": make_features(seed=number)}) for number in range(first, 40, 4))

    threads = [threading.Thread(target=write, args=pair) for pair in enumerate(stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(written)) == 40
    assert files(store) == [f"videos-{number:05d}{store._suffix}" for number in range(40)]
    assert len(store.keys()) == 40
    assert store.mark("video 39") is not None


def rows(store):
    return sorted(video.key for video in find_stored(store.folder) if len(video.read(True)))


@pytest.mark.parametrize("call", range(1, 9))
def test_killed_at_any_step_of_a_commit(store, make_features, call):
    """At the n-th of the calls that change or flush the disk, before it and after it: two rows of an older file are replaced."""
    store.write_many({key: make_features() for key in "abc"})
    for late in (False, True):
        child = os.fork()
        if not child:
            count = 0

            def dies(function, late, *words, **options):
                nonlocal count
                count += 1
                result = function(*words, **options) if count != call or late else None
                if count == call:
                    os.kill(os.getpid(), signal.SIGKILL)
                return result

            for name in ("open", "fsync", "link", "replace", "unlink"):
                setattr(os, name, functools.partial(dies, getattr(os, name), late))
            with contextlib.suppress(BaseException):
                store.write_many({key: make_features(seed=1) for key in "bcd"})
            os._exit(9)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code == -signal.SIGKILL or (code == 9 and call > 6)
        later = again(store)
        assert rows(store) == later.keys() == (["a", "b", "c", "d"] if later.mark("d") is not None else ["a", "b", "c"])
        assert all(name.startswith("videos-") for name in files(store))


@pytest.mark.parametrize("limit", [2_000, 30_000, 150_000])
def test_a_full_disk_leaves_nothing(store, make_features, limit):
    before = files(store)
    child = os.fork()
    if not child:
        status = 9
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            try:
                store.write_many({str(number): make_features(rows=2000, dim=50) for number in range(3)})
            except OSError as error:
                status = 0 if error.strerror else 8
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert files(store) == before


def test_a_cut_file_is_said_and_never_written_over(store, make_features):
    path = store.folder / store.write_many({"a": make_features(rows=300), "b": make_features(seed=1)})
    whole = path.read_bytes()
    for size in [0, 1, 511, 513, 1024, *range(1025, len(whole), max(1, len(whole) // 9)), len(whole) - 1]:
        path.write_bytes(whole[:size])
        with pytest.raises(StoredDataError, match="move it away"):
            again(store)
        assert all(video.mark is None for video in find_stored(path))
        for video in find_stored(path):
            with pytest.raises(StoredDataError):
                video.read(False)
    assert cli.main(["inspect", str(store.folder)]) == 1
    path.write_bytes(whole)
    assert again(store).keys() == ["a", "b"]


def test_a_changed_bit_is_found(store, make_features, capsys):
    features = make_features(rows=300)
    path = store.folder / store.write_many({"a": features, "b": make_features(seed=1)})
    content = bytearray(path.read_bytes())
    content[content.index(features.features.tobytes()) + 100] ^= 1
    path.write_bytes(content)
    assert cli.main(["inspect", str(path)]) == 1
    assert "2 videos, 1 damaged" in capsys.readouterr().out
    with pytest.raises(StoredDataError, match="SHA-256"):
        again(store).read("a", verify=True)


def test_pack_takes_them(store, make_features, same, tmp_path):
    videos = {key: make_features(seed=number) for number, key in enumerate(KEYS)}
    for key, features in videos.items():
        store.write_many({key: features})
    assert cli.main(["pack", str(store.folder), str(tmp_path / "all.h5")]) == 0
    for key, features in videos.items():
        assert same(load_features(tmp_path / "all.h5", key=key), features)


def test_a_folder_has_a_file_a_video_or_files_of_many(tmp_path, make_features):
    FeatureStore(tmp_path / "one", "save_hdf5").folder.mkdir()
    FeatureStore(tmp_path / "one", "save_hdf5").write("a", make_features())
    with pytest.raises(StoreConflictError, match=r"a\.h5 is a video's own file"):
        open_store(tmp_path / "one", "save_hdf5", 10).prepare()
    many = open_store(tmp_path / "many", "save_hdf5", 10)
    many.prepare()
    many.write("a", make_features())
    with pytest.raises(StoreConflictError, match=r"videos-00000\.h5 is a file of many videos"):
        open_store(tmp_path / "many", "save_h5", None)
    open_store(tmp_path / "many", "save_numpy", None).prepare()
    open_store(tmp_path / "many", "save_webdataset", None).prepare()
    with h5py.File(tmp_path / "many" / "packed.h5", "w"):  # of others, or of pack
        pass
    open_store(tmp_path / "many", "save_hdf5", 5).prepare()


def test_names_are_counted_on(store, make_features, monkeypatch):
    store.write("a", make_features())
    (store.folder / f"videos-99999{store._suffix}").write_bytes(store.folder.joinpath(files(store)[0]).read_bytes())
    later = again(store)
    assert later.write_many({"b": make_features()}) == f"videos-100000{store._suffix}"
    assert later.write_many({"c": make_features()}) == f"videos-100001{store._suffix}"
    assert again(store).keys() == ["a", "b", "c"]
    assert sharded.BYTES_PER_FILE == 256 * 2**20
