"""Feature files that somebody else made or harmed: nothing of them is run, or read elsewhere."""

import json
import os
import pickle

import h5py
import numpy as np
import pytest
from clipreel import load_features
from clipreel.errors import StoredDataError
from clipreel.extract.store.store import FORMATS, FeatureStore
from clipreel.tests.extract.stored_files import files, loaded


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
    before = files(tmp_path)
    if harm == "attribute gone":  # somebody's own file, a packed one perhaps
        with pytest.raises(StoredDataError, match="something else"):
            store.write("a", make_features())
        assert files(tmp_path) == before


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
        loaded(store, tmp_path / "x.pkl", content(bait))
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
