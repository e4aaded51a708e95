"""Coarse to fine, held, cancelled, taken up again, interrupted by what is wished for later; without doing work twice."""

import time

import numpy as np
import pytest
from clipreel import extract_features, load_encoder, load_features
from clipreel.configs.schema import EncoderConfig
from clipreel.extract.decode.index import index_video
from clipreel.extract.outcome import Outcome
from clipreel.extract.run import output_folder
from clipreel.extract.store.store import FeatureStore
from clipreel.extract.videos import VideoItem
from clipreel.investigator.passes import keyframes
from clipreel.investigator.probe import probe
from clipreel.tests.investigator.coded_videos import copy_later
from clipreel.tests.investigator.conftest import SAMPLE
from clipreel.tests.investigator.counting_encoder import CountingEncoder
from clipreel.tests.viclip_small import write_small


@pytest.fixture
def slow(tiny):
    return CountingEncoder(tiny, slow=0.05)


def keys(videos, tmp_path, **more):
    return {"roots": (str(videos),), "output_path": str(tmp_path / "output"), "extraction_fps": 8.0, "batch_size": 2, "workers": 2,
            **more}


def by_name(client):
    return {video["name"]: video["id"] for video in client.get("/api/videos").json["videos"]}


def test_keyframes_come_first_at_their_true_times(start, videos, tmp_path, slow):
    path = videos / "three_scenes.mp4"
    client, _ = start(model=slow, **keys(videos, tmp_path))
    video, red = by_name(client)[path.name], client.text("a green triangle")
    index = index_video(path)
    truth = index.times_ms(index.pts[keyframes(index)])
    job = client.post(f"/api/videos/{video}/analyse").json["id"]
    while len(curve := client.curves(video, [red])[1]) < len(truth):
        time.sleep(0.005)
    header, times, _ = client.curves(video, [red])
    assert np.isin(truth, times).all()
    assert not header["complete"]
    assert client.wait(job)["state"] == "done"
    header, times, _ = client.curves(video, [red])
    assert header["complete"] and header["fine_rows"] == len(times) == 72
    assert len(curve) < len(times)
    # a keyframe that the plan wants is encoded once
    assert slow.frames == len(set(times.tolist()) | set(truth.tolist()))


def test_a_cancelled_analysis_goes_on_where_it_was(start, videos, tmp_path, tiny, slow):
    slow.reach = 20
    client, _ = start(model=slow, **keys(videos, tmp_path))
    video, red = by_name(client)["three_scenes.mp4"], client.text("a green triangle")
    job = client.post(f"/api/videos/{video}/analyse").json["id"]
    assert slow.reached.wait(180)
    client.post(f"/api/jobs/{job}/cancel")
    assert client.wait(job)["state"] == "cancelled"
    record = client.get(f"/api/videos/{video}").json
    assert record["state"] == "partial" and record["rows"] > 5
    header, _, _ = client.curves(video, [red])  # what is there can be seen
    assert not header["complete"] and header["sampled_ms"]
    assert all(begin < end for begin, end in header["sampled_ms"])
    # a killed server: another one takes it up, from what is on the disk
    again = CountingEncoder(tiny)
    other, server = start(model=again, **keys(videos, tmp_path))
    assert other.get(f"/api/videos/{video}").json["state"] == "partial"
    other.analyse(video)
    assert again.frames < 72 - 10
    assert slow.frames + again.frames <= 72 + 8  # what was on its way when it was cancelled, and coarse ones
    whole = extract_features(videos / "three_scenes.mp4", encoder=tiny, extraction_fps=8).features["three_scenes"]
    ours = load_features(server.workbench.output / "clip" / "tiny", "three_scenes")
    np.testing.assert_array_equal(ours.timestamps_ms, whole.timestamps_ms)
    np.testing.assert_allclose(ours.features, whole.features, atol=1e-5)
    assert not list((tmp_path / "output" / "investigator" / "videos").glob("*/partial-*"))


