"""Taking back an analysis: what one model has stored of one video goes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from .refusal import Refusal
from .session import VideoSession

if TYPE_CHECKING:
    from .workbench import Workbench

log = logging.getLogger("clipreel")


def forget_analysis(bench: Workbench, session: VideoSession) -> dict[str, Any]:
    """The video's record afterwards. Raises Refusal while it is being analysed, or where its features are in a file of many."""
    if (job := bench.jobs.active(session.file.id, "analysis", bench.model_id)) is not None:
        raise Refusal(409, "conflict", f"{session.file.name} is {'being analysed' if job.state == 'running' else 'in the queue'}",
                      "cancel that first")
    session.forget(bench.model.identity())
    log.info("the analysis of %s was removed, as asked on the page", session.file.id)
    bench.log.append("forgotten", model_id=bench.model_id, video=session.file.id)
    bench.tell_video(session)
    return bench.video_record(session)
