"""A listening socket, and uvicorn around the application: started, and stopped so that what is under way is answered."""

from __future__ import annotations

import errno
import os
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, replace
from types import FrameType

import uvicorn

from ..configs.serving_schema import SHORTEST_TOKEN, ServeConfig
from ..errors import ConfigError
from ..extract.devices import resolve_devices
from ..models.base import Encoder
from ..models.registry import load_encoder
from ..models.remote.protocol import HEALTH, TOKEN_VARIABLE, Limits
from .app import make_app
from .guards import guarded, is_loopback
from .service import EncoderService

_BODIES_AT_ONCE = 4
_KEEP_ALIVE_SECONDS = 75
_GRACE_SECONDS = 60  # for what is under way when the server is stopped
_STOPPED = (signal.SIGINT, signal.SIGTERM)


class EncoderServer:
    """Owns its socket from the beginning, so that a port in use is known before a model is loaded."""

    def __init__(self, config: ServeConfig, *, encoder: Encoder | None = None):
        """Raises ConfigError, WeightsError."""
        token = token_of(config)
        self._socket = listen(config.host, config.port)
        try:
            encoders = [encoder] if encoder is not None else _load(config)
            limits = Limits(config.max_images, config.max_texts, config.max_body_bytes, config.max_image_pixels,
                            config.queue_length)
            self.service = EncoderService(encoders, limits=limits, batch_size=config.batch_size, cache_bytes=config.cache_bytes,
                                          max_wait_seconds=config.max_wait_ms / 1000, workers=config.workers)
        except BaseException:
            self._socket.close()
            raise
        app = guarded(make_app(self.service), host=config.host, allowed_hosts=config.allowed_hosts, token=token,
                      open_paths=(HEALTH,), body_bytes=config.max_body_bytes,
                      body_bytes_at_once=_BODIES_AT_ONCE * config.max_body_bytes)
        self._uvicorn = uvicorn.Server(uvicorn.Config(
            app, lifespan="on", ws="none", log_config=None, access_log=False, server_header=False, proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS, timeout_graceful_shutdown=_GRACE_SECONDS))

    @property
    def url(self) -> str:
        host, port = self._socket.getsockname()[:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def run(self) -> None:
        """Serve until `stop`, SIGINT or SIGTERM; a second SIGINT does not wait for what is under way."""
        with _signals_after(lambda signal_number, frame: None):  # uvicorn raises them once more when it is through
            self._uvicorn.run(sockets=[self._socket])

    def stop(self) -> None:
        """From any thread; `run` returns when what is under way is answered."""
        self._uvicorn.should_exit = True

    @property
    def started(self) -> bool:
        return self._uvicorn.started

    @property
    def forced(self) -> bool:
        """Whether it was stopped without waiting."""
        return self._uvicorn.force_exit


def listen(host: str, port: int) -> socket.socket:
    """Raises ConfigError for an address that cannot be listened on."""
    try:
        family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"host={host}: is no address or name of this machine ({error})") from error
    listening = socket.socket(family, kind, number)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(2048)  # now, and not after the model is loaded: two servers must not both believe in the port
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(f"port={port}: something else listens there on {host}: stop it, or give another port= (0 takes one "
                              "that is free)") from error
        raise ConfigError(f"host={host} port={port}: cannot be listened on ({os.strerror(error.errno or 0)}); allowed are this "
                          "machine's addresses, and ports that you may use (mostly above 1023)") from error
    return listening


def token_of(config: ServeConfig) -> str | None:
    """The token that clients must say. Raises ConfigError where one is needed and lacks, or is weak."""
    token = config.encoder.token or os.environ.get(TOKEN_VARIABLE)
    if token is None:
        if not is_loopback(config.host):
            raise ConfigError(f"host={config.host}: other machines could use this server: give a token= (or ${TOKEN_VARIABLE}), "
                              f"such as {secrets.token_urlsafe(24)}, or host=127.0.0.1")
        return None
    if len(token) < SHORTEST_TOKEN or not all("!" <= letter <= "~" and letter not in "\",;\\" for letter in token):
        raise ConfigError(f"token=: allowed are {SHORTEST_TOKEN} or more letters, digits and signs without spaces, quotes, commas "
                          f"and semicolons, such as {secrets.token_urlsafe(24)}")
    return token


def _load(config: ServeConfig) -> list[Encoder]:
    """In a thread that ends: torch keeps helper threads for every thread that computes, and OpenMP lets them all wait asleep,
    not awake, when they are more than the cores. On 2 cores a picture then takes a third longer."""
    encoder = asdict(replace(config.encoder, token=None))
    with ThreadPoolExecutor(1) as passing:
        devices = passing.submit(resolve_devices, config.device_ids, config.device).result()
        return [passing.submit(load_encoder, **encoder, device=device).result() for device in devices]


@contextmanager
def _signals_after(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in _STOPPED}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
