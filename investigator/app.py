"""The application: routes behind guards, and what is said to browsers about every answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ..serving.guards import Application, guarded
from .endpoint import refusal_response
from .refusal import Refusal
from .routes import analysis, compare, library, pages, queries, videos
from .workbenches import Workbenches

COOKIE = "clipreel_token"
# The hash is of the one sheet that plotly.js 4.1.1 writes into every page (its map library's); nothing else may.
_MAP_SHEET = "'sha256-ji27qzEtxXZW+7dun6UwjHXJ18e6WAin1VvNtkzIE/o='"
POLICY = (f"default-src 'none'; script-src 'self'; style-src 'self' {_MAP_SHEET}; img-src 'self' data: blob:; "
          "media-src 'self' blob:; connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; "
          "form-action 'none'; frame-ancestors 'none'")
_HEADERS = {
    b"content-security-policy": POLICY.encode(), b"x-content-type-options": b"nosniff", b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin", b"cross-origin-resource-policy": b"same-origin",
    b"permissions-policy": b"camera=(), microphone=(), geolocation=(), usb=(), payment=()", b"x-frame-options": b"DENY",
}
_BODY_BYTES = queries.UPLOAD_BYTES + 4096


def make_app(workbenches: Workbenches, *, host: str, token: str | None) -> Application:
    """The whole application. `host`: what the server is called by; `token`: what clients must know, if anything."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        workbenches.start()
        yield
        workbenches.close()

    routes = [*pages.ROUTES, *videos.ROUTES, *analysis.ROUTES, *queries.ROUTES, *library.ROUTES, *compare.ROUTES]
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: _http_error, Exception: _unexpected})
    app.state.workbenches = workbenches
    whole = guarded(app, host=host, allowed_hosts=workbenches.first.config.allowed_hosts, token=token, open_paths={pages.HEALTH},
                    cookie=COOKIE, body_bytes=_BODY_BYTES, body_bytes_at_once=4 * _BODY_BYTES)
    return _WithHeaders(whole)


class _WithHeaders:
    """Every answer, the guards' own too, carries the policy."""

    def __init__(self, app: Application):
        self._app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Callable[[], Awaitable[Any]],
                       send: Callable[[Any], Awaitable[None]]) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sending(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), *_HEADERS.items()]}
            await send(message)

        await self._app(scope, receive, sending)


async def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    words = {404: ("not_found", "there is nothing at this address"), 405: ("bad_request", "this address takes another method")}
    code, message = words.get(status, ("bad_request", str(getattr(error, "detail", "")) or "this cannot be done"))
    return refusal_response(Refusal(status, code, message))


async def _unexpected(request: Request, error: Exception) -> Response:
    return refusal_response(Refusal(500, "internal", "something failed that should not; the terminal has the details", "try again"))
