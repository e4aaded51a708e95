"""The application: paths and what each answers. Guards stand before it, the service behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..models.remote.protocol import EMBED, HEALTH, INFO, MODEL_HEADER, TOKENS
from .answers import read_wanted, respond, respond_as_seed
from .contents import read_contents, read_seed_form, read_texts
from .refusal import Refusal
from .service import EncoderService


def make_app(service: EncoderService) -> Starlette:
    """`service` is started and stopped with the application."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        service.start()
        yield
        await run_in_threadpool(service.stop)

    async def embed(request: Request) -> Response:
        service.counters.requests += 1
        wanted = read_wanted(request.query_params)
        _expect_model(request, service)
        contents = await read_contents(request, service.info.limits, service.crop_shapes)
        features = await service.features(contents)
        if wanted.form == "list":  # a second of work for a million numbers
            return await service.aside(lambda: respond(features, wanted, service.info.fingerprint))
        return respond(features, wanted, service.info.fingerprint)

    async def seed(request: Request) -> Response:
        service.counters.requests += 1
        features = await service.features(await read_seed_form(request, service.info.limits))
        return await service.aside(lambda: respond_as_seed(features))

    async def tokens(request: Request) -> Response:
        service.counters.requests += 1
        _expect_model(request, service)
        texts = await read_texts(request, service.info.limits)
        return JSONResponse(await service.fits(texts.texts))

    async def info(request: Request) -> Response:
        return JSONResponse(service.to_json())

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok" if service.healthy else "failed"}, 200 if service.healthy else 503)

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)
        service.counters.refused += 1
        headers = {} if error.retry_after_seconds is None else {"Retry-After": str(error.retry_after_seconds)}
        return JSONResponse({"error": error.sentence}, error.status, headers)

    async def not_here(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        known = ", ".join(f"{'/'.join(sorted(route.methods or ()))} {route.path}" for route in routes)
        return JSONResponse({"error": f"{request.method} {request.url.path}: {error.detail}; here are {known}"}, error.status_code,
                            error.headers)

    async def failed(request: Request, error: Exception) -> Response:
        return JSONResponse({"error": f"the encoder failed: {type(error).__name__}: {error}"}, 500)

    routes = [Route(EMBED, embed, methods=["POST"]), Route(TOKENS, tokens, methods=["POST"]), Route("/", seed, methods=["POST"]),
              Route(INFO, info, methods=["GET"]), Route(HEALTH, health, methods=["GET"])]
    return Starlette(routes=routes, lifespan=lifespan,
                     exception_handlers={Refusal: refused, HTTPException: not_here, Exception: failed})


def _expect_model(request: Request, service: EncoderService) -> None:
    """A client that met another model here hears of it before its features mix with that one's."""
    expected = request.headers.get(MODEL_HEADER)
    if expected is not None and expected != service.info.fingerprint:
        served = service.info.identity
        raise Refusal(409, f"the server now has {served.feature_type} {served.model_name} (weights {served.weights_sha256[:12]}, "
                           f"{served.precision}), which is not the model that this run began with: start again to use it")
