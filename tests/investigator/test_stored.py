"""What other programs stored is taken in every layout but one: pickles are never opened, and stay where they are."""

import pytest
from clipreel.cli import main
from clipreel.extract.store import separate
from clipreel.tests.investigator.conftest import NAMES


@pytest.fixture
def stored(videos, tmp_path, start):
    """(client, ids by name): a video in a file of many, one as NumPy arrays, one pickled."""
    for name, words in zip(NAMES, (["on_extraction=save_numpy"], ["on_extraction=save_hdf5", "videos_per_file=5"],
                                   ["on_extraction=save_pickle"]), strict=True):
        assert main(["model_name=tiny", "device=cpu", f"video_paths={videos / name}", "extraction_fps=2",
                     f"output_path={tmp_path / 'output'}", *words]) == 0
    client, _ = start(roots=(str(videos),), output_path=str(tmp_path / "output"))
    return client, {video["name"]: video["id"] for video in client.get("/api/videos").json["videos"]}


def states(client, query=""):
    return {video["name"]: video["state"] for video in client.get(f"/api/videos?{query}").json["videos"]}


def test_files_of_many_videos_are_read_and_pickles_left_alone(stored, tmp_path, monkeypatch):
    def opened(*_):
        raise AssertionError("a pickle was opened")

    monkeypatch.setattr(separate._ArraysOnly, "load", opened)
    client, ids = stored
    folder = tmp_path / "output" / "clip" / "tiny"
    plain, many, pickled = NAMES
    assert states(client) == {plain: "analysed", many: "analysed", pickled: "new"}
    assert client.get(f"/api/videos/{ids[pickled]}").json["pickled"]
    text = client.text("a green triangle")
    header, times, _ = client.curves(ids[many], [text])
    assert header["complete"] and header["extraction_fps"] == 2 and len(times) == 18
    before = {path: path.read_bytes() for path in folder.iterdir()}
    client.analyse(ids[pickled])
    assert states(client, "state=open") == {} and {path: path.read_bytes() for path in before} == before
    client.analyse(ids[many], again=True)  # now it lies there twice: what was made last counts
    assert client.curves(ids[many], [text])[0]["extraction_fps"] == 1
    found = client.post("/api/search", {"queries": [text]}).json
    assert found["videos_searched"] == 3 and found["results"][0]["video"]["name"] == many


def test_an_analysis_is_forgotten(stored, tmp_path):
    client, ids = stored
    plain, many, _ = NAMES
    refused = client.post(f"/api/videos/{ids[many]}/forget")
    assert refused.status == 409 and "file of many videos" in refused.json["error"]["message"]
    text = client.text("a red circle")
    client.curves(ids[plain], [text])
    client.post(f"/api/videos/{ids[plain]}/marks", {"query": text, "time_ms": 500, "state": "keep"})
    assert client.post(f"/api/videos/{ids[plain]}/forget").json["state"] == "new"
    assert not list((tmp_path / "output" / "clip" / "tiny").glob(f"{plain[:3]}*"))
    assert len(client.curves(ids[plain], [text])[1]) == 0
    assert len(client.get(f"/api/videos/{ids[plain]}/marks").json["marks"]) == 1  # a person's own work
    assert client.post("/api/search", {"queries": [text]}).json["videos_searched"] == 1
    client.analyse(ids[plain])
    assert states(client, "state=analysed&longest_ms=8500") == {plain: "analysed"}
    assert client.get("/api/videos?state=bad").status == 400


def test_features_of_other_settings_are_replaced_only_when_asked(videos, tmp_path, start):
    assert main(["model_name=tiny", "device=cpu", f"video_paths={videos / NAMES[0]}", "extraction_fps=2", "crop=squash",
                 "on_extraction=save_numpy", f"output_path={tmp_path / 'output'}"]) == 0
    client, _ = start(roots=(str(videos),), output_path=str(tmp_path / "output"))
    video = next(one["id"] for one in client.get("/api/videos").json["videos"] if one["name"] == NAMES[0])
    meta = tmp_path / "output" / "clip" / "tiny" / f"{NAMES[0][:-4]}_meta.json"
    before = meta.read_bytes()
    job = client.wait(client.post(f"/api/videos/{video}/analyse").json["id"])
    assert job["state"] == "failed" and job["conflict"] and "crop: squash there" in job["error"] and "replace" in job["do"]
    assert meta.read_bytes() == before
    client.analyse(video, again=True)
    assert meta.read_bytes() != before and client.get(f"/api/videos/{video}").json["state"] == "analysed"
