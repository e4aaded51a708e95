"""Stretches of a video, and the whole of it, as files of their own."""

import pytest
from clipreel import frames_at
from clipreel.investigator.probe import probe


def test_clips_and_a_playable_copy(opened):
    client, server, video = opened
    wanted = {"segments": [{"begin_ms": 1000, "end_ms": 2000}, {"begin_ms": 6000, "end_ms": 6500}], "mode": "exact"}
    done = client.wait(client.post(f"/api/videos/{video}/clips", wanted).json["id"])
    assert done["state"] == "done", done
    first = client.get(done["result"]["clips"][0]["url"])
    assert "attachment" in first.headers["content-disposition"]
    made = server.workbench.clip_files[done["id"]][0]
    path = server.workbench.session(video).file.path
    clip, truth = frames_at(made, [0.0, 900.0]).pixels.astype(int), frames_at(path, [1000.0, 1900.0]).pixels.astype(int)
    assert abs(clip - truth).mean() < 6
    assert probe(made).duration_ms == pytest.approx(1000, abs=50)
    copied = client.wait(client.post(f"/api/videos/{video}/clips", {**wanted, "mode": "copy"}).json["id"])
    assert copied["state"] == "done" and copied["result"]["clips"][0]["begin_ms"] <= 1000
    assert "key frame" in copied["result"]["note"]
    assert client.post(f"/api/videos/{video}/clips", {"segments": [{"begin_ms": 5, "end_ms": 5}]}).status == 400
    assert client.get(f"/media/{video}/proxy").status == 404
    job = client.wait(client.post(f"/api/videos/{video}/proxy", {}).json["id"])
    assert job["state"] == "done", job
    record = client.get(f"/api/videos/{video}").json
    assert client.get(record["proxy"], range="bytes=0-9").status == 206
    (proxy,) = [one for one in server.workbench.proxy_paths(server.workbench.session(video).content_id).values() if one.is_file()]
    assert (proxy.suffix, probe(proxy).video_codec) == (".webm", "vp9")
    times = [0.0, 2000.0, 7000.0]
    assert abs(frames_at(proxy, times).pixels.astype(int) - frames_at(path, times).pixels.astype(int)).mean() < 10
