"""Who is let in: the guards one by one as ASGI, over real HTTP, and before a real WebSocket."""

import asyncio
import json
import socket
import threading
import time
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn
from clipreel import serve_encoder
from clipreel.serving.guards import BodyGuard, HostGuard, OriginGuard, TokenGuard, guarded, is_loopback
from clipreel.tests.serving.calls import call, texts
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

TOKEN = "a-token-for-the-tests-only"


async def inner(scope, receive, send):
    """Reads the whole body and says how long it was."""
    size, more = 0, scope["type"] == "http"
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
    else:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(size).encode()})


def ask(app, *, kind="http", method="POST", path="/x", query="", headers=(), body=(b"",), pause=0.0) -> Any:
    """(status, headers, body) of one request straight into the application; a WebSocket is 101 or 403."""
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    scope = {"type": kind, "path": path, "query_string": query.encode(), "headers": pairs, "scheme": "http"}
    if kind == "http":
        scope["method"] = method
    left, sent = list(body), []

    async def receive():
        if kind == "websocket":
            return {"type": "websocket.connect"}
        if len(left) < len(body):
            await asyncio.sleep(pause)
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    if kind == "websocket":
        return 101 if sent[0]["type"] == "websocket.accept" else 403
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


def status(app, **request):
    answer = ask(app, **request)
    return answer if isinstance(answer, int) else answer[0]


HOSTS = [("127.0.0.1:8090", True), ("localhost", True), ("LocalHost:1", True), ("[::1]:8090", True), ("127.0.0.9", True),
         ("box.lan:80", True), ("BOX.lan", True), ("evil.example", False), ("evil.example:8090", False), ("192.168.1.7", False),
         ("127.0.0.1.evil.example", False), ("localhost.evil.example", False), ("evil.example@127.0.0.1", False), ("", False),
         ("127.0.0.1:8090/x", False), ("127.0.0.1 evil", False), ("[::1", False), ("::1", False), ("0.0.0.0:8090", False),
         ("localhost:port", False), ("[2001:db8::1]", False), ("2130706433", False)]


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(("host", "let_in"), HOSTS)
def test_hosts(host, let_in, kind):
    app = HostGuard(inner, ["box.lan", "127.0.0.1"])
    assert status(app, kind=kind, headers=[("host", host)]) in ((200, 101) if let_in else (403,))


def test_hosts_of_a_server_for_others():
    app = HostGuard(inner, ["0.0.0.0", "box.lan"], any_address=True)
    for host in ("192.168.1.7:8090", "[2001:db8::1]:8090", "box.lan", "localhost"):
        assert status(app, headers=[("host", host)]) == 200
    for host in ("evil.example", "2130706433", "0x7f.1"):
        assert status(app, headers=[("host", host)]) == 403
    assert status(app) == 403, "no Host at all"
    assert status(app, headers=[("host", "localhost"), ("host", "evil.example")]) == 403


@pytest.mark.parametrize(("host", "alone"), [
    ("127.0.0.1", True), ("::1", True), ("[::1]", True), ("localhost", True), ("127.8.8.8", True),
    ("0.0.0.0", False), ("::", False), ("192.168.0.1", False), ("box.lan", False)])
def test_loopback(host, alone):
    assert is_loopback(host) is alone


@pytest.mark.parametrize(("headers", "let_in"), [
    ([], True), ([("origin", "http://127.0.0.1:8090")], True), ([("origin", "HTTP://127.0.0.1:8090")], True),
    ([("origin", "https://127.0.0.1:8090"), ("sec-fetch-site", "same-origin")], True), ([("sec-fetch-site", "none")], True),
    ([("origin", "http://evil.example")], False), ([("origin", "http://127.0.0.1:3000")], False), ([("origin", "null")], False),
    ([("origin", "http://127.0.0.1")], False), ([("origin", "")], False), ([("origin", "file://")], False),
    ([("origin", "http://127.0.0.1:8090.evil.example")], False), ([("origin", "http://evil@127.0.0.1:8090")], False),
    ([("origin", "http://127.0.0.1:8090"), ("origin", "http://evil.example")], False),
    ([("sec-fetch-site", "cross-site")], False), ([("sec-fetch-site", "same-site")], False),
    ([("origin", "http://127.0.0.1:8090"), ("sec-fetch-site", "cross-site")], False),
])
def test_origins(headers, let_in):
    app, host = OriginGuard(inner), ("host", "127.0.0.1:8090")
    for request in ({"method": "POST"}, {"method": "DELETE"}, {"method": "PUT"}, {"kind": "websocket"}, {"method": "x"}):
        assert status(app, headers=[host, *headers], **request) in ((200, 101) if let_in else (403,)), request
    for method in ("GET", "HEAD"):
        assert status(app, method=method, headers=[host, *headers]) == 200