def test_pause_lets_others_run_and_resume_goes_on(start, videos, tmp_path, slow):
    slow.reach = 12
    client, _ = start(model=slow, **keys(videos, tmp_path))
    names = by_name(client)
    first = client.post(f"/api/videos/{names['three_scenes.mp4']}/analyse").json["id"]
    assert slow.reached.wait(180)
    assert client.post(f"/api/jobs/{first}/pause").json["state"] == "paused"
    client.analyse(names["moving_shapes.webm"])
    held = client.get(f"/api/jobs/{first}").json
    assert held["state"] == "paused" and 0 < held["done"] < 72
    assert client.get(f"/api/videos/{names['three_scenes.mp4']}").json["job"]["id"] == first
    client.post(f"/api/jobs/{first}/resume")
    assert client.wait(first)["state"] == "done"


def test_what_is_wished_for_later_goes_first(start, videos, tmp_path, slow):
    client, _ = start(model=slow, **keys(videos, tmp_path))
    names = by_name(client)
    two = [names["three_scenes.mp4"], names["red_circle_then_blue_square.mp4"]]
    batch = client.post("/api/analyse", {"videos": two}).json["jobs"]
    client.wait(batch[0]["id"], "running")
    wished = client.analyse(names["moving_shapes.webm"])
    states = [client.get(f"/api/jobs/{job['id']}").json["state"] for job in batch]
    assert wished["state"] == "done" and "done" not in states
    same = client.post(f"/api/videos/{names['three_scenes.mp4']}/analyse", {"first": False}).json
    assert same["id"] == batch[0]["id"]  # one job a video
    assert [client.wait(job["id"])["state"] for job in batch] == ["done", "done"]
    assert len(client.get("/api/jobs").json["jobs"]) >= 3
    assert client.get("/api/library").json["seconds_to_analyse_new"] is None


def test_again_replaces_what_is_stored(start, videos, tmp_path, tiny):
    extract_features(videos / "three_scenes.mp4", encoder=tiny, extraction_fps=1, on_extraction="save_numpy",
                     output_path=str(tmp_path / "output"))
    client, _ = start(**keys(videos, tmp_path))
    video = by_name(client)["three_scenes.mp4"]
    assert client.get(f"/api/videos/{video}").json["extraction_fps"] == 1
    client.analyse(video, again=True)
    record = client.get(f"/api/videos/{video}").json
    assert (record["extraction_fps"], record["rows"]) == (8, 72)


def test_what_is_stored_stands_until_it_is_replaced(start, videos, tmp_path, tiny):
    extract_features(videos / "three_scenes.mp4", encoder=tiny, extraction_fps=1, on_extraction="save_numpy",
                     output_path=str(tmp_path / "output"))
    slow = CountingEncoder(tiny, slow=0.1)
    slow.reach = 12
    client, _ = start(model=slow, **keys(videos, tmp_path))
    video, green = by_name(client)["three_scenes.mp4"], client.text("a green triangle")
    job = client.post(f"/api/videos/{video}/analyse", {"again": True}).json["id"]
    assert slow.reached.wait(180)
    client.post(f"/api/jobs/{job}/cancel")
    assert client.wait(job)["state"] == "cancelled"
    header, times, _ = client.curves(video, [green])
    assert header["complete"] and len(times) == 9 and header["extraction_fps"] == 1
    client.analyse(video, again=True)
    assert client.curves(video, [green])[0]["rows"] == 72


