"""One contract for every format: what is written is read, whole or not at all, and nothing in it can run."""

import errno
import json
import os
import pickle
import resource
import socket
import subprocess
import sys
from contextlib import suppress
from itertools import combinations

import h5py
import numpy as np
import pytest
from clipreel import load_features
from clipreel.errors import ClipreelError, StoreConflictError, StoredDataError
from clipreel.extract.store.files import remove_stale, temporary_beside, write_whole
from clipreel.extract.store.store import FORMATS, FeatureStore, refuse_other_settings

KEYS = ["a", "a b", "x_meta", "a_clip", "a_timestamps", "ü 录像", "it's [1080p] #1 *?", ".hidden", "-dash", "a.mp4", "a\nb",
        "odd\udcff", "k" * 192, '"', "\\", "%s", "~"]


@pytest.fixture(params=sorted(FORMATS))
def store(request, tmp_path):
    one = FeatureStore(tmp_path / "output" / "clip" / "tiny", request.param)
    one.prepare()
    return one


@pytest.fixture(params=["save_numpy", "save_pickle"])
def separate(request, tmp_path):
    return FeatureStore(tmp_path, request.param)


def snapshot(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# reading what was written


@pytest.mark.parametrize("change", [
    {}, {"dtype": "float16"}, {"fps": float("nan")}, {"windows": True}, {"rows": 1, "dim": 1}, {"extraction_fps": None},
    {"metadata": {"label": 'say "hi"\n录\0', "": "x"}}, {"metadata": {"long": "x" * 100_000}}, {"path": "/v/ü\udcff.mp4"},
    {"start": 0.1, "end": 2.0, "reader": "images", "fps": 30000 / 1001}, {"feature_type": "open_clip"}, {"normalize": True},
])
def test_read_gives_what_write_took(store, make_features, same, change):
    features = make_features(**change)
    store.write("a", features)
    for verify in (False, True):
        assert same(store.read("a", verify=verify), features)
    mark = store.mark("a")
    assert (mark.key, mark.shape, mark.dtype) == ("a", features.features.shape, features.features.dtype.name)
    assert mark.time_range_ms == (features.timestamps_ms[0], features.timestamps_ms[-1])
    assert store.has("a", features.provenance.settings.fingerprint)
    assert not store.has("a", "another")


def test_keys(store, make_features, same):
    for number, key in enumerate(KEYS):
        store.write(key, make_features(seed=number))
    assert store.keys() == sorted(KEYS)
    for number, key in enumerate(KEYS):
        assert same(store.read(key, verify=True), make_features(seed=number))


def test_odd_numbers_survive(store, make_features):
    features = make_features(rows=2, dim=3)
    features.features[:] = [[np.nan, np.inf, -0.0], [-np.inf, 1e-45, 3.4e38]]
    store.write("a", features)
    assert store.read("a").features.tobytes() == features.features.tobytes()


def test_equal_features_make_equal_files(store, make_features):
    features = make_features(windows=True)
    store.write("a", features)
    before = snapshot(store.folder)
    store.write("a", make_features(windows=True))
    assert snapshot(store.folder) == before
    object.__setattr__(features, "features", np.asfortranarray(features.features))
    store.write("a", features)
    assert snapshot(store.folder) == before


def test_writing_again_replaces(store, make_features, same):
    store.write("a", make_features(windows=True))
    store.write("a", make_features(rows=5, extraction_fps=2.0))
    assert same(store.read("a", verify=True), make_features(rows=5, extraction_fps=2.0))


def test_names_of_files(separate, make_features, tmp_path):
    separate.write("a", make_features(windows=True))
    suffix = separate.format.suffix
    assert {path.name for path in tmp_path.iterdir()} == {
        f"a_clip{suffix}", f"a_timestamps_ms{suffix}", f"a_fps{suffix}", f"a_intervals_ms{suffix}", "a_meta.json"}


def test_others_can_read_the_files(tmp_path, make_features):
    features = make_features()
    for name in ("save_numpy", "save_pickle", "save_hdf5"):
        FeatureStore(tmp_path, name).write("a", features)
    for name, array in features.arrays().items():
        with open(tmp_path / f"a_{name}.pkl", "rb") as file:
            loaded = pickle.load(file)
        with h5py.File(tmp_path / "a.h5") as file:
            stored = file[name]
            assert isinstance(stored, h5py.Dataset)
            for other in (loaded, np.load(tmp_path / f"a_{name}.npy"), stored[()]):
                assert np.asarray(other).tobytes() == array.tobytes()
                assert np.asarray(other).dtype == array.dtype
    text = (tmp_path / "a_meta.json").read_text()
    assert json.loads(text)["settings"]["model_name"] == "tiny"


def test_pickles_of_older_numpy_are_read(tmp_path, make_features):
    data = pickle.dumps(make_features().features, protocol=3)
    older = data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    for one in (older, older.replace(b"numpy.core.multiarray", b"numpy._core.multiarray")):
        array = _load(FeatureStore(tmp_path, "save_pickle"), tmp_path / "x.pkl", one)
        assert (array == make_features().features).all()


def _load(store, path, data):
    path.write_bytes(data)
    with open(path, "rb") as file:
        return store.format._load(file)  # pyright: ignore[reportAttributeAccessIssue]


# half written, cut, foreign


def test_nothing_there(store):
    assert store.mark("a") is None
    assert store.keys() == []
    assert not store.has("a", "")
    with pytest.raises(StoredDataError, match="run the extraction again"):
        store.read("a")


def test_a_crash_between_any_two_files_leaves_no_mark(separate, make_features, tmp_path):
    separate.write("a", make_features(windows=True))
    whole = snapshot(tmp_path)
    for count in range(1, len(whole) + 1):
        for gone in combinations(whole, count):
            for harm in (lambda path: path.unlink(), lambda path: path.write_bytes(whole[path.name][:-1]),
                         lambda path: path.write_bytes(b"")):
                for name, content in whole.items():
                    (tmp_path / name).write_bytes(content)
                for name in gone:
                    harm(tmp_path / name)
                assert separate.mark("a") is None, gone
    assert separate.keys() == []


def test_a_cut_hdf5_file_has_no_mark(tmp_path, make_features, same):
    store = FeatureStore(tmp_path, "save_hdf5")
    store.write("a", make_features())
    whole = (tmp_path / "a.h5").read_bytes()
    for size in range(0, len(whole), 97):
        (tmp_path / "a.h5").write_bytes(whole[:size])
        assert store.mark("a") is None
        assert store.keys() == []
        with pytest.raises(StoredDataError):
            store.read("a")
    store.write("a", make_features())  # and is redone
    assert same(store.read("a"), make_features())


def test_changed_content_is_found_by_its_digest(store, make_features):
    store.write("a", make_features(rows=50))
    path = next(path for path in sorted(store.folder.iterdir()) if path.suffix in (".h5", ".npy", ".pkl"))
    content = path.read_bytes()
    place = content.index(make_features(rows=50).features.tobytes()[:40])
    path.write_bytes(content[:place] + b"\1\2\3\4" + content[place + 4:])
    assert store.mark("a") is not None  # the sizes are right
    with pytest.raises(StoredDataError, match="SHA-256 differs"):
        store.read("a", verify=True)


@pytest.mark.parametrize("text", [
    "", "{}", "[]", "null", "3", '"clipreel-features"', '{"format": "clipreel-features"}', '{"format": "other"}', "[" * 100_000,
    '{"format": "clipreel-features", "schema_version": 1}', "\xff",
])
def test_foreign_metadata_is_no_mark(separate, make_features, tmp_path, text):
    separate.write("a", make_features())
    (tmp_path / "a_meta.json").write_bytes(text.encode("latin-1"))
    assert separate.mark("a") is None


@pytest.mark.parametrize(("place", "value"), [
    (("shape",), 3), (("shape",), ["x", 1]), (("fps",), "fast"), (("time_range_ms",), [1]), (("contents",), []),
    (("contents",), {}), (("contents",), ["a_clip.npy"]), (("contents", "a_clip.npy"), 3), (("source",), {}),
    (("contents", "../a_clip.npy"), {"size_bytes": 1, "sha256": ""}), (("source", "width"), "96"), (("source", "path"), 3),
    (("source", "duration_seconds"), None), (("settings", "dtype"), 7), (("settings",), []), (("metadata",), "x"),
    (("contents", "a_extra.npy"), {"size_bytes": 1, "sha256": ""}), (("contents", "b_clip.npy"), {"size_bytes": 1, "sha256": ""}),
])
def test_tampered_metadata_is_no_mark(tmp_path, make_features, place, value):
    store = FeatureStore(tmp_path, "save_numpy")
    store.write("a", make_features())
    for name in ("b_clip.npy", "a_extra.npy"):
        (tmp_path / name).write_bytes(b"x")
    content = inside = json.loads((tmp_path / "a_meta.json").read_text())
    for name in place[:-1]:
        inside = inside[name]
    inside[place[-1]] = value
    (tmp_path / "a_meta.json").write_text(json.dumps(content))
    assert store.mark("a") is None


def test_a_folder_in_the_place_of_a_file(store, make_features):
    (store.folder / "a_meta.json").mkdir()
    (store.folder / "a.h5").mkdir()
    assert store.mark("a") is None
    with pytest.raises(OSError, match=r"a_meta|a\.h5"):
        store.write("a", make_features())


def test_another_version_s_features_are_not_half_written(store, make_features):
    store.write("a", make_features())
    if (store.folder / "a.h5").exists():
        with h5py.File(store.folder / "a.h5", "r+") as file:
            file.attrs["clipreel"] = str(file.attrs["clipreel"]).replace('"schema_version": 1', '"schema_version": 2')
    else:
        meta = store.folder / "a_meta.json"
        meta.write_text(meta.read_text().replace('"schema_version": 1', '"schema_version": 2'))
    with pytest.raises(StoredDataError, match="another version of clipreel"):
        store.mark("a")


def test_arrays_that_are_not_what_the_metadata_says(tmp_path, make_features):
    store = FeatureStore(tmp_path, "save_numpy")
    store.write("a", make_features(rows=3, dim=4))
    np.save(tmp_path / "a_clip.npy", make_features(rows=3, dim=4).features.view(np.int32))
    with pytest.raises(StoredDataError, match="int32"):
        store.read("a")


@pytest.mark.parametrize("harm", ["attribute gone", "dataset gone", "dataset smaller", "dataset a group", "attribute a number"])
def test_hdf5_files_of_others(tmp_path, make_features, harm):
    store = FeatureStore(tmp_path, "save_hdf5")
    store.write("a", make_features())
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        if harm == "attribute gone":
            del file.attrs["clipreel"]
        elif harm == "attribute a number":
            file.attrs["clipreel"] = 3
        else:
            del file["clip"]
            if harm == "dataset smaller":
                file["clip"] = np.zeros((3, 3), np.float32)
            elif harm == "dataset a group":
                file.create_group("clip")
    assert store.mark("a") is None
    before = snapshot(tmp_path)
    if harm == "attribute gone":  # somebody's own file, a packed one perhaps
        with pytest.raises(StoredDataError, match="something else"):
            store.write("a", make_features())
        assert snapshot(tmp_path) == before


@pytest.mark.parametrize("trick", ["stored in another file", "link", "view", "fifo", "compressed", "never written"])
def test_hdf5_files_that_reach_out_or_swell_are_not_read(tmp_path, make_features, trick):
    features, other = make_features(), tmp_path / "other"
    other.mkdir()
    for folder in (tmp_path, other):
        FeatureStore(folder, "save_hdf5").write("a", features)
    shape = features.features.shape
    os.mkfifo(other / "fifo")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file["clip"]
        if trick == "stored in another file":
            file.create_dataset("clip", shape, "f4", external=[(str(other / "a.h5"), 0, features.features.nbytes)])
        elif trick in ("link", "fifo"):
            file["clip"] = h5py.ExternalLink(str(other / ("a.h5" if trick == "link" else "fifo")), "clip")
        elif trick == "view":
            layout = h5py.VirtualLayout(shape, "f4")
            layout[:] = h5py.VirtualSource(str(other / "a.h5"), "clip", shape)
            file.create_virtual_dataset("clip", layout)
        else:
            rows = 10**10
            file.create_dataset("clip", (rows, 1), "f4", chunks=(1 << 18, 1), compression="gzip" if trick == "compressed" else None)
            mark = json.loads(str(file.attrs["clipreel"]))
            mark["shape"], mark["contents"]["clip"]["size_bytes"] = [rows, 1], 4 * rows
            file.attrs["clipreel"] = json.dumps(mark)
    assert FeatureStore(tmp_path, "save_hdf5").mark("a") is None
    (tmp_path / "all").mkdir()
    with h5py.File(tmp_path / "all" / "all.h5", "w") as file:
        file["a"] = h5py.ExternalLink(str(other / ("fifo" if trick == "fifo" else "a.h5")), "/")
    for place in (tmp_path / "a.h5", tmp_path / "all"):
        with pytest.raises(StoredDataError, match="no whole features"):
            load_features(place)


# nothing in a feature file can run


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("content", [
    lambda path: pickle.dumps(Malicious(path)),
    lambda path: pickle.dumps([np.zeros(3), Malicious(path)]),
    lambda path: pickle.dumps(np.array([Malicious(path)], dtype=object)),
    lambda path: f"cposix\nmkdir\n(V{path}\ntR.".encode(),
    lambda path: f"cbuiltins\nexec\n(Vimport os; os.mkdir('{path}')\ntR.".encode(),
    lambda path: b"cnumpy\nload\n(Vx.npy\ntR.",
    lambda path: pickle.dumps({"a": 1}),
    lambda path: pickle.dumps(np.array(["x", None], dtype=object)),
    lambda path: pickle.dumps("text"),
    lambda path: b"",
    lambda path: b"\x80\x04",
    lambda path: pickle.dumps(np.zeros(300))[:-500],
])
def test_pickles_cannot_run_anything(tmp_path, content):
    store, bait = FeatureStore(tmp_path, "save_pickle"), tmp_path / "bait"
    with pytest.raises(StoredDataError, match=r"x\.pkl"):
        _load(store, tmp_path / "x.pkl", content(bait))
    assert not bait.exists()


def test_a_malicious_pickle_in_a_whole_store(tmp_path, make_features):
    """With the right size and digest too: whoever can write the pickle can write the metadata."""
    store, bait = FeatureStore(tmp_path, "save_pickle"), tmp_path / "bait"
    store.write("a", make_features())
    data, path, meta = pickle.dumps(Malicious(bait)), tmp_path / "a_clip.pkl", tmp_path / "a_meta.json"
    said = json.loads(meta.read_text())["contents"]["a_clip.pkl"]
    path.write_bytes(data.ljust(said["size_bytes"], b"."))
    for verify in (False, True):
        with pytest.raises(StoredDataError):
            store.read("a", verify=verify)
    assert not bait.exists()


def test_numpy_object_arrays_and_archives_are_refused(tmp_path):
    store, bait, path = FeatureStore(tmp_path, "save_numpy"), tmp_path / "bait", tmp_path / "x.npy"
    for save in (lambda file: np.save(file, np.array([Malicious(bait)], dtype=object), allow_pickle=True),
                 lambda file: np.savez(file, a=np.zeros(3)), lambda file: file.write(pickle.dumps(Malicious(bait))),
                 lambda file: None, lambda file: file.write(b"\x93NUMPY\x01\x00\xff\xff{")):
        with open(path, "wb") as file:
            save(file)
        with open(path, "rb") as file, pytest.raises(StoredDataError, match=r"x\.npy"):
            store.format._load(file)  # pyright: ignore[reportAttributeAccessIssue]
    assert not bait.exists()


def test_random_damage_never_gives_another_error(store, make_features):
    if store.format is FORMATS["save_hdf5"]:
        pytest.skip("the HDF5 library itself can loop for ever on bytes harmed at random")
    store.write("a", make_features())
    numbers = np.random.default_rng(5)
    for path in sorted(store.folder.iterdir()):
        whole = path.read_bytes()
        for _ in range(150):
            harmed = bytearray(whole)
            for place in numbers.integers(0, len(whole), numbers.integers(1, 8)):
                harmed[place] = numbers.integers(256)
            path.write_bytes(harmed)
            try:
                store.mark("a")
                store.read("a")
            except StoredDataError:
                pass
        path.write_bytes(whole)


# disks that fill, runs that are killed


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
    assert snapshot(tmp_path) == {"a": b"old"}


def test_two_runs_may_prepare_one_folder_at_once(store, monkeypatch):
    """The other run removes our probe before we do."""
    touch = type(store.folder).touch

    def touch_and_lose(path):
        touch(path)
        path.unlink()

    monkeypatch.setattr(type(store.folder), "touch", touch_and_lose)
    store.prepare()


# other settings, other owners


@pytest.mark.parametrize(("change", "named"), [
    ({"extraction_fps": 2.0}, "extraction_fps: 1.0 there, 2.0 now"), ({"dtype": "float16"}, "dtype: float32 there, float16 now"),
    ({"reader": "decord", "normalize": True}, "reader: pyav there, decord now; normalize: False there, True now"),
])
def test_other_settings_are_named(store, make_features, change, named):
    store.write("a", make_features())
    mark = store.mark("a")
    refuse_other_settings("a", mark, make_features().provenance.settings, store.folder)
    with pytest.raises(StoreConflictError, match="overwrite=true") as caught:
        refuse_other_settings("a", mark, make_features(**change).provenance.settings, store.folder)
    assert named in str(caught.value)
    assert isinstance(caught.value, ClipreelError)


def test_the_formats_of_separate_files_see_each_other(tmp_path, make_features):
    """Both name their mark <key>_meta.json: one must not write over another video's in the other."""
    numpy, pickled, hdf5 = (FeatureStore(tmp_path, name) for name in ("save_numpy", "save_pickle", "save_hdf5"))
    numpy.write("a", make_features())
    assert pickled.mark("a") is None
    assert pickled.occupant("a") == numpy.occupant("a") == numpy.mark("a")
    assert hdf5.occupant("a") is None
    hdf5.write("a", make_features(content_id="b" * 32))
    owner = hdf5.occupant("a")
    assert owner is not None
    assert owner.provenance.source.content_id == "b" * 32
    assert numpy.mark("a") is not None
