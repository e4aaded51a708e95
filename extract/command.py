"""`python main.py feature_type=…`: the run with its notes before and its report after."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ..configs.schema import ExtractConfig
from ..errors import ConfigError

log = logging.getLogger("clipreel")


def run(configs: Sequence[ExtractConfig]) -> int:
    """One run for one model or several. Returns the exit code; raises UsageError before anything is started."""
    config = configs[0]
    if len(configs) > 1 and config.on_extraction == "print":
        raise ConfigError("encoders: several models' features in one stream of prints cannot be told apart: give "
                          "on_extraction=save_numpy, save_pickle, save_hdf5 or save_webdataset")
    if config.keep_tmp_files:
        log.info("note: keep_tmp_files is not needed here: nothing temporary is kept")
    if config.dry_run:
        from .estimate import run as estimate

        return max(estimate(one) for one in configs)
    from .run import run_models

    reports = run_models(configs)
    for one, report in zip(configs, reports, strict=True):
        log.info("%s%s", f"{one.encoder.feature_type} {one.encoder.model_name}: " if len(configs) > 1 else "", report)
    return max(report.exit_code for report in reports)
