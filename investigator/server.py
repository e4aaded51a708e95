"""A running investigator: its socket, its server, its address."""

from __future__ import annotations

import secrets
import socket
import threading
from typing import TYPE_CHECKING

from ..configs.investigator_schema import InvestigatorConfig
from ..errors import ConfigError, MissingExtraError
from ..models.base import Encoder

if TYPE_CHECKING:
    import uvicorn

_SHUTDOWN_SECONDS = 3
_SOCKET_BYTES = 1024  # of a message from a page: none is expected


class InvestigatorServer:
    """Bound when it is made, so that its address is known; `run` serves until it is told to stop."""

    def __init__(self, config: InvestigatorConfig, encoder: Encoder | None = None):
        """Raises ConfigError where the port is taken, MissingExtraError where a package of the extra is not installed."""
        _check_packages()
        from ..serving.guards import is_loopback
        from .app import make_app
        from .model_choice import model_choices
        from .workbench import Workbench
        from .workbenches import Workbenches

        self.loopback = is_loopback(config.host)
        self.token = None if self.loopback else config.access_token or secrets.token_urlsafe(24)
        self._socket = _bound(config.host, config.port)
        self.port = int(self._socket.getsockname()[1])
        self.workbench = Workbench(config, encoder)
        model_choices(self.workbench.config)  # wrong words are said before anything is served
        every = config.host in ("0.0.0.0", "::", "")
        self.name = socket.gethostname() if every else config.host  # by which it is called
        self._app = make_app(Workbenches(self.workbench), host=self.name, token=self.token)
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """What a person opens; it holds the token where one is asked for."""
        host = f"[{self.name}]" if ":" in self.name else self.name
        return f"http://{host}:{self.port}/" + (f"?token={self.token}" if self.token is not None else "")

    def run(self) -> None:
        """Until interrupted, or `stop` is called."""
        import uvicorn

        self._server = uvicorn.Server(uvicorn.Config(
            self._app, log_level="warning", access_log=False, timeout_graceful_shutdown=_SHUTDOWN_SECONDS, lifespan="on",
            ws="websockets-sansio", ws_max_size=_SOCKET_BYTES, ws_max_queue=4, server_header=False, date_header=False))
        self._server.run(sockets=[self._socket])

    def start(self) -> InvestigatorServer:
        """Serve in a thread; returns when requests are answered."""
        self._thread = threading.Thread(target=self.run, name="investigator", daemon=True)
        self._thread.start()
        while self._thread.is_alive() and not (self._server is not None and self._server.started):
            self._thread.join(0.01)
        return self

    def stop(self) -> None:
        if self._server is not None:
            self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(30)


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host.strip("[]"), port), family=family, backlog=128)
    except OSError as error:
        raise ConfigError(f"host={host} port={port}: cannot be listened on ({error.strerror}); give another port, or port=0 for "
                          "one that is free") from error
    return listening


def _check_packages() -> None:
    for package in ("starlette", "uvicorn", "websockets", "plotly"):
        from importlib.util import find_spec

        if find_spec(package) is None:
            raise MissingExtraError(package, "investigator", "the investigator")
