"""`python main.py feature_type=…`: the run with its notes before and its report after."""

from __future__ import annotations

import logging

from ..configs.schema import ExtractConfig

log = logging.getLogger("clipreel")


def run(config: ExtractConfig) -> int:
    """Returns the exit code; raises UsageError before anything is started."""
    if config.tmp_path is not None or config.keep_tmp_files:
        log.info("note: tmp_path and keep_tmp_files are not needed here: nothing temporary is written")
    if config.dry_run:
        from .estimate import run as estimate

        return estimate(config)
    from .run import run as extract

    report = extract(config)
    log.info("%s", report)
    return report.exit_code
