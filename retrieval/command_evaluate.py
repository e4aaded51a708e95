"""`python main.py retrieval prepare` and `retrieval evaluate`: what they print."""

from __future__ import annotations

import logging
import sys

from ..configs.retrieval_evaluate_schema import RetrievalEvaluateConfig, RetrievalPrepareConfig

log = logging.getLogger("clipreel")


def prepare(config: RetrievalPrepareConfig) -> int:
    """Returns the exit code: 1 when videos are missing."""
    from .prepare import run

    done = run(config)
    for split, path in done.splits.items():
        sys.stdout.write(f"{split}: {done.videos[split]} videos, {done.captions[split]} captions: {path}\n")
    if done.video_list is not None:
        sys.stdout.write(f"videos for file_with_video_paths=: {done.video_list}\n")
    if done.missing:
        log.warning("%d videos are missing: listed in %s", len(done.missing), done.missing_list)
    return 1 if done.missing else 0


def evaluate(config: RetrievalEvaluateConfig) -> int:
    """Returns the exit code, 0."""
    from .evaluate import run
    from .report import console

    done = run(config)
    sys.stdout.write(console(done))
    log.info("%s", done.path)
    return 0