@pytest.mark.parametrize(("headers", "let_in"), [
    ([("authorization", f"Bearer {TOKEN}")], True), ([("Authorization", f"bearer  {TOKEN}")], True), ([], False),
    ([("authorization", "Bearer")], False), ([("authorization", "Bearer x")], False), ([("authorization", TOKEN)], False),
    ([("authorization", f"Basic {TOKEN}")], False), ([("authorization", f"Bearer {TOKEN}x")], False),
    ([("authorization", f"Bearer {TOKEN[:-1]}")], False), ([("authorization", "Bearer \xff")], False),
    ([("cookie", f"clipreel={TOKEN}")], False), ([("host", TOKEN)], False),
])
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_tokens(headers, let_in, kind):
    app = TokenGuard(inner, TOKEN, open_paths={"/health"})
    assert status(app, kind=kind, headers=headers) in ((200, 101) if let_in else (401, 403))
    assert status(app, path="/health", headers=headers) == 200
    assert status(app, path="/healthy", headers=headers) == (200 if let_in else 401)


def test_a_page_gets_the_token_as_a_cookie():
    app = TokenGuard(inner, TOKEN, cookie="clipreel")
    for headers, let_in in (([("cookie", f"a=b; clipreel={TOKEN}; c=d")], True), ([("cookie", "clipreel=x")], False),
                            ([("cookie", ";;=,\x00")], False)):
        for kind in ("http", "websocket"):
            assert status(app, kind=kind, headers=headers) in ((200, 101) if let_in else (401, 403))
    code, headers, _ = ask(app, method="GET", path="/page", query=f"token={TOKEN}&v=a%20b")
    assert (code, headers[b"location"]) == (303, b"/page?v=a+b")
    assert headers[b"set-cookie"] == f"clipreel={TOKEN}; HttpOnly; SameSite=Strict; Path=/".encode()
    assert ask(app, method="GET", path="//evil.example/", query=f"token={TOKEN}")[1][b"location"] == b"/evil.example/"
    assert status(app, method="GET", query="token=x") == 401
    assert status(app, method="POST", query=f"token={TOKEN}") == 401
    assert status(TokenGuard(inner, TOKEN), method="GET", query=f"token={TOKEN}") == 401


def test_bodies_are_counted_as_they_come():
    app = BodyGuard(inner, 10, 25)
    assert ask(app, body=[b"12345", b"67890"])[2] == b"10"
    assert status(app, body=[b"12345", b"678901"]) == 413
    assert status(app, headers=[("content-length", "11")], body=[b""]) == 413
    assert status(app, headers=[("content-length", "3")], body=[b"12345", b"678901"]) == 413
    assert status(app, headers=[("content-length", "x")], body=[b"123"]) == 200
    assert status(app, kind="websocket") == 101
    assert app._held == 0


def test_a_body_that_does_not_come_is_given_up():
    app = BodyGuard(inner, 10, 25, patience_seconds=0.05)
    assert status(app, body=[b"1", b"2"], pause=30) == 408
    assert status(app, body=[b"1", b"2"]) == 200
    assert app._held == 0


