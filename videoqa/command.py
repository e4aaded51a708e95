"""`python main.py videoqa answer` and `videoqa evaluate`: what they print."""

from __future__ import annotations

import logging
import sys

from ..configs.videoqa_schema import VideoqaAnswerConfig, VideoqaEvaluateConfig

log = logging.getLogger("clipreel")


def answer(config: VideoqaAnswerConfig) -> int:
    """Returns the exit code: 1 when some video is missing or failed."""
    from .ablation import table
    from .answer import run

    done = run(config)
    if done.ablation:
        sys.stdout.write(table(done.ablation))
    coverage = done.run["coverage"]
    percent = "" if done.accuracy is None else f", {done.accuracy:.1f} % right"
    sys.stdout.write(f"answered {coverage['answered'] + coverage['tied']} of {coverage['questions']} questions about "
                     f"{coverage['videos_answered']} of {coverage['videos']} videos{percent}\n{done.folder}\n")
    if coverage["tied"]:
        log.warning("%d questions are ties: options that look alike to the model (status `tied`; the first is given)",
                    coverage["tied"])
    if coverage["cut"]:
        log.warning("%d questions have texts that are too long for the model and were cut (`cut` in the predictions)",
                    coverage["cut"])
    for video in done.videos:
        if video.reason is not None:
            log.warning("  %s: %s", video.video.name, video.reason)
    return done.exit_code


def evaluate(config: VideoqaEvaluateConfig) -> int:
    """Returns the exit code, 0."""
    from .evaluate import run

    done = run(config)
    sys.stdout.write(done.text)
    for path in done.files:
        log.info("%s", path)
    return 0
