"""The server over real HTTP, with the demonstration model and the sample's videos."""

import io
import re
import time

import numpy as np
import pytest
from clipreel import extract_features, frames_at, load_features
from clipreel.configs.schema import EncoderConfig
from PIL import Image


def test_state_and_page(opened):
    client, _, video = opened
    state = client.get("/api/state").json
    assert state["texts"] == ["a red circle"]
    assert state["video"] == video
    assert state["model"]["model_name"] == "tiny" and state["model"]["state"] == "ready"
    assert client.get("/healthz").json == {"ok": True, "boot": state["boot"]}
    page = client.get("/")
    assert page.status == 200 and "text/html" in page.headers["content-type"]
    (script,) = re.findall(r'src="(/plotly\.js\?v=[^"]+)"', page.body.decode())
    plotly = client.get(script, accept_encoding="gzip")
    assert plotly.headers["content-encoding"] == "gzip" and "immutable" in plotly.headers["cache-control"]
    assert client.get("/plotly.js").body[:2] != b"\x1f\x8b"
    modules = re.findall(r'<link rel="modulepreload" href="(static/[0-9a-f]{12}/[a-z_]+\.js)">', page.body.decode())
    named = {re.sub(".*/", "", module) for module in modules}
    scripts = "".join(client.get(f"/{module}").body.decode() for module in modules)
    imported = set(re.findall(r'from "\./([a-z_]+\.js)"', scripts))
    assert len(modules) == len(named) > 40 and imported <= named  # all at once, none twice
    found = client.get(f"/{modules[0]}")
    assert "immutable" in found.headers["cache-control"] and "text/javascript" in found.headers["content-type"]
    for path in ("/static/000000000000/first.js", "/static/first.js"):  # of another version: the newest, not to be kept
        assert client.get(path).body == found.body and client.get(path).headers["cache-control"] == "no-cache"
    assert client.get("/static/nothing.js").status == client.get("/static/first.js/..").status == 404


def test_a_folder_that_is_not_there_is_said(start, tmp_path):
    client, _ = start(roots=(str(tmp_path), str(tmp_path / "none")), output_path=str(tmp_path / "output"))
    assert client.get("/api/state").json["notes"] == [f"roots= names {tmp_path / 'none'}, and there is no such folder"]


def test_features_are_those_of_the_command_line(opened, tiny, tmp_path):
    client, server, video = opened
    session = server.workbench.session(video)
    report = extract_features(session.file.path, encoder=tiny, extraction_fps=4, on_extraction="save_numpy",
                              output_path=str(tmp_path))
    theirs = report.features["red_circle_then_blue_square"]
    ours = load_features(server.workbench.output / "clip" / "tiny", "red_circle_then_blue_square")
    np.testing.assert_allclose(ours.features, theirs.features, atol=1e-5)
    assert ours.provenance == theirs.provenance
    np.testing.assert_array_equal(ours.timestamps_ms, theirs.timestamps_ms)
    _, times, _ = client.curves(video, [client.text("a red circle")])
    np.testing.assert_array_equal(times, theirs.timestamps_ms)


def test_what_the_command_line_stored_is_taken(start, tiny, videos, tmp_path):
    extract_features(videos / "three_scenes.mp4", encoder=tiny, extraction_fps=2, on_extraction="save_hdf5",
                     output_path=str(tmp_path / "output"))
    client, _ = start(video_path=str(videos / "three_scenes.mp4"), output_path=str(tmp_path / "output"))
    other = next(one["id"] for one in client.get("/api/videos").json["videos"] if one["name"] == "moving_shapes.webm")
    assert client.get(f"/api/videos/{other}").json["state"] == "new"
    extract_features(videos / "moving_shapes.webm", encoder=tiny, extraction_fps=1, on_extraction="save_numpy",
                     output_path=str(tmp_path / "output"))
    assert client.get(f"/api/videos/{other}").json["state"] == "analysed"  # also what comes while it runs
    video = client.get("/api/state").json["video"]
    record = client.get(f"/api/videos/{video}").json
    assert record["state"] == "analysed" and record["extraction_fps"] == 2 and record["rows"] == 18
    assert client.post(f"/api/videos/{video}/analyse").json["state"] == "done"  # nothing to do
    header, times, scores = client.curves(video, [client.text("a green triangle"), client.text("a dog")])
    assert header["complete"] and len(times) == 18 and scores.shape == (2, 18)
    until = time.monotonic() + 180
    while not client.get(f"/api/videos/{video}/sprites").json["complete"]:  # made though the analysis was not ours
        assert time.monotonic() < until
        time.sleep(0.05)


