"""inspect: what is stored, and whether it is what was written."""

import pytest
from clipreel import cli
from clipreel.extract.store.store import FeatureStore


@pytest.mark.parametrize("name", ["save_numpy", "save_pickle", "save_hdf5"])
def test_says_what_is_there(tmp_path, make_features, capsys, name):
    store = FeatureStore(tmp_path, name)
    store.write("a b", make_features(metadata={"label": "cat"}, path="/videos/a b.mp4"))
    store.write("odd\udcff", make_features(fps=float("nan"), windows=True, dtype="float16"))
    assert cli.main(["inspect", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    for part in ("a b\n", "clip [3, 4] float32", "timestamps_ms [3] float64", "fps [] float64", "clipreel 0.1.0",
                 "fps 25, times 0.000 to 666.667 ms", "/videos/a b.mp4 (96x64, 3.000 s, 1234 bytes", "model_name=tiny",
                 "extraction_fps=1.0", "f" * 64, "digests verified", "label: cat", "clip [3, 4] float16",
                 "intervals_ms [3, 2] float64", "fps nan", "2 videos, 0 damaged"):
        assert part in text, part


def test_damage_is_listed_and_the_rest_goes_on(tmp_path, make_features, capsys):
    numpy, hdf5 = FeatureStore(tmp_path, "save_numpy"), FeatureStore(tmp_path, "save_hdf5")
    for key in ("a", "changed", "cut", "z"):
        numpy.write(key, make_features())
    for key in ("cut5", "whole5"):
        hdf5.write(key, make_features())
    changed = bytearray((tmp_path / "changed_clip.npy").read_bytes())
    changed[-1] ^= 1
    (tmp_path / "changed_clip.npy").write_bytes(changed)
    for name in ("cut_fps.npy", "cut5.h5"):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-3])
    (tmp_path / "._z_meta.json").write_bytes(b"macOS")
    assert cli.main(["inspect", str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    damaged = [lines[place - 1] for place, line in enumerate(lines) if line.startswith("  DAMAGED")]
    assert sorted(damaged) == ["changed", "cut", "cut5"]
    assert lines[-1] == "6 videos, 3 damaged"
    assert any("changed_clip.npy: its content changed" in line for line in lines)


def test_one_file(tmp_path, make_features, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    FeatureStore(tmp_path, "save_numpy").write("a=b", make_features())
    for words in (["a=b_clip.npy"], ["path=a=b_meta.json"], ["--path", "a=b_fps.npy"]):
        assert cli.main(["inspect", *words]) == 0
        assert "1 videos, 0 damaged" in capsys.readouterr().out


@pytest.mark.parametrize(("words", "part"), [
    (["none"], "none: there is nothing there"), (["."], "holds no stored features"), ([], "inspect needs a path"),
    (["a", "b"], "cannot read the word 'b'"),
])
def test_nothing_to_inspect(tmp_path, monkeypatch, capsys, words, part):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["inspect", *words]) == 2
    assert part in capsys.readouterr().err