def test_many_bodies_at_once_are_too_many():
    entered, leave = [], asyncio.Event()

    async def holding(scope, receive, send):
        await receive()
        entered.append(scope)
        await leave.wait()
        await inner({"type": "none"}, receive, send)

    app = BodyGuard(holding, 10, 25)

    async def one(sent):
        async def receive():
            return {"type": "http.request", "body": b"1234567890"}

        async def send(message):
            sent.append(message)

        await app({"type": "http", "headers": []}, receive, send)

    async def three():
        answers = [[], [], []]
        tasks = [asyncio.ensure_future(one(sent)) for sent in answers]
        while not answers[2]:
            await asyncio.sleep(0.01)
        leave.set()
        await asyncio.gather(*tasks)
        return [sent[0]["status"] for sent in answers], dict(answers[2][0]["headers"])

    statuses, headers = asyncio.run(three())
    assert (statuses, headers[b"retry-after"], len(entered)) == ([200, 200, 503], b"1", 2)
    assert app._held == 0


def test_guards_over_http(tiny):
    with serve_encoder(tiny, port=0, token=TOKEN, allowed_hosts="box.lan") as running:
        url, port = running.url, urlsplit(running.url).port
        known = {"Authorization": f"Bearer {TOKEN}"}
        assert call(url).status == 200
        assert call(url, path="/info").status == texts(url, ["a"]).status == 401
        assert texts(url, ["a"], **known).status == 200
        assert texts(url, ["a"], Host="box.lan", **known).status == 200
        assert texts(url, ["a"], Host=f"evil.example:{port}", **known).status == 403
        assert call(url, Host="evil.example").status == 403, "probes too"
        assert texts(url, ["a"], Origin="http://evil.example", **known).status == 403
        assert texts(url, ["a"], Origin=f"http://127.0.0.1:{port}", **known).status == 200
        assert texts(url, ["a"], Sec_Fetch_Site="cross-site", **known).status == 403
        refused = texts(url, ["a"])
        assert (refused.headers["www-authenticate"], "token" in refused.error) == ("Bearer", True)
        assert not [name for name in call(url).headers if name.startswith("access-control")]


def test_a_chunked_body_has_no_way_round_the_limit(tiny):
    with serve_encoder(tiny, port=0, max_body_megabytes=0.1) as running:
        parts = urlsplit(running.url)
        with socket.create_connection((str(parts.hostname), parts.port or 0), timeout=30) as raw:
            raw.sendall(b"POST /embed HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(3):
                raw.sendall(b"c350\r\n" + bytes(50_000) + b"\r\n")
            answer = raw.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 413")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"].startswith("the body is larger than 100000 bytes")
        assert texts(running.url, ["a"]).status == 200


@contextmanager
def sockets():
    """A server with a WebSocket behind all guards, as the investigator's will stand; yields its port."""
    async def echo(socket):
        await socket.accept()
        await socket.send_text(await socket.receive_text())
        await socket.close()

    async def page(request):
        return PlainTextResponse("page")

    app = guarded(Starlette(routes=[WebSocketRoute("/ws", echo), Route("/", page)]), host="127.0.0.1", token=TOKEN,
                  cookie="clipreel", body_bytes=1000, body_bytes_at_once=4000)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="websockets-sansio"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def test_guards_before_a_real_websocket():
    with sockets() as port:
        url, cookie = f"ws://127.0.0.1:{port}/ws", {"Cookie": f"clipreel={TOKEN}"}
        origin: Any
        for headers, origin in ((cookie, f"http://127.0.0.1:{port}"), ({"Authorization": f"Bearer {TOKEN}"}, None)):
            with connect(url, additional_headers=headers, origin=origin) as opened:
                opened.send("hello")
                assert opened.recv() == "hello"
        for headers, origin, host in ((cookie, "http://evil.example", None), ({}, f"http://127.0.0.1:{port}", None),
                                      (cookie, None, "evil.example"), (cookie, "null", None)):
            with pytest.raises(InvalidStatus) as refused, \
                    connect(url if host is None else url.replace("127.0.0.1", host), additional_headers=headers, origin=origin,
                            sock=socket.create_connection(("127.0.0.1", port))):
                pass
            assert refused.value.response.status_code == 403
