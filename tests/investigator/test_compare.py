"""Results of differencing beside the two videos, corrected frames, and a second verdict."""

import json
import shutil

import numpy as np
import pytest
from clipreel import cli
from clipreel.extract.decode.index import index_video
from clipreel.sample.pairs import DESCRIPTION
from clipreel.tests.investigator.conftest import SAMPLE

PAIR = SAMPLE / "differencing"


@pytest.fixture(scope="module")
def compared(start, tmp_path_factory):
    """(client, server, id of the result, its own record) of the sample's pair."""
    folder = tmp_path_factory.mktemp("compared")
    (folder / "videos").mkdir()
    for name in ("first.mp4", "second.mp4"):
        shutil.copy(PAIR / name, folder / "videos" / name)
    assert cli.main(["differencing", f"videos=[{folder}/videos/first.mp4, {folder}/videos/second.mp4]", f"action={DESCRIPTION}",
                     f"features={PAIR}/features", "cache=replay", f"cache_path={PAIR}/answers.sqlite", "device=cpu",
                     f"output_path={folder}/output/differencing"]) == 0
    record = json.loads((folder / "output" / "differencing" / "differences" / "differences.json").read_text())
    client, server = start(roots=(str(folder / "videos"),), output_path=str(folder / "output"))
    (line,) = client.get("/api/differences").json["results"]
    assert line["videos"] == {"a": "first.mp4", "b": "second.mp4"} and line["action"] == DESCRIPTION
    return client, server, line["id"], record


def test_a_result_as_the_page_shows_it(compared):
    client, server, result, record = compared
    shown = client.get(f"/api/differences/{result}").json
    assert shown["judge"] == "clip tiny" and shown["can_rerun"] and shown["why_not"] is None
    assert [stage["name"] for stage in shown["stages"]] == [stage["name"] for stage in record["stages"]]
    for side, name in (("a", "first.mp4"), ("b", "second.mp4")):
        assert shown["videos"][side]["name"] == name
        index = index_video(server.workbench.session(shown["videos"][side]["id"]).file.path)
        times = index.times_ms(index.pts)
        for one, said in zip(shown["differences"], record["differences"], strict=True):
            assert one[f"{side}_ms"] == pytest.approx([1000 * second + times[0] for second in said[f"{side}_seconds"]])
            assert all(np.abs(times - time).min() < 1 for time in one[f"{side}_ms"])  # frames, not instants between
            assert one["answer"] == said["answer"] and not one["stale"] and not one["edited"]
        assert all(stage[side] is None or 0 <= stage[side][0] <= stage[side][1] for stage in shown["stages"])


def test_a_corrected_frame_makes_the_verdict_stale_until_it_is_judged_again(compared):
    client, _, result, _ = compared
    before = client.get(f"/api/differences/{result}").json["differences"]
    number = next(place for place, one in enumerate(before) if one["answer"] in ("a", "b"))
    one = before[number]
    address, other = f"/api/differences/{result}", "b" if one["answer"] == "a" else "a"
    same = client.post(f"{address}/rerun", {"difference": one["id"]}).json["differences"][number]
    assert (same["answer"], same["confidence"]) == (one["answer"], pytest.approx(one["confidence"], abs=1e-3))
    # the winning side is given the first frame of its video, before anything is to be seen
    changed = client.post(f"{address}/frames", {"difference": one["id"], "side": one["answer"], "times_ms": [0.0]}).json
    row = changed["differences"][number]
    assert row["stale"] and row["edited"] and row[f"{one['answer']}_ms"] == [0.0] and row[f"{other}_ms"] == one[f"{other}_ms"]
    assert client.get(address).json["differences"][number]["stale"]  # kept
    again = client.post(f"{address}/rerun", {"difference": one["id"]}).json["differences"][number]
    assert not again["stale"] and again["edited"] and again["judge"] == "clip tiny"
    assert again["explanation"] != one["explanation"]
    assert [row for place, row in enumerate(client.get(address).json["differences"]) if place != number] == [
        row for place, row in enumerate(before) if place != number]


def test_results_elsewhere_and_broken_ones(compared, tmp_path):
    client, server, result, record = compared
    folder = server.workbench.output / "differencing" / "broken"
    folder.mkdir(exist_ok=True)
    for content in ("{", "[]", json.dumps({**record, "differences": [{"id": "0"}]}),
                    json.dumps({**record, "stages": [{"id": "0", "name": "x", "a": ["<"], "b": None}]})):
        (folder / "differences.json").write_text(content)
        assert client.post("/api/differences", {"path": str(folder)}).status == 422
        assert len(client.get("/api/differences").json["results"]) == 1  # the others are still listed
    (folder / "differences.json").write_text(json.dumps({**record, "videos": {"a": "/etc/passwd", "b": "second.mp4"}}))
    shown = client.post("/api/differences", {"path": str(folder / "differences.json")}).json
    assert shown["videos"]["a"] is None and shown["videos"]["b"]["name"] == "second.mp4"
    assert not shown["can_rerun"] and "not in the library" in shown["why_not"]
    assert client.post(f"/api/differences/{shown['id']}/rerun", {"difference": record["differences"][0]["id"]}).status == 409
    (folder / "differences.json").unlink()
    (tmp_path / "differences.json").write_text(json.dumps(record))
    assert client.post("/api/differences", {"path": str(tmp_path)}).status == 404
    wrong = f"/api/differences/{result}/frames"
    for content in ({"difference": "x", "side": "a", "times_ms": [0]}, {"difference": record["differences"][0]["id"], "side": "a"},
                    {"difference": record["differences"][0]["id"], "side": "c", "times_ms": [0]},
                    {"difference": record["differences"][0]["id"], "side": "a", "times_ms": ["0"]}):
        assert client.post(wrong, content).status in (400, 404)
