"""load_features: any of a video's files, its folder, or a packed file."""

import h5py
import pytest
from clipreel import load_features
from clipreel.configs.schema import PackConfig
from clipreel.errors import StoredDataError
from clipreel.extract.store.pack import run as pack
from clipreel.extract.store.store import FORMATS, FeatureStore


@pytest.mark.parametrize("name", sorted(FORMATS))
@pytest.mark.parametrize("key", ["a", "x_meta", "a_clip", "a_b c", "ü.mp4", ".hidden"])
def test_every_file_of_a_video_leads_to_it(tmp_path, make_features, same, name, key):
    features, store = make_features(windows=True), FeatureStore(tmp_path / "folder", name)
    store.prepare()
    store.write(key, features)
    for path in [tmp_path, tmp_path / "folder", *(tmp_path / "folder").iterdir()]:
        assert same(load_features(path), features), path
        assert same(load_features(str(path), key), features)
    with pytest.raises(StoredDataError, match="with key 'other'"):
        load_features(tmp_path, "other")


def test_several_videos_need_a_key(tmp_path, make_features, same):
    store = FeatureStore(tmp_path, "save_numpy")
    for number, key in enumerate(["a", "a_clip", "b"]):
        store.write(key, make_features(seed=number))
    with pytest.raises(StoredDataError, match=r"3 videos' features \(a_clip, a, b\); name one with key="):
        load_features(tmp_path)
    assert same(load_features(tmp_path, "a_clip"), make_features(seed=1))
    assert same(load_features(tmp_path / "a_clip.npy"), make_features(seed=0))  # the array of a, not the key a_clip
    assert same(load_features(tmp_path / "a_clip_clip.npy"), make_features(seed=1))
    pack(PackConfig(str(tmp_path), str(tmp_path.parent / f"{tmp_path.name}.h5")))
    packed = tmp_path.parent / f"{tmp_path.name}.h5"
    assert same(load_features(packed, "b"), make_features(seed=2))
    with pytest.raises(StoredDataError, match="holds 3 videos"):
        load_features(packed)


def test_one_key_in_two_places(tmp_path, make_features):
    for folder in ("one", "two"):
        store = FeatureStore(tmp_path / folder, "save_numpy")
        store.prepare()
        store.write("a", make_features())
    with pytest.raises(StoredDataError, match=r"one/a.*two/a.*or one file"):
        load_features(tmp_path, "a")


@pytest.mark.parametrize(("name", "part"), [("none", "nothing there"), ("none.h5", "nothing there"), ("empty", "no features"),
                                            ("x.npy", "no file of stored features"), ("x_y.txt", "no file of stored"),
                                            ("x_meta.json", "no whole features"), ("x.h5", "not a whole HDF5"),
                                            ("foreign.h5", "no whole features"), ("a_pred.csv", "no file of stored")])
def test_what_is_not_ours(tmp_path, make_features, name, part):
    FeatureStore(tmp_path, "save_numpy").write("a", make_features())
    (tmp_path / "empty").mkdir()
    for file in ("x.npy", "x_y.txt", "x_meta.json", "x.h5", "a_pred.csv"):
        (tmp_path / file).write_bytes(b"x")
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["data"] = [1, 2]
    with pytest.raises(StoredDataError, match=part) as caught:
        load_features(tmp_path / name)
    assert name.split("_")[0].removesuffix(".h5") in str(caught.value)


def test_an_orphan_is_not_another_key_s(tmp_path, make_features):
    """a_clip's own metadata is gone: its array must not pass for one of a."""
    store = FeatureStore(tmp_path, "save_numpy")
    store.write("a", make_features(seed=0))
    store.write("a_clip", make_features(seed=1))
    (tmp_path / "a_clip_meta.json").unlink()
    with pytest.raises(StoredDataError, match="no file of stored features"):
        load_features(tmp_path / "a_clip_clip.npy")