def test_right_and_wrong_texts(opened):
    client, _, video = opened
    ids = [client.text(text) for text in ("a red circle", "a blue square", "a green triangle")]
    header, times, scores = client.curves(video, ids, "baseline")
    assert [query["stands_out"] for query in header["queries"]] == [True, True, False]
    assert [query["word"] for query in header["queries"]] == ["strong", "strong", "within noise"]
    assert times[scores[0].argmax()] < 4000 < times[scores[1].argmax()]
    raw_header, _, raw = client.curves(video, ids, "raw")
    assert raw.max() <= 1 and raw_header["queries"][0]["peak"] == pytest.approx(raw[0].max(), abs=1e-5)
    share = client.curves(video, ids, "share")[2]
    np.testing.assert_allclose(share.sum(axis=0), 1, atol=1e-4)
    nothing = client.get(f"/api/videos/{video}/moments?q={ids[2]}").json
    assert nothing["stands_out"] is False and len(nothing["rephrase"]) == 3
    best = client.get(f"/api/videos/{video}/moments?q={ids[0]}&count=3").json
    assert best["stands_out"] and best["moments"][0]["time_ms"] < 4000


def test_segments_marks_and_exports(opened):
    client, _, video = opened
    red, blue = client.text("a red circle"), client.text("a blue square")
    address = f"/api/videos/{video}/segments"
    (segment,) = client.post(address, {"query": red, "scale": "baseline"}).json["segments"]
    assert segment["begin_ms"] == 0 and 3000 < segment["end_ms"] < 5000 and segment["state"] is None
    both = client.post(address, {"query": red, "scale": "raw", "threshold": -1, "not": [{"query": blue, "threshold": 0}]}).json
    assert all(one["end_ms"] < 6000 or one["begin_ms"] > 6000 for one in both["segments"])
    assert both["total_ms"] < 8000
    nowhere = [{"query": client.text("a purple ring"), "threshold": 0}]  # never seen, though its cosines are above 0
    assert client.post(address, {"query": red, "scale": "raw", "threshold": -1, "not": nowhere}).json["total_ms"] == 8000
    client.post(f"/api/videos/{video}/marks", {"query": red, "time_ms": segment["peak_ms"], "state": "keep"})
    again = client.post(address, {"query": red, "scale": "baseline"}).json
    assert again["segments"][0]["state"] == "keep" and again["precision"] == 1.0
    wanted = [{"query": red, "scale": "baseline"}, {"query": blue, "scale": "baseline"}]
    for form, beginning in (("csv", b"video,query"), ("json", b"{"), ("vtt", b"WEBVTT"), ("edl", b"TITLE"), ("chapters", b"0:00")):
        answer = client.post(f"/api/videos/{video}/export", {"format": form, "queries": wanted, "only": "kept"})
        assert answer.status == 200 and answer.body.startswith(beginning)
        assert "attachment" in answer.headers["content-disposition"]
        assert (b"a red circle" in answer.body, b"a blue square" in answer.body) == (True, form == "json")
    scores = client.post(f"/api/videos/{video}/export", {"format": "csv", "what": "scores", "queries": wanted}).body.decode()
    assert scores.splitlines()[0] == "timestamps_ms,a red circle,a blue square"
    client.post(f"/api/videos/{video}/marks", {"query": red, "time_ms": segment["peak_ms"], "state": None})
    assert client.get(f"/api/videos/{video}/marks").json == {"marks": []}


def test_a_frame_and_a_picture_as_queries(opened):
    client, server, video = opened
    frame = client.post("/api/queries", {"video": video, "time_ms": 1000}).json
    assert frame["kind"] == "frame"
    scores = client.curves(video, [frame["id"]])[2]
    assert scores[0, :12].min() > scores[0, 20:].max()  # the red half looks like it, the blue half does not
    path = server.workbench.session(video).file.path
    picture = io.BytesIO()
    Image.fromarray(frames_at(path, [6000.0]).pixels[0]).save(picture, "PNG")
    image = client.send("POST", "/api/queries/image", picture.getvalue(), content_type="image/png").json
    assert client.get(image["picture"]).headers["content-type"] == "image/jpeg"
    assert client.curves(video, [image["id"]])[2][0].argmax() > 16
    assert client.post("/api/queries", {"image": image["id"]}).json["id"] == image["id"]
    for data, kind, status in ((b"GIF89a", "image/png", 400), (b"x", "text/html", 415), (b"\x89PNG\r\n\x1a\n", "image/png", 400)):
        assert client.send("POST", "/api/queries/image", data, content_type=kind).status == status


