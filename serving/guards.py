"""What stands between the network and an application, as ASGI middleware for HTTP and for WebSockets.

Against a hostile web page in the user's own browser and the curious on the same network, not against a hostile local user:

- HostGuard: a page may point its own name at 127.0.0.1 (DNS rebinding); it cannot make the browser send another Host.
- OriginGuard: a page of another site may send us a form or open a socket; the browser says where it comes from.
- TokenGuard: whoever can reach the port must know the token.
- BodyGuard: bytes are counted as they come, whatever their header promises.

Outermost first: `guarded(app, …)` puts them in order. Needs nothing but the standard library.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import re
from collections.abc import Awaitable, Callable, Collection, Iterable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_SAFE_METHODS = {"GET", "HEAD", "OPTIONS", "TRACE"}
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")
_POLICY_VIOLATION = 1008  # a WebSocket's close code; before it is accepted, servers make it an HTTP 403


def is_loopback(host: str) -> bool:
    """Whether a name or an address to listen on is this machine's alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def guarded(app: Application, *, host: str, allowed_hosts: Iterable[str] = (), token: str | None = None,
            open_paths: Collection[str] = (), cookie: str | None = None, body_bytes: int, body_bytes_at_once: int) -> Application:
    """The application behind all guards. `host`: what the server listens on; see each guard for the rest."""
    app = BodyGuard(app, body_bytes, body_bytes_at_once)
    if token is not None:
        app = TokenGuard(app, token, open_paths=open_paths, cookie=cookie)
    return HostGuard(OriginGuard(app), [host, *allowed_hosts], any_address=not is_loopback(host))


