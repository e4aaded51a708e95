"""The Python face of the encoder server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..configs.load import file_value, load_config
from ..configs.schema import EncoderConfig
from ..configs.serving_schema import ServeConfig
from ..errors import ConfigError, MissingExtraError
from ..models.base import Encoder

if TYPE_CHECKING:
    from .server import EncoderServer


@contextmanager
def serve_encoder(encoder: Encoder | None = None, **keys: Any) -> Iterator[EncoderServer]:
    """An encoder server in a thread, for as long as the block lasts; its `url` says where. Prints nothing.

    Args:
        encoder: a loaded model; then no key of the encoder may be given but token=.
        keys: the command line's keys, such as feature_type="clip", model_name="tiny", port=0.

    Raises: UsageError before anything is started.
    """
    if encoder is not None:
        named = sorted((EncoderConfig.__dataclass_fields__.keys() - {"token"} | {"device", "device_ids"}) & keys.keys())
        if named:
            raise ConfigError(f"{', '.join(named)}: already settled by the encoder that is given; leave them out")
    shipped = str(file_value(keys, "feature_type") or "clip")
    server = make_server(load_config(ServeConfig, keys, shipped=("serve", shipped)), encoder)
    thread = threading.Thread(target=server.run, daemon=True, name="encoder-server")
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.005)
    try:
        yield server
    finally:
        server.stop()
        thread.join()


def make_server(config: ServeConfig, encoder: Encoder | None = None) -> EncoderServer:
    """Listening and loaded, not yet answering. Raises MissingExtraError without the packages that serving needs."""
    try:
        import python_multipart
        import starlette
        import uvicorn
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "serving", "serve") from error
    del python_multipart, starlette, uvicorn
    from .server import EncoderServer

    return EncoderServer(config, encoder=encoder)
