"""The page and its assets, all of this machine's own; the state a page begins with; the log's socket."""

from __future__ import annotations

import asyncio
import dataclasses
import gzip
import hashlib
import importlib.metadata
import json
from functools import cache
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from ... import __version__
from ...configs.investigator_schema import MOST_CHARACTERS, MOST_TEXTS
from ...errors import MissingExtraError
from ..assets import AssetShelf
from ..endpoint import Asked, get, post
from ..jobs import MOST_ACTIVE
from ..notes import notes_of
from .queries import UPLOAD_BYTES

HEALTH = "/healthz"
_BEAT_SECONDS = 15.0
_FOR_GOOD = "public, max-age=31536000, immutable"
_shelf = AssetShelf()
_EXAMPLES = {"tiny": ("a red circle", "a blue square", "a green triangle", "a yellow ring")}
_EVERYDAY = ("a person walking", "a close-up of a face", "a car", "text on the screen", "an animal")


def state(asked: Asked) -> dict[str, Any]:
    bench = asked.workbench
    model = bench.model.state
    return {"version": __version__, "boot": bench.log.boot, "last": bench.log.last,
            "model": dataclasses.asdict(model), "model_id": bench.model_id,
            "extraction_fps": bench.config.extraction_fps, "video": bench.first_video, "texts": list(bench.config.CLIP),
            "roots": [str(root) for root in bench.library.roots],
            "example_texts": list(_EXAMPLES.get(model.model_name, _EVERYDAY)),
            "limits": {"queries": MOST_TEXTS, "text_characters": MOST_CHARACTERS, "upload_bytes": UPLOAD_BYTES,
                       "jobs": MOST_ACTIVE},
            "differences": True, "search": "index", "notes": notes_of(bench)}


def models(asked: Asked) -> dict[str, Any]:
    """What the page may choose from; the first has no need to be named."""
    first, *others = asked.workbenches.choices()
    return {"models": [{**first.record(), "id": ""}, *(one.record() for one in others)]}


def load_again(asked: Asked) -> dict[str, Any]:
    """The page's model, where it could not be loaded."""
    asked.workbench.model.retry()
    return dataclasses.asdict(asked.workbench.model.state)


async def health(request: Request) -> Response:
    return JSONResponse({"ok": True, "boot": request.app.state.workbenches.first.log.boot}, headers={"cache-control": "no-store"})


async def page(request: Request) -> Response:
    words = _shelf.newest().page.replace('src="plotly.js"', f'src="{plotly_url()}"')
    return HTMLResponse(words, headers={"cache-control": "no-cache"})


async def asset(request: Request) -> Response:
    """One of the page's files: for good under its version's address, asked for anew each time under any other."""
    found, for_good = _shelf.get(request.path_params.get("version"), request.path_params["name"])
    if found is None:
        raise HTTPException(404)
    return Response(found.content, media_type=found.media_type, headers={"cache-control": _FOR_GOOD if for_good else "no-cache"})


async def plotly(request: Request) -> Response:
    """plotly.js out of the installed `plotly` package: that one file of it."""
    kept = {"cache-control": _FOR_GOOD, "vary": "accept-encoding"}
    whole, packed = _plotly()
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(packed, media_type="text/javascript", headers={**kept, "content-encoding": "gzip"})
    return Response(whole, media_type="text/javascript", headers=kept)


def plotly_url() -> str:
    return f"/plotly.js?v={hashlib.sha256(str(plotly_file()).encode()).hexdigest()[:4]}{importlib.metadata.version('plotly')}"


def plotly_file() -> Path:
    """Raises MissingExtraError."""
    try:
        root = importlib.metadata.distribution("plotly").locate_file("plotly/package_data/plotly.min.js")
    except importlib.metadata.PackageNotFoundError as error:
        raise MissingExtraError("plotly", "investigator", "the investigator") from error
    return Path(str(root))


@cache
def _plotly() -> tuple[bytes, bytes]:
    """(whole, gzipped)."""
    whole = plotly_file().read_bytes()
    return whole, gzip.compress(whole, 6)


async def socket(websocket: WebSocket) -> None:
    """The log from `since` on, then everything that comes. Nothing is read from the page."""
    log = websocket.app.state.workbenches.first.log
    try:
        since = int(websocket.query_params.get("since", "0"))
    except ValueError:
        since = 0
    fresh = websocket.query_params.get("boot") not in (log.boot, None, "")
    await websocket.accept()
    loop, news = asyncio.get_running_loop(), asyncio.Event()
    forget = log.listen(lambda: loop.call_soon_threadsafe(news.set))
    reader = asyncio.ensure_future(_until_gone(websocket))
    try:
        events = None if fresh else log.since(since)
        sent = since if events is not None else log.last
        await websocket.send_text(json.dumps({"kind": "hello", "boot": log.boot, "last": sent if events is None else log.last,
                                              "resync": events is None}))
        while not reader.done():
            news.clear()
            events = log.since(sent)
            if events is None:  # the page is so slow that events were dropped
                sent = log.last
                await websocket.send_text(json.dumps({"kind": "hello", "boot": log.boot, "last": sent, "resync": True}))
                continue
            for number, text in events:
                await websocket.send_text(text)
                sent = number
            waiting = asyncio.ensure_future(news.wait())
            await asyncio.wait({waiting, reader}, timeout=_BEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                waiting.cancel()
                if not reader.done():
                    await websocket.send_text('{"kind": "beat"}')
    except (WebSocketDisconnect, RuntimeError):  # RuntimeError: sent to a socket that had just closed
        pass
    finally:
        forget()
        reader.cancel()


async def _until_gone(websocket: WebSocket) -> None:
    """Reads and throws away; the server itself closes on messages that are large."""
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass


ROUTES = [
    Route("/", page, methods=["GET"]), get("/api/state", state), get("/api/models", models),
    post("/api/model/retry", load_again), Route(HEALTH, health, methods=["GET"]),
    Route("/plotly.js", plotly, methods=["GET"]), WebSocketRoute("/ws", socket),
    Route("/static/{version}/{name}", asset), Route("/static/{name}", asset),
]
