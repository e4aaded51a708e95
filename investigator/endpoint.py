"""Between Starlette and plain functions: JSON in, JSON out, refusals as answers. Functions run in threads; none blocks the loop."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..errors import ClipreelError, StoreConflictError, VideoError
from .refusal import Refusal, bad_request
from .workbench import Workbench
from .workbenches import Workbenches

log = logging.getLogger("clipreel")
JSON_BYTES = 262_144
MODEL_HEADER = "x-clipreel-model"


@dataclass(frozen=True)
class Asked:
    """A request: what its path, its query and its JSON say. Every getter raises Refusal for what is not of its kind."""

    workbench: Workbench  # of the page's model
    workbenches: Workbenches
    path: Mapping[str, str]
    query: Mapping[str, str]
    content: Mapping[str, Any]

    def text(self, name: str, default: str | None = None, *, most: int = 4096) -> str:
        value = self.content.get(name, default)
        if not isinstance(value, str) or len(value) > most or any("\ud800" <= one <= "\udfff" for one in value):  # half a character
            raise bad_request(f"{name}: allowed is a text of at most {most} characters")
        return value

    def one_of(self, name: str, allowed: tuple[str, ...], default: str | None = None) -> str:
        value = self.content.get(name, default)
        if value not in allowed:
            raise bad_request(f"{name}: allowed is {', '.join(allowed)}")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        return number_of(name, self.content.get(name, default))

    def boolean(self, name: str, default: bool) -> bool:
        value = self.content.get(name, default)
        if not isinstance(value, bool):
            raise bad_request(f"{name}: allowed is true or false")
        return value

    def ids(self, name: str, *, most: int, least: int = 0) -> list[str]:
        return ids_of(name, self.content.get(name, []), most=most, least=least)

    def objects(self, name: str, *, most: int) -> list[dict[str, Any]]:
        value = self.content.get(name, [])
        if not isinstance(value, list) or len(value) > most or not all(isinstance(one, dict) for one in value):
            raise bad_request(f"{name}: allowed is a list of at most {most} objects")
        return value

    def parameter(self, name: str, default: float, low: float, high: float) -> float:
        """A number of the query, drawn into [low, high]."""
        try:
            value = float(self.query.get(name, default))
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise bad_request(f"{name}: allowed is a number")
        return min(max(value, low), high)

    def parameter_ids(self, name: str, *, most: int, least: int = 0) -> list[str]:
        """Ids in the query, separated by commas."""
        return ids_of(name, [one for one in self.query.get(name, "").split(",") if one], most=most, least=least)


def number_of(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise bad_request(f"{name}: allowed is a number")
    return float(value)


def ids_of(name: str, value: Any, *, most: int, least: int = 0) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) and 0 < len(one) <= 64 for one in value):
        raise bad_request(f"{name}: allowed is a list of ids")
    if not least <= len(value) <= most:
        raise bad_request(f"{name}: allowed are {least} to {most} of them, not {len(value)}")
    return list(dict.fromkeys(value))


Function = Callable[[Asked], Any]


def get(path: str, function: Function) -> Route:
    return Route(path, partial(_answer, function, False), methods=["GET"])


def post(path: str, function: Function) -> Route:
    return Route(path, partial(_answer, function, True), methods=["POST"])


def workbench_of(request: Request) -> Workbench:
    """Of the model that the page has chosen; pictures, which have no headers of ours, say it in their address. Raises Refusal."""
    chosen = request.headers.get(MODEL_HEADER) or request.query_params.get("model") or ""
    return request.app.state.workbenches.of(chosen)


class Json(JSONResponse):
    """In ASCII: a file's name may hold bytes that are no text, which UTF-8 cannot write."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()


def refusal_response(error: Refusal) -> Json:
    return Json({"error": {"code": error.code, "message": error.message, "do": error.do}}, error.status)


async def _answer(function: Function, has_body: bool, request: Request) -> Response:
    try:
        content = await _json(request) if has_body else {}
        answer = await run_in_threadpool(_called, function, request, content)
    except Refusal as error:
        return refusal_response(error)
    except StoreConflictError as error:
        return refusal_response(Refusal(409, "conflict", str(error), "analyse it again, which replaces what is stored"))
    except VideoError as error:
        return refusal_response(Refusal(422, "unreadable", str(error), "make a playable copy, or choose another video"))
    except ClipreelError as error:
        return refusal_response(Refusal(400, "bad_request", str(error)))
    except OSError as error:
        log.error("%s failed", function.__name__, exc_info=error)
        return refusal_response(Refusal(500, "internal", f"a file cannot be read or written ({error.strerror})",
                                        "look at the disk and try again"))
    return answer if isinstance(answer, Response) else Json(answer, headers={"cache-control": "no-store"})


def _called(function: Function, request: Request, content: dict[str, Any]) -> Any:
    return function(Asked(workbench_of(request), request.app.state.workbenches, request.path_params, request.query_params, content))


async def _json(request: Request) -> dict[str, Any]:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refusal(415, "wrong_type", "this takes application/json", "send JSON with its content type")
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > JSON_BYTES:
            raise Refusal(413, "too_large", f"JSON of more than {JSON_BYTES} bytes", "send less at once")
    try:
        content = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise bad_request("this is no JSON") from error
    if not isinstance(content, dict):
        raise bad_request("allowed is a JSON object")
    return content