def test_the_same_text_is_the_same_query_and_is_encoded_once(start, videos, tmp_path, tiny):
    keys = {"roots": (str(videos),), "output_path": str(tmp_path / "output")}
    first = start(**keys)[0].post("/api/queries", {"text": "  a red   circle "}).json
    assert first["encode_ms"] > 0 and first["text"] == "a red circle"
    again = start(**keys)[0].post("/api/queries", {"text": "a red circle"}).json
    assert again["id"] == first["id"] and again["encode_ms"] == 0


def test_media_has_ranges(opened):
    client, server, video = opened
    data = server.workbench.session(video).file.path.read_bytes()
    whole = client.get(f"/media/{video}")
    assert whole.status == 200 and whole.body == data and whole.headers["content-type"] == "video/mp4"
    size = len(data)
    for asked, begin, end in (("bytes=0-", 0, size), ("bytes=100-199", 100, 200), ("bytes=-50", size - 50, size)):
        part = client.get(f"/media/{video}", range=asked)
        assert part.status == 206 and part.body == data[begin:end]
        assert part.headers["content-range"] == f"bytes {begin}-{end - 1}/{size}"
    assert client.get(f"/media/{video}", range=f"bytes={size}-").status == 416
    assert client.get(f"/media/{video}", range="bytes=5-2").status in (400, 416)
    assert client.get(f"/media/{video}", range="bytes=0-9", if_range='"old"').status == 200
    assert client.get(f"/media/{video}", range="bytes=0-9", if_range=whole.headers["etag"]).status == 206
    many = client.get(f"/media/{video}", range="bytes=" + ",".join(f"{n}-{n}" for n in range(0, 400, 2)))
    assert many.status in (200, 400, 416)
    head = client.send("HEAD", f"/media/{video}")
    assert head.status == 200 and head.body == b"" and head.headers["content-length"] == str(size)


def test_frames_thumbnails_and_times(opened):
    client, server, video = opened
    path = server.workbench.session(video).file.path
    for time_ms in (0.0, 1234.0, 7900.0, 1e9):
        answer = client.get(f"/api/videos/{video}/frame?time_ms={time_ms}&width=320")
        truth = frames_at(path, [time_ms])
        assert float(answer.headers["x-time-ms"]) == pytest.approx(truth.timestamps_ms[0], abs=0.01)
        shown = np.asarray(Image.open(io.BytesIO(answer.body))).astype(int)
        assert abs(shown - np.asarray(Image.fromarray(truth.pixels[0]).resize(shown.shape[1::-1])).astype(int)).mean() < 6
    times = np.frombuffer(client.get(f"/api/videos/{video}/frame_times").body, "<f8")
    assert len(times) == 200 and times[1] == 40
    sheets = client.get(f"/api/videos/{video}/sprites").json
    assert sheets["complete"] and len(sheets["times_ms"]) >= 20
    sheet = np.asarray(Image.open(io.BytesIO(client.get(sheets["sheets"][0]).body)))
    for place in (0, 9, 19):  # under its own time
        row, column = divmod(place, sheets["columns"])
        cell = sheet[row * sheets["height"]:, column * sheets["width"]:][:sheets["height"], :sheets["width"]]
        truth = Image.fromarray(frames_at(path, [sheets["times_ms"][place]]).pixels[0]).resize(cell.shape[1::-1])
        assert abs(cell.astype(int) - np.asarray(truth).astype(int)).mean() < 12
    assert client.get(f"/api/videos/{video}/sprites/99").status == 404


def test_two_videos_at_once_and_an_offset(start, videos, tmp_path):
    client, _ = start(roots=(str(videos),), output_path=str(tmp_path / "output"), extraction_fps=4.0)
    first, second = (one["id"] for one in client.get("/api/videos").json["videos"][1:])
    jobs = [client.post(f"/api/videos/{video}/analyse").json for video in (first, second)]
    for job in jobs:
        assert client.wait(job["id"])["state"] == "done"
    query = client.text("a red circle")
    assert len(client.curves(first, [query])[1]) != len(client.curves(second, [query])[1])
    same = client.get(f"/api/compare/offset?a={first}&b={first}").json
    assert same["offset_ms"] == pytest.approx(0, abs=30) and "together" in same["words"]


