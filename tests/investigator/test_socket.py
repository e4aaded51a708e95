"""The log over a real WebSocket: progress and scores as they come, and what a lost socket missed."""

import json
import time
from contextlib import ExitStack

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect


class Page:
    """What a page does: remembers the last number, and takes the log up there again."""

    def __init__(self, port):
        self.port, self.boot, self.last, self.events = port, "", 0, []

    def __enter__(self):
        self.stack = ExitStack()
        self.socket = self.stack.enter_context(connect(f"ws://127.0.0.1:{self.port}/ws?boot={self.boot}&since={self.last}"))
        self.hello = json.loads(self.socket.recv(timeout=60))
        self.boot = self.hello["boot"]
        return self

    def __exit__(self, *error):
        self.stack.close()

    def until(self, wanted, seconds=180):
        """Read until an event is wanted; returns it."""
        stop = time.monotonic() + seconds
        while time.monotonic() < stop:
            event = json.loads(self.socket.recv(timeout=seconds))
            if event["kind"] == "beat":
                continue
            assert event["seq"] == self.last + 1
            self.last = event["seq"]
            self.events.append(event)
            if wanted(event):
                return event
        raise AssertionError("it did not come")


def done(event):
    return event["kind"] == "job" and event["job"]["kind"] == "analysis" and event["job"]["state"] == "done"


@pytest.fixture
def running(start, videos, tmp_path):
    client, server = start(video_path=str(videos / "three_scenes.mp4"), output_path=str(tmp_path / "output"), extraction_fps=8.0,
                           batch_size=4)
    return client, server, client.get("/api/state").json["video"]


def test_scores_come_as_they_are_made(running):
    client, server, video = running
    red = client.text("a red circle")
    client.curves(video, [red])  # what a page does that shows the query
    with Page(server.port) as page:
        assert page.hello["resync"] is False
        client.post(f"/api/videos/{video}/analyse")
        page.until(done)
        page.until(lambda event: event["kind"] == "video")
    came = {}
    for event in page.events:
        if event["kind"] == "scores" and event["phase"] == "fine":
            assert event["video"] == video
            came |= dict(zip(event["times_ms"], event["scores"][red], strict=True))
    _, times, scores = client.curves(video, [red])
    fine = {time: score for time, score in zip(times.tolist(), scores[0].tolist(), strict=True) if time in came}
    assert len(fine) >= 0.9 * len(times)  # but for keyframes that the plan wanted too
    assert fine == {time: pytest.approx(came[time], abs=1e-3) for time in fine}
    phases = [event["job"]["phase"] for event in page.events if event["kind"] == "job"]
    assert phases.index("coarse") < phases.index("fine")
    assert {"job", "video", "scores", "sprites"} <= {event["kind"] for event in page.events}
    totals = {event["job"]["total"] for event in page.events if event["kind"] == "job" and event["job"]["phase"] == "fine"}
    assert len(times) in totals


def test_a_lost_socket_misses_nothing(running):
    client, server, video = running
    page = Page(server.port)
    with page:
        client.post(f"/api/videos/{video}/analyse")
        page.until(lambda event: event["kind"] == "job" and event["job"]["state"] == "running")
    at = page.last
    deadline = time.monotonic() + 180
    while client.get(f"/api/videos/{video}").json["state"] != "analysed":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with page:
        assert page.hello["resync"] is False and page.hello["last"] >= at
        page.until(done)  # with no number left out: `until` looks
    second = Page(server.port)
    with second:
        second.until(done)
    assert [event["seq"] for event in second.events] == list(range(1, len(second.events) + 1))


def test_another_boot_or_a_future_number_means_resync(opened):
    _, server, _ = opened
    page = Page(server.port)
    page.boot = "another"
    with page:
        assert page.hello["resync"] is True and page.hello["last"] == server.workbench.log.last
    page.last = 10**9
    with page:
        assert page.hello["resync"] is True


def test_the_server_ends_with_pages_open(start, videos, tmp_path):
    _, server = start(roots=(str(videos),), output_path=str(tmp_path / "output"))
    with Page(server.port) as page:
        began = time.monotonic()
        server.stop()
        with pytest.raises(ConnectionClosed):
            list(iter(lambda: page.socket.recv(timeout=60), None))
        assert time.monotonic() - began < 60
