"""`python main.py serve`: what it says."""

from __future__ import annotations

import logging

from ..configs.serving_schema import ServeConfig
from .api import make_server

log = logging.getLogger("clipreel")


def run(config: ServeConfig) -> int:
    """Serves until ^C or SIGTERM. Returns the exit code: 0, or 130 when a second ^C cut off what was under way."""
    server = make_server(config)
    info = server.service.info
    log.info("serving %s %s (%d numbers a feature, %s) at %s; ^C stops", info.identity.feature_type, info.identity.model_name,
             info.dim, info.identity.precision, server.url)
    server.run()
    said = server.service.to_json()["counters"]
    log.info("stopped: %d requests, %d texts and %d images, %d of them from the cache, %d batches", said["requests"], said["texts"],
             said["images"], said["cached"], said["batches"])
    return 130 if server.forced else 0
