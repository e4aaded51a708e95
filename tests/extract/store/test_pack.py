"""pack: per-video files of any format into one HDF5, whole or not at all."""

import os
import resource
import tracemalloc

import h5py
import pytest
from clipreel import cli, load_features
from clipreel.configs.schema import PackConfig
from clipreel.errors import StoredDataError
from clipreel.extract.store.pack import run as pack
from clipreel.extract.store.store import FORMATS, FeatureStore

KEYS = ["a", "a b", "ü 录像", "x_meta", "odd\udcff", ".hidden"]


@pytest.fixture
def folder(tmp_path, make_features):
    """Features of KEYS, of every format in turn."""
    place = tmp_path / "features"
    place.mkdir()
    for number, key in enumerate(KEYS):
        FeatureStore(place, sorted(FORMATS)[number % len(FORMATS)]).write(key, make_features(seed=number))
    return place


def test_every_format_goes_in_and_comes_out(folder, tmp_path, make_features, same, capsys):
    packed = tmp_path / "p.h5"
    assert cli.main(["pack", str(folder), str(packed)]) == 0
    assert "packed 6 videos" in capsys.readouterr().err
    for number, key in enumerate(KEYS):
        assert same(load_features(packed, key), make_features(seed=number))
    with h5py.File(packed) as file:
        assert len(file) == len(KEYS)
        group = file["a b"]
        assert isinstance(group, h5py.Group)
        assert sorted(group) == ["clip", "fps", "timestamps_ms"]
    assert cli.main(["inspect", str(packed)]) == 0
    assert "6 videos, 0 damaged" in capsys.readouterr().out
    again = tmp_path / "again.h5"
    pack(PackConfig(str(folder), str(again)))
    assert again.read_bytes() == packed.read_bytes()


def test_a_packed_file_can_be_packed_again(folder, tmp_path, make_features, same):
    packed = folder / "packed.h5"  # among what it packs
    pack(PackConfig(str(folder), str(packed)))
    FeatureStore(folder, "save_numpy").write("new", make_features(seed=9))
    pack(PackConfig(str(folder), str(folder / ".." / "features" / "packed.h5"), overwrite=True))
    assert same(load_features(packed, "new"), make_features(seed=9))
    other = tmp_path / "other.h5"
    pack(PackConfig(str(folder), str(other)))  # the same features in two files are one group
    with h5py.File(other) as file:
        assert len(file) == len(KEYS) + 1


def test_a_packed_file_is_not_taken_for_a_video_s(folder, make_features):
    packed = folder / "a.h5"
    pack(PackConfig(str(folder), str(packed), overwrite=True))
    before = packed.read_bytes()
    with pytest.raises(StoredDataError, match="something else"):
        FeatureStore(folder, "save_hdf5").write("a", make_features())
    assert packed.read_bytes() == before


@pytest.mark.parametrize("change", [{"content_id": "b" * 32}, {"extraction_fps": 2.0}])
def test_one_key_for_two_things_is_refused(folder, tmp_path, make_features, capsys, change):
    (folder / "sub").mkdir()
    FeatureStore(folder / "sub", "save_numpy").write("a", make_features(**change))
    assert cli.main(["pack", str(folder), str(tmp_path / "p.h5")]) == 2
    error = capsys.readouterr().err
    assert "under the key 'a'" in error
    assert [path.name for path in tmp_path.iterdir()] == ["features"]  # nothing half made


def test_damaged_features_are_not_packed(folder, tmp_path, capsys):
    path = next(folder.glob("*_clip.npy"))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert cli.main(["pack", str(folder), str(tmp_path / "p.h5")]) == 2
    assert path.name in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["features"]


def test_refusals(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.h5").write_bytes(b"mine")
    (tmp_path / "empty").mkdir()
    for words, part in [(["none", "p.h5"], "none is no folder"), (["features", "there.h5"], "overwrite=true"),
                        (["features", "no/p.h5"], "make it first"), (["features", "empty"], "empty is a folder"),
                        (["empty", "p.h5"], "holds no stored features"), (["features"], "needs a folder and an output")]:
        assert cli.main(["pack", *words]) == 2
        assert part in capsys.readouterr().err
    assert (tmp_path / "there.h5").read_bytes() == b"mine"
    assert cli.main(["pack", "features", "there.h5", "--overwrite"]) == 0
    assert cli.main(["pack", "--output=two.h5", "--folder", "features"]) == 0


def test_a_full_disk(tmp_path, make_features):
    FeatureStore(tmp_path, "save_numpy").write("a", make_features(rows=2000, dim=50))
    child = os.fork()
    if not child:
        status = 9
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
            status = cli.main(["pack", str(tmp_path), str(tmp_path / "p.h5")])
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
    assert not (tmp_path / "p.h5").exists()
    assert not list(tmp_path.glob(".*"))


def test_one_video_in_memory_at_a_time(tmp_path, make_features):
    store = FeatureStore(tmp_path, "save_numpy")
    for number in range(20):
        store.write(f"{number}", make_features(rows=2000, dim=128, seed=number))  # 1 MB each
    tracemalloc.start()
    pack(PackConfig(str(tmp_path), str(tmp_path / "p.h5")))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6