def test_a_video_that_another_run_is_at(start, videos, tmp_path, tiny, slow):
    """The command line's lease holds the investigator off, and the investigator's the command line."""
    client, server = start(model=slow, **keys(videos, tmp_path))
    session = server.workbench.session(by_name(client)["three_scenes.mp4"])
    folder = output_folder(session.config, slow.identity)
    folder.mkdir(parents=True)
    outcome = Outcome(session.config, slow.identity, FeatureStore(folder, "save_numpy"), quiet=True)
    (job,) = outcome.plan([VideoItem(str(session.file.path), session.file.path.stem)])
    outcome.begin(job)
    record = client.wait(client.post(f"/api/videos/{session.file.id}/analyse").json["id"])
    assert record["state"] == "failed" and "another run is at it" in record["error"]
    outcome.close()
    again = client.post(f"/api/jobs/{record['id']}/retry").json["id"]
    client.wait(again, "running")
    while client.get(f"/api/jobs/{again}").json["phase"] != "fine" or not list((folder / ".leases").glob("[!.]*")):
        time.sleep(0.01)
    report = extract_features(session.file.path, encoder=tiny, extraction_fps=8, on_extraction="save_numpy",
                              output_path=str(tmp_path / "output"))
    assert (report.done, report.failed) == ([], [])
    client.post(f"/api/jobs/{again}/pause")
    assert client.wait(again, "paused") and not (folder / ".leases").exists()  # held, it gives its lease back
    client.post(f"/api/jobs/{again}/resume")
    assert client.wait(again)["state"] == "done" and not (folder / ".leases").exists()


def test_a_cut_file_is_analysed_as_far_as_it_goes(start, videos, tmp_path):
    path = videos / "moving_shapes.webm"
    whole = path.read_bytes()
    path.write_bytes(whole[:len(whole) * 2 // 3])
    client, _ = start(**keys(videos, tmp_path))
    video = by_name(client)[path.name]
    client.analyse(video)
    record = client.get(f"/api/videos/{video}").json
    assert record["state"] == "analysed" and "damaged" in record["problem"] and record["rows"] > 10


def test_a_job_that_failed_can_be_tried_again(start, videos, tmp_path):
    client, _ = start(**keys(videos, tmp_path))
    video = by_name(client)["three_scenes.mp4"]
    blocked = tmp_path / "output" / "clip"
    blocked.parent.mkdir(exist_ok=True)
    blocked.write_text("a file where a folder should be")
    job = client.wait(client.post(f"/api/videos/{video}/analyse").json["id"])
    assert job["state"] == "failed" and "clip" in job["error"] and "cannot be" in job["error"] and "disk" in job["do"]
    blocked.unlink()
    assert client.wait(client.post(f"/api/jobs/{job['id']}/retry").json["id"])["state"] == "done"


def test_windows_of_frames(start, videos, tmp_path):
    weights = write_small(tmp_path / "viclip.pth")
    model = load_encoder("viclip", "custom", checkpoint=str(weights), device="cpu")
    client, _ = start(model=model, encoder=EncoderConfig("viclip", "custom", checkpoint=str(weights)),
                      **keys(videos, tmp_path, window_seconds=2.0, stride_seconds=1.0))
    video = by_name(client)["three_scenes.mp4"]
    client.analyse(video)
    header, times, scores = client.curves(video, [client.text("a dog")], "baseline")
    assert header["complete"] and times.tolist() == [1000.0 * row for row in range(8)]
    assert np.isfinite(scores).all()
    frame = client.post("/api/queries", {"video": video, "time_ms": 500}).json
    assert client.curves(video, [frame["id"]])[2].shape == (1, 8)


def test_probe_says_what_a_browser_is_asked(videos):
    said = probe(videos / "three_scenes.mp4")
    assert said.mime is not None and said.mime.startswith('video/mp4; codecs="avc1.')
    assert probe(videos / "moving_shapes.webm").mime == 'video/webm; codecs="vp09.00.40.08"'  # in MP4 "vp9" says too little


def test_sound_that_comes_before_the_picture_is_part_of_the_time(start, tmp_path):
    copy_later(SAMPLE / "blue_ring_with_tone.mp4", tmp_path / "sound_first.mkv", 1.5, "video")
    client, _ = start(video_path=str(tmp_path / "sound_first.mkv"), output_path=str(tmp_path / "output"))
    video = client.get("/api/state").json["video"]
    client.analyse(video)
    header, times, _ = client.curves(video, [client.text("a blue ring")])
    lengths = [header["duration_ms"], client.get("/api/videos").json["videos"][0]["duration_ms"]]
    assert lengths == pytest.approx([7506, 7506], abs=30) and times[0] == pytest.approx(1500, abs=30)