def test_a_changed_and_a_missing_file(start, videos, tmp_path):
    path = videos / "three_scenes.mp4"
    client, _ = start(video_path=str(path), output_path=str(tmp_path / "output"))
    video = client.get("/api/state").json["video"]
    client.analyse(video)
    assert client.get(f"/api/videos/{video}").json["state"] == "analysed"
    path.write_bytes((videos / "red_circle_then_blue_square.mp4").read_bytes())
    assert client.get(f"/api/videos/{video}").json["state"] == "changed"
    client.analyse(video)
    assert client.get(f"/api/videos/{video}").json["state"] == "analysed"
    path.unlink()
    gone = client.get(f"/api/videos/{video}")
    assert gone.status == 410 and gone.json["error"]["code"] == "gone" and str(videos) not in gone.body.decode()
    assert client.get(f"/media/{video}").status == 410


def test_no_video_and_a_damaged_one(start, videos, tmp_path):
    (videos / "broken.mp4").write_bytes(b"no video at all")
    client, _ = start(roots=(str(videos),), output_path=str(tmp_path / "output"))
    state = client.get("/api/state").json
    assert state["video"] is None and state["roots"] == [str(videos)]
    broken = next(video for video in client.get("/api/videos").json["videos"] if video["name"] == "broken.mp4")
    assert broken["state"] == "unreadable" and "broken.mp4" in broken["problem"] and str(videos) not in broken["problem"]
    job = client.wait(client.post(f"/api/videos/{broken['id']}/analyse").json["id"])
    assert job["state"] == "failed" and job["error"]


def test_wrong_requests_are_answered_in_words(opened):
    client, _, video = opened
    red = client.text("a red circle")
    for status, answer in [
        (404, client.get("/api/videos/vnothing")), (404, client.get("/nowhere")), (405, client.get("/api/search")),
        (400, client.post("/api/queries", {"text": " "})), (400, client.post("/api/queries", {"text": "x" * 301})),
        (400, client.post("/api/queries", {"text": "half an emoji: \ud83d"})),
        (400, client.post("/api/queries", {})), (400, client.post("/api/queries", {"text": 7})),
        (404, client.get(f"/api/videos/{video}/curves?q=qt0000")),
        (400, client.get(f"/api/videos/{video}/curves?q={red}&scale=mood")),
        (400, client.get(f"/api/videos/{video}/curves?q={red}&scale=share")),
        (400, client.get(f"/api/videos/{video}/curves?q={','.join(f'q{n}' for n in range(13))}")),
        (400, client.post(f"/api/videos/{video}/segments", {"query": red, "threshold": "high"})),
        (400, client.post(f"/api/videos/{video}/segments", {"query": red, "threshold": 0, "drop": -1})),
        (415, client.send("POST", "/api/search", b"queries=1", content_type="application/x-www-form-urlencoded")),
        (400, client.send("POST", "/api/search", b"{", content_type="application/json")),
        (400, client.send("POST", "/api/search", b"[" * 100_000, content_type="application/json")),
        (413, client.send("POST", "/api/search", b" " * 300_000, content_type="application/json")),
        (404, client.get("/api/jobs/j0")), (400, client.post(f"/api/videos/{video}/export", {"format": "exe"})),
        (404, client.post("/api/differences", {"path": "/etc"})), (404, client.get("/api/differences/d0")),
    ]:
        assert answer.status == status, answer.body
        assert {"code", "message", "do"} <= answer.json["error"].keys()


def test_a_model_that_cannot_be_had(start, videos, tmp_path):
    path = videos / "three_scenes.mp4"
    client, _ = start(model=None, encoder=EncoderConfig("clip", "custom", checkpoint=str(tmp_path / "none.pt")),
                      video_path=str(path), output_path=str(tmp_path / "output"))
    until = time.monotonic() + 180
    while (state := client.get("/api/state").json)["model"]["state"] == "loading":
        assert time.monotonic() < until
        time.sleep(0.05)
    assert state["model"]["state"] == "failed" and "none.pt" in state["model"]["error"] and "tiny" in state["model"]["do"]
    answer = client.post("/api/queries", {"text": "a dog"})
    assert (answer.status, answer.json["error"]["code"]) == (503, "model_failed")
    assert client.post(f"/api/videos/{state['video']}/analyse").status == 503
    record = client.get(f"/api/videos/{state['video']}").json
    assert record["state"] == "new" and record["duration_ms"] > 0  # and it plays
    assert client.get(record["media"], range="bytes=0-9").status == 206
