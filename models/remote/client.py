"""HTTP to an encoder server over connections that stay open; what is lost on the way is sent again."""

from __future__ import annotations

import http.client
import json
import logging
import os
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from ...errors import ConfigError, EncoderServerError
from .protocol import TOKEN_VARIABLE

TIMEOUT_SECONDS = 120.0  # for the server to load its model, and a full queue to pass
PATIENCE_SECONDS = 30.0  # how long a request is tried again
LONGEST_PAUSE_SECONDS = 10.0
_AGAIN = {429, 502, 503, 504}

log = logging.getLogger("clipreel")


@dataclass(frozen=True)
class Reply:
    """An answer. The headers' names are in small letters."""

    headers: Mapping[str, str]
    body: bytes


class Client:
    """Speaks to the server at `url` (http or https; a path before ours is kept). Safe to use from several threads."""

    def __init__(self, url: str, token: str | None = None):
        self.url, self._token = url, token or os.environ.get(TOKEN_VARIABLE)
        parts = urlsplit(url if "//" in url else f"//{url}")
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("http", "https") or not parts.hostname or port == -1 or parts.username is not None \
                or parts.query or parts.fragment:
            raise ConfigError(f"url={url}: allowed is the address of an encoder server, such as http://127.0.0.1:8090 "
                              f"(a password goes into token= or ${TOKEN_VARIABLE})")
        self._host, self._port, self._prefix = parts.hostname, port, parts.path.rstrip("/")
        self._kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()

    def close(self) -> None:
        """Let go of the connections; a later request makes new ones."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()

    def __del__(self):
        if hasattr(self, "_idle"):
            self.close()

    def request(self, method: str, path: str, body: bytes | memoryview | None = None,
                headers: Mapping[str, str] | None = None, *, patience_seconds: float | None = None) -> Reply:
        """Tries again while the server is away or busy, for `patience_seconds` (None: PATIENCE_SECONDS).

        Raises:
            ConfigError: the server refuses what is asked; it says why.
            EncoderServerError: it stays away, fails, or has another model.
        """
        patience = PATIENCE_SECONDS if patience_seconds is None else patience_seconds
        sent = dict(headers or {})
        if self._token is not None:
            sent["Authorization"] = f"Bearer {self._token}"
        give_up_at, pause = time.monotonic() + patience, 0.1
        while True:
            try:
                status, reply = self._once(method, path, body, sent)
                if status == 200:
                    return reply
                reason, asked = f"{status}: {_sentence(reply)}", _retry_after(reply)
                if status not in _AGAIN:
                    raise self._refusal(status, _sentence(reply))
            except (OSError, http.client.HTTPException) as error:
                reason, asked = str(error) or type(error).__name__, 0.0
            wait = max(asked, pause * random.uniform(0.5, 1.0))
            if time.monotonic() + wait > give_up_at:
                raise EncoderServerError(f"url={self.url}: the encoder server does not answer ({reason})")
            log.debug("%s: %s; trying again in %.1f s", self.url, reason, wait)
            time.sleep(wait)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _once(self, method: str, path: str, body: bytes | memoryview | None, headers: Mapping[str, str]) -> tuple[int, Reply]:
        with self._lock:
            kept = self._idle.pop() if self._idle else None
        if kept is not None:
            try:
                return self._over(kept, method, path, body, headers)
            except ConnectionError:
                self.close()  # it had been idle for too long, and so had the others
        fresh = self._kind(self._host, self._port, timeout=TIMEOUT_SECONDS)
        return self._over(fresh, method, path, body, headers, fresh=True)

    def _over(self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes | memoryview | None,
              headers: Mapping[str, str], *, fresh: bool = False) -> tuple[int, Reply]:
        stays_open = False
        try:
            try:
                connection.request(method, self._prefix + path, body, dict(headers))
            except (BrokenPipeError, ConnectionResetError):
                if not fresh:
                    raise
                # A server that refuses early does not read on; why it does so may have arrived.
            response = connection.getresponse()
            if response.length is None and not response.chunked:
                raise http.client.HTTPException("the answer broke off")  # inside its head, which looks like its end
            reply = Reply({name.lower(): value for name, value in response.headers.items()}, response.read())
            stays_open = not response.will_close
            return response.status, reply
        finally:
            if stays_open:
                with self._lock:
                    self._idle.append(connection)
            else:
                connection.close()

    def _refusal(self, status: int, sentence: str) -> ConfigError | EncoderServerError:
        if status == 401:
            given = "the token is not the server's" if self._token is not None else "the server asks for a token"
            return ConfigError(f"url={self.url}: {given}: give token= or ${TOKEN_VARIABLE}, as it was started with")
        if status == 409:
            return EncoderServerError(f"url={self.url}: {sentence}")
        if status < 500:
            return ConfigError(f"url={self.url}: {sentence}")
        return EncoderServerError(f"url={self.url}: the encoder server failed ({status}: {sentence})")


def _sentence(reply: Reply) -> str:
    try:
        return str(json.loads(reply.body)["error"])
    except (ValueError, KeyError, TypeError):
        return "it answers as no encoder server does"


def _retry_after(reply: Reply) -> float:
    try:
        return min(max(float(reply.headers.get("retry-after") or 0), 0.0), LONGEST_PAUSE_SECONDS)
    except ValueError:
        return 0.0