class HostGuard:
    """Lets in requests whose Host is localhost, a loopback address or one of `names`; the port does not count.

    `any_address`: any IP address too, for servers that listen on more than loopback: a page's name cannot be one.
    """

    def __init__(self, app: Application, names: Iterable[str] = (), *, any_address: bool = False):
        self._app, self._any_address = app, any_address
        self._names = {"localhost", *(name.strip("[]").lower() for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or self._allowed(hosts := headers_of(scope, b"host")):
            await self._app(scope, receive, send)
            return
        await refuse(scope, send, 403, f"the Host {', '.join(hosts) or '(none)'} is not this server's: call it by localhost or its "
                                       "address, or start it with that name in allowed_hosts=")

    def _allowed(self, hosts: list[str]) -> bool:
        match = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if match is None:
            return False
        name = match[1].strip("[]").lower()
        if name in self._names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return self._any_address or address.is_loopback


class OriginGuard:
    """Lets in what changes nothing (GET, HEAD), and of the rest and of WebSockets what no page of another origin sends.

    Browsers say the Origin of the page; programs say none. Stands behind HostGuard, for the Host is what it compares with.
    """

    def __init__(self, app: Application):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        acts = scope["type"] == "websocket" or (scope["type"] == "http" and scope["method"] not in _SAFE_METHODS)
        if acts and not self._own(scope):
            await refuse(scope, send, 403, "this was sent by a web page of another origin, which this server does not serve")
            return
        await self._app(scope, receive, send)

    def _own(self, scope: Scope) -> bool:
        host, origins, sites = (headers_of(scope, name) for name in (b"host", b"origin", b"sec-fetch-site"))
        if any(site not in ("same-origin", "none") for site in sites):
            return False
        return not origins or (len(origins) == 1 and bool(host) and _place(origins[0]) == host[0].lower())


class TokenGuard:
    """Lets in requests with `Authorization: Bearer <token>`; paths of `open_paths` (probes) need none.

    `cookie`: browsers cannot set that header on a page or a WebSocket, so with a name given the token is also taken from that
    cookie, and `GET /path?token=…` sets it (HttpOnly, SameSite=Strict) and goes on to /path.
    """

    def __init__(self, app: Application, token: str, *, open_paths: Collection[str] = (), cookie: str | None = None):
        self._app, self._token = app, token.encode()
        self._open_paths, self._cookie = frozenset(open_paths), cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope["path"] in self._open_paths or self._known(scope):
            await self._app(scope, receive, send)
        elif self._cookie is not None and scope["type"] == "http" and scope["method"] == "GET" and (path := self._exchange(scope)):
            flags = "; Secure" if scope.get("scheme") == "https" else ""
            cookie = f"{self._cookie}={self._token.decode()}; HttpOnly; SameSite=Strict; Path=/{flags}"
            await _respond(send, 303, b"", [(b"location", path.encode()), (b"set-cookie", cookie.encode()),
                                            (b"cache-control", b"no-store"), (b"referrer-policy", b"no-referrer")])
        else:
            way = "Authorization: Bearer <token>"
            if self._cookie is not None:
                way += ", or in a browser the address with ?token= that it printed when it was started"
            await refuse(scope, send, 401, f"this server asks for its token: {way}",
                         [(b"www-authenticate", b"Bearer")])

    def _known(self, scope: Scope) -> bool:
        for said in headers_of(scope, b"authorization"):
            kind, _, token = said.partition(" ")
            if kind.lower() == "bearer" and self._same(token.strip()):
                return True
        if self._cookie is None:
            return False
        try:
            found = SimpleCookie("; ".join(headers_of(scope, b"cookie"))).get(self._cookie)
        except CookieError:
            return False
        return found is not None and self._same(found.value)

    def _exchange(self, scope: Scope) -> str | None:
        """The path without the token, when it was the right one."""
        query = parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        if not any(name == "token" and self._same(value) for name, value in query):
            return None
        rest = urlencode([(name, value) for name, value in query if name != "token"])
        return "/" + scope["path"].lstrip("/") + (f"?{rest}" if rest else "")  # one slash: two would name another host

    def _same(self, token: str) -> bool:
        return hmac.compare_digest(token.encode("latin-1", "replace"), self._token)


class BodyGuard:
    """Refuses bodies above `body_bytes`, and more than `body_bytes_at_once` under way together.

    Counted as they come. A body of which nothing comes for `patience_seconds` is given up.
    """

    def __init__(self, app: Application, body_bytes: int, body_bytes_at_once: int, patience_seconds: float = 30.0):
        self._app, self._most, self._most_at_once = app, body_bytes, body_bytes_at_once
        self._patience, self._held = patience_seconds, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        promised = headers_of(scope, b"content-length")
        if promised and promised[0].isdecimal() and int(promised[0]) > self._most:
            await self._too_large(scope, send)
            return
        counted, whole, answered, refusal = 0, False, False, 0

        async def counting() -> Message:
            nonlocal counted, whole, refusal
            try:
                message = await (receive() if whole else asyncio.wait_for(receive(), self._patience))
            except asyncio.TimeoutError:
                refusal = 408
                raise _GivenUp from None
            if message["type"] == "http.request":
                size = len(message.get("body", b""))
                counted, self._held = counted + size, self._held + size
                whole = not message.get("more_body", False)
                refusal = 413 if counted > self._most else 503 if self._held > self._most_at_once else 0
                if refusal:
                    raise _GivenUp
            return message

        async def noting(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            await self._app(scope, counting, noting)
        except _GivenUp:
            if answered:
                raise
            if refusal == 413:
                await self._too_large(scope, send)
            elif refusal == 503:
                await refuse(scope, send, 503, "too many bytes are under way already: send this again in a moment",
                             [(b"retry-after", b"1")])
            else:
                await refuse(scope, send, 408, f"no more of the body came for {self._patience:g} seconds")
        finally:
            self._held -= counted

    async def _too_large(self, scope: Scope, send: Send) -> None:
        await refuse(scope, send, 413, f"the body is larger than {self._most} bytes: send less at once")


class _GivenUp(BaseException):
    """Ends the application's reading; no handler of its own may take it for an error of its own."""


async def refuse(scope: Scope, send: Send, status: int, sentence: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """`{"error": sentence}`; a WebSocket that is not accepted yet is closed."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": sentence[:120]})
        return
    # What is left of the body is not read: the connection ends here.
    await _respond(send, status, json.dumps({"error": sentence}).encode(),
                   [(b"content-type", b"application/json"), (b"connection", b"close"), *headers])


def headers_of(scope: Scope, name: bytes) -> list[str]:
    """Every value of a header, as it came."""
    return [value.decode("latin-1").strip() for key, value in scope["headers"] if key.lower() == name]


async def _respond(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [length, *headers]})
    await send({"type": "http.response.body", "body": body})


def _place(origin: str) -> str | None:
    """host:port of an origin; None for `null` and what is none."""
    parts = urlsplit(origin)
    return parts.netloc.lower() if parts.scheme in ("http", "https") and parts.netloc else None
