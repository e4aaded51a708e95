"""Analyses and other work in the background."""

from __future__ import annotations

from typing import Any

from ..endpoint import Asked, get, post
from ..jobs import MOST_ACTIVE, Job
from .videos import session_of


def analyse(asked: Asked) -> dict[str, Any]:
    """One video, before all others unless told otherwise."""
    job = asked.workbench.analyse(session_of(asked), again=asked.boolean("again", False), first=asked.boolean("first", True))
    return job.record()


def analyse_many(asked: Asked) -> dict[str, Any]:
    """Several, behind what is wished for already."""
    bench = asked.workbench
    if asked.content.get("videos") == "all_new":
        bench.model.identity()  # or it is said that there is none
        records = [bench.brief_record(file) for file in bench.library.videos()]
        jobs = bench.batch.add(record["id"] for record in records if record["state"] in ("new", "partial", "changed"))
    else:
        videos = asked.ids("videos", most=MOST_ACTIVE // 2, least=1)
        jobs = [bench.analyse(bench.session(video), first=False) for video in videos]
    return {"jobs": [job.record() for job in jobs]}


def cancel_all(asked: Asked) -> dict[str, Any]:
    """Every analysis by this page's model, and those that would have followed."""
    asked.workbench.batch.cancel()
    return jobs(asked)


def jobs(asked: Asked) -> dict[str, Any]:
    return {"jobs": [job.record() for job in asked.workbench.jobs.all()]}


def one_job(asked: Asked) -> dict[str, Any]:
    return _job(asked).record()


def pause(asked: Asked) -> dict[str, Any]:
    asked.workbench.jobs.pause(job := _job(asked))
    return job.record()


def resume(asked: Asked) -> dict[str, Any]:
    asked.workbench.jobs.resume(job := _job(asked))
    return job.record()


def cancel(asked: Asked) -> dict[str, Any]:
    asked.workbench.jobs.cancel(job := _job(asked))
    return job.record()


def retry(asked: Asked) -> dict[str, Any]:
    return asked.workbench.jobs.retry(_job(asked)).record()


def _job(asked: Asked) -> Job:
    return asked.workbench.jobs.get(asked.path["job"])


ROUTES = [
    post("/api/videos/{video}/analyse", analyse), post("/api/analyse", analyse_many), get("/api/jobs", jobs),
    post("/api/jobs/cancel", cancel_all),
    get("/api/jobs/{job}", one_job), post("/api/jobs/{job}/pause", pause), post("/api/jobs/{job}/resume", resume),
    post("/api/jobs/{job}/cancel", cancel), post("/api/jobs/{job}/retry", retry),
]
