"""`python main.py differencing` and `differencing evaluate`: what they print."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from ..configs.differencing_schema import DifferencingConfig, DifferencingEvaluateConfig

log = logging.getLogger("clipreel")
DIFFERENCES, REPORT = "differences.json", "report.html"


def run(config: DifferencingConfig) -> int:
    """Returns the exit code: 1 when some pair failed."""
    from ..extract.stage_files import write_json, write_text
    from .calls import Spending
    from .evaluate import evaluate as score
    from .report import differences_record, page
    from .run import PREDICTIONS
    from .run import run as run_all
    from .scores import console, items_csv, read_predictions, record

    done = run_all(config)
    if config.videos and done.results[0].reason is None:
        (result,) = done.results
        differences = differences_record(result)
        write_json(done.folder / DIFFERENCES, differences)
        write_text(done.folder / REPORT, page(result, done.run["judge"]))
        for one in differences["differences"]:
            confidence = "" if one["confidence"] is None else f" ({one['confidence']:.2f})"
            sys.stdout.write(f"{one['verdict'] + confidence:<28} {one['statement']}\n")
        sys.stdout.write(f"{done.folder / REPORT}\n")
    elif config.dataset and config.eval_mode == "closed" and any(result.verdicts for result in done.results):
        pairs = [result.pair for result in done.results]
        scored = score(pairs, read_predictions(str(done.folder / PREDICTIONS), pairs), "closed", "strict")
        sys.stdout.write(console(scored, "closed", "strict"))
        write_json(done.folder / "scores_strict.json", record(scored, "closed", "strict"))
        write_text(done.folder / "scores_strict.csv", items_csv(scored.items))
    local = done.localization
    if local.mean_error_seconds is not None and local.hit_rate is not None:
        sys.stdout.write(f"localization: {local.mean_error_seconds:.2f} s from the annotated frames, {100 * local.hit_rate:.1f} % "
                         f"within half a second ({local.clips} clips and differences)\n")
    calls = Spending(**done.run["calls"])
    if calls.calls or calls.cached or calls.failed:
        log.info("%s", calls)
    for key, reason in done.run["failed"].items():
        log.error("  failed: %s: %s", key, reason)
    log.info("%d of %d pairs done; %s", len(done.results) - len(done.run["failed"]), len(done.results), done.folder)
    return done.exit_code


def evaluate(config: DifferencingEvaluateConfig) -> int:
    """Returns the exit code, 0."""
    from ..extract.stage_files import prepare, write_json, write_text
    from .api import evaluate_predictions
    from .scores import console, items_csv, record

    folder = Path(config.output_path or Path(config.predictions).parent).expanduser()
    if folder.is_dir() or config.output_path:
        prepare(folder)  # before anything is paid for
    done = evaluate_predictions(config)
    sys.stdout.write(console(done, config.eval_mode, config.scoring))
    write_json(folder / f"scores_{config.scoring}.json", record(done, config.eval_mode, config.scoring))
    write_text(folder / f"scores_{config.scoring}.csv", items_csv(done.items))
    log.info("%s", folder / f"scores_{config.scoring}.json")
    return 0
