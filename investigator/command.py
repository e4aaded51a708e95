"""`python main.py investigator …`: serve until interrupted."""

from __future__ import annotations

import logging
import webbrowser
from contextlib import suppress

from ..configs.investigator_schema import InvestigatorConfig

log = logging.getLogger("clipreel")


def run(config: InvestigatorConfig) -> int:
    """Returns the exit code: 0 when it was ended by hand. Raises UsageError before anything is started."""
    from .notes import notes_of
    from .server import InvestigatorServer

    server = InvestigatorServer(config)
    for note in notes_of(server.workbench):
        log.warning("note: %s", note)
    if not server.loopback:
        log.warning("note: host=%s can be reached from other machines; who knows the address below can see the videos of %s",
                    config.host, ", ".join(str(root) for root in server.workbench.library.roots))
    log.info("the investigator is at %s (Ctrl-C ends it; what is analysed is kept)", server.url)
    if config.open_browser:
        webbrowser.open(server.url)
    with suppress(KeyboardInterrupt):  # the usual end of a server
        server.run()
    log.info("ended")
    return 0
