"""One contract for every format: what is written is read, whole or not at all, and nothing in it can run."""

import json
import pickle
from itertools import combinations

import h5py
import numpy as np
import pytest
from clipreel.errors import ClipreelError, StoreConflictError, StoredDataError
from clipreel.extract.store.store import FeatureStore, refuse_other_settings
from clipreel.tests.extract.stored_files import files, loaded

KEYS = ["a", "a b", "x_meta", "a_clip", "a_timestamps", "ü 录像", "it's [1080p] #1 *?", ".hidden", "-dash", "a.mp4", "a\nb",
        "odd\udcff", "k" * 192, '"', "\\", "%s", "~"]


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
    before = files(store.folder)
    store.write("a", make_features(windows=True))
    assert files(store.folder) == before
    object.__setattr__(features, "features", np.asfortranarray(features.features))
    store.write("a", features)
    assert files(store.folder) == before


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
        array = loaded(FeatureStore(tmp_path, "save_pickle"), tmp_path / "x.pkl", one)
        assert (array == make_features().features).all()


# half written, cut, foreign


def test_nothing_there(store):
    assert store.mark("a") is None
    assert store.keys() == []
    assert not store.has("a", "")
    with pytest.raises(StoredDataError, match="run the extraction again"):
        store.read("a")


def test_a_crash_between_any_two_files_leaves_no_mark(separate, make_features, tmp_path):
    separate.write("a", make_features(windows=True))
    whole = files(tmp_path)
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
