"""Downloads from a server on this machine that can be told to misbehave."""

from __future__ import annotations

import errno
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from pathlib import Path

import pytest
from clipreel.errors import WeightsError
from clipreel.models import download
from clipreel.models.download import cache_dir, fetch

CONTENT = bytes(range(256)) * 20_000  # 5 MB
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Site:
    """What the server does, and what was asked of it."""

    url: str = ""
    content: bytes = CONTENT
    serves_ranges: bool = True
    cuts: list[int] = field(default_factory=list)  # of the next answers, after how many bytes to hang up
    statuses: list[int] = field(default_factory=list)  # of the next answers, errors
    asked_ranges: list[str | None] = field(default_factory=list)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Site]:
    monkeypatch.setenv("CLIPREEL_CACHE", str(tmp_path / "cache"))
    made = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked = self.headers.get("Range")
            made.asked_ranges.append(asked)
            if made.statuses:
                self.send_error(made.statuses.pop(0))
                return
            start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and made.serves_ranges else 0
            if start >= len(made.content):
                self.send_error(416)
                return
            body = made.content[start:]
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(made.content) - 1}/{len(made.content)}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: made.cuts.pop(0)] if made.cuts else body)

        def log_message(self, format: str, *args: object):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}/some/weights.pt"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


def get(site: Site, sha256: str = SHA256, **changes) -> Path:
    return fetch(site.url, sha256, **{"pause_seconds": 0, **changes})


def leftovers() -> set[str]:
    return {path.name for path in cache_dir().iterdir()} - {"weights.pt.lock"}


def test_fetch_and_cache(site: Site):
    path = get(site)
    assert path == cache_dir() / "weights.pt"
    assert path.read_bytes() == CONTENT
    assert get(site) == path
    assert site.asked_ranges == [None]
    assert leftovers() == {"weights.pt"}


def test_default_cache(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("CLIPREEL_CACHE", raising=False)
    assert cache_dir() == Path.home() / ".cache" / "clipreel"


def test_cut_connections_are_resumed(site: Site):
    site.cuts = [3_000_000, 1_500_000]
    assert get(site).read_bytes() == CONTENT
    assert site.asked_ranges == [None, "bytes=3000000-", "bytes=4500000-"]


def test_resumes_after_a_kill(site: Site):
    cache_dir().mkdir()
    (cache_dir() / "weights.pt.part").write_bytes(CONTENT[:2_000_000])
    assert get(site).read_bytes() == CONTENT
    assert site.asked_ranges == ["bytes=2000000-"]


def test_killed_between_download_and_rename(site: Site):
    cache_dir().mkdir()
    (cache_dir() / "weights.pt.part").write_bytes(CONTENT)
    assert get(site).read_bytes() == CONTENT


def test_server_without_ranges_starts_again(site: Site):
    site.serves_ranges = False
    site.cuts = [3_000_000]
    assert get(site).read_bytes() == CONTENT
    assert leftovers() == {"weights.pt"}


def test_gives_up_but_keeps_what_came(site: Site):
    site.cuts = [1_000_000, 1_000_000]
    with pytest.raises(WeightsError, match="2 attempts: the connection ended after 2000000 of 5120000 bytes") as caught:
        get(site, attempts=2)
    assert site.url in str(caught.value)
    assert str(cache_dir() / "weights.pt") in str(caught.value)
    assert get(site).read_bytes() == CONTENT
    assert site.asked_ranges[-1] == "bytes=2000000-"


def test_server_error_is_tried_again(site: Site):
    site.statuses = [503]
    assert get(site).read_bytes() == CONTENT


def test_wrong_content_is_deleted(site: Site):
    site.content = b"something else"
    wrong = hashlib.sha256(site.content).hexdigest()
    with pytest.raises(WeightsError, match=f"{wrong}, expected is {SHA256}") as caught:
        get(site)
    assert site.url in str(caught.value)
    assert leftovers() == set()


def test_wrong_file_in_the_cache_is_left_and_named(site: Site):
    cache_dir().mkdir()
    (cache_dir() / "weights.pt").write_bytes(b"put here by hand")
    with pytest.raises(WeightsError, match="Delete it to have it downloaded again"):
        get(site)
    assert site.asked_ranges == []


def test_absent_file(site: Site):
    site.statuses = [404]
    with pytest.raises(WeightsError, match="the server answers 404"):
        get(site)
    assert site.asked_ranges == [None]


def test_unreachable_host(site: Site):
    with pytest.raises(WeightsError, match="no connection") as caught:
        fetch("http://127.0.0.1:9/weights.pt", SHA256, attempts=1)
    assert "elsewhere and put it at" in str(caught.value)


def test_silent_server(site: Site, monkeypatch: pytest.MonkeyPatch):
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(WeightsError, match="timed out"):
            fetch(f"http://127.0.0.1:{silent.getsockname()[1]}/weights.pt", SHA256, attempts=1, timeout_seconds=0.1)


def test_full_disk(site: Site, monkeypatch: pytest.MonkeyPatch):
    def no_room(_descriptor: int):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download.os, "fsync", no_room)
    with pytest.raises(WeightsError, match=r"No space left on device; make room there or set CLIPREEL_CACHE"):
        get(site)


def test_cache_that_is_a_file(site: Site):
    cache_dir().write_text("")
    with pytest.raises(WeightsError, match="cannot keep"):
        get(site)


def test_two_processes_download_once(site: Site):
    with get_context("spawn").Pool(2) as pool:
        paths = pool.starmap(fetch, [(site.url, SHA256)] * 2)
        pool.close()
        pool.join()
    assert [path.read_bytes() == CONTENT for path in paths] == [True, True]
    assert site.asked_ranges == [None]
