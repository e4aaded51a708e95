"""All videos under the roots: lists, search, a batch."""

import time

from clipreel.tests.investigator.counting_encoder import CountingEncoder


def test_library_lists_finds_and_searches(start, videos, tmp_path):
    client, _ = start(roots=(str(videos),), output_path=str(tmp_path / "output"), extraction_fps=2.0)
    page = client.get("/api/videos?limit=2&offset=1").json
    assert page["total"] == 3
    assert [video["name"] for video in page["videos"]] == ["red_circle_then_blue_square.mp4", "three_scenes.mp4"]
    assert [video["name"] for video in client.get("/api/videos?find=SCENES").json["videos"]] == ["three_scenes.mp4"]
    empty = client.post("/api/search", {"queries": [client.text("a red circle")]}).json
    assert empty == {"videos_searched": 0, "not_analysed": 3, "results": []}
    jobs = client.post("/api/analyse", {"videos": "all_new"}).json["jobs"]
    assert len(jobs) == 3
    for job in jobs:
        assert client.wait(job["id"])["state"] == "done"
    counts = client.get("/api/library").json
    assert (counts["total"], counts["analysed"], counts["new"]) == (3, 3, 0)
    found = client.post("/api/search", {"queries": [client.text("a green triangle")]}).json
    assert found["videos_searched"] == 3
    assert found["results"][0]["video"]["name"] == "three_scenes.mp4" and found["results"][0]["word"] == "strong"
    assert len(found["results"][0]["strip"]) == 120 and max(found["results"][0]["strip"]) > 0.9
    both = [client.text("a red circle"), client.text("a green triangle")]
    every = client.post("/api/search", {"queries": both, "mode": "all"}).json["results"]
    some = client.post("/api/search", {"queries": both, "mode": "any"}).json["results"]
    assert every[0]["best"]["odds"] < some[0]["best"]["odds"]
    excluded = client.post("/api/search", {"queries": both[1:], "not": both[1:]}).json["results"]
    assert all(result["best"]["odds"] < 0 for result in excluded)
    assert client.get("/api/videos?state=analysed").json["total"] == 3


def test_a_batch_is_larger_than_the_queue_and_ends_at_once_when_asked(start, videos, tmp_path, tiny, monkeypatch):
    monkeypatch.setattr("clipreel.investigator.batch._MOST_QUEUED", 1)
    slow = CountingEncoder(tiny, slow=0.3)
    client, _ = start(model=slow, roots=(str(videos),), output_path=str(tmp_path / "output"), batch_size=2)
    assert len(client.post("/api/analyse", {"videos": "all_new"}).json["jobs"]) == 1
    ended = client.post("/api/jobs/cancel").json["jobs"]
    assert [job["state"] for job in ended] == ["cancelled"]
    slow.slow = 0.0
    assert len(client.post("/api/analyse", {"videos": "all_new"}).json["jobs"]) == 1
    until = time.monotonic() + 180
    while client.get("/api/library").json["analysed"] < 3:
        assert time.monotonic() < until
        time.sleep(0.05)
