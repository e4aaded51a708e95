"""Work in the background: a queue of analyses, the latest wish first, and beside it the light work (thumbnails, copies, clips)."""

from __future__ import annotations

import itertools
import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from ..errors import ClipreelError, StoreConflictError
from .control import Control, StoppedError
from .refusal import Refusal

log = logging.getLogger("clipreel")
Kind = Literal["analysis", "proxy", "clips", "thumbnails"]
JobState = Literal["queued", "running", "paused", "done", "cancelled", "failed"]
MOST_ACTIVE = 200
_MOST_KEPT = 300
_SECONDS_BETWEEN_EVENTS = 0.25
_STOP_SECONDS = 5.0  # a batch that is being encoded is not broken off
ACTIVE = ("queued", "running", "paused")


@dataclass
class Job:
    """`work(job)` runs in the queue's thread and asks `job.control` between its steps; `changed(job)` tells of it."""

    kind: Kind
    video: str
    work: Callable[[Job], dict[str, Any] | None]
    model_id: str | None = None  # whose analysis; None: work that is the same for every model
    rank: int = 0  # of waiting analyses the highest goes first
    id: str = field(default_factory=lambda: f"j{secrets.token_hex(8)}")
    number: int = field(default_factory=itertools.count(1).__next__)  # in the order in which they were wished for
    state: JobState = "queued"
    phase: str | None = None
    done: int = 0
    total: int | None = None
    rate: float | None = None
    error: str | None = None
    do: str | None = None
    conflict: bool = False  # it failed because what is stored would have to be replaced
    result: dict[str, Any] | None = None
    control: Control = field(default_factory=Control)
    cancelled: bool = False
    held: bool = False
    idle: threading.Event = field(default_factory=threading.Event)  # no thread is at it
    told: float = 0.0
    began: float = field(default_factory=time.monotonic)
    changed: Callable[[Job], object] = lambda job: None

    def tell(self, *, now: bool = False) -> None:
        """Let the pages know, a few times a second."""
        moment = time.monotonic()
        if now or moment - self.told > _SECONDS_BETWEEN_EVENTS:
            self.told = moment
            self.changed(self)

    def advance(self, done: int) -> None:
        """For work that counts from 0 to `total` in one go."""
        self.done, elapsed = done, time.monotonic() - self.began
        self.rate = done / elapsed if done > 0 and elapsed > 0.2 else None
        self.tell()

    def record(self) -> dict[str, Any]:
        left = (self.total - self.done) / self.rate if self.total is not None and self.rate and self.state == "running" else None
        return {"id": self.id, "number": self.number, "kind": self.kind, "video": self.video, "model_id": self.model_id,
                "state": self.state, "phase": self.phase, "done": self.done, "total": self.total,
                "rate": round(self.rate, 2) if self.rate else None,
                "seconds_left": round(left, 1) if left is not None else None,
                "error": self.error, "do": self.do, "conflict": self.conflict, "result": self.result}


class JobQueue:
    """One analysis at a time; one that is wished for later runs first, and what it interrupts goes on after it."""

    def __init__(self):
        self._lock = threading.Condition()
        self._jobs: dict[str, Job] = {}
        self._ranks = itertools.count(1)
        self._closed = False
        self._threads = [threading.Thread(target=self._work, args=(kinds,), name=name, daemon=True)
                         for name, kinds in (("analysis", ("analysis",)), ("light work", ("proxy", "clips", "thumbnails")))]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job, *, first: bool = True) -> Job:
        """Queue a job; an active one of the same kind and video is returned in its place (and moved to the front). Raises
        Refusal when too many wait."""
        with self._lock:
            same = next((one for one in self._jobs.values() if one.kind == job.kind and one.video == job.video
                         and one.model_id == job.model_id and one.state in ACTIVE and one.kind != "clips"), None)
            if same is None:
                if sum(one.state in ACTIVE for one in self._jobs.values()) >= MOST_ACTIVE:
                    raise Refusal(429, "too_many", f"{MOST_ACTIVE} jobs are waiting already", "wait, or cancel some of them")
                job.idle.set()
                same = self._jobs[job.id] = job
                self._drop_old()
            if first and same.state == "queued":
                same.rank = next(self._ranks)
            if same.kind == "analysis" and same.state == "queued":
                for other in self._jobs.values():
                    if other.kind == "analysis" and other.state == "running" and other.rank < same.rank:
                        other.control.stop()  # it goes on when this one is done
            self._lock.notify_all()
        same.tell(now=True)
        return same

    def get(self, job_id: str) -> Job:
        with self._lock:
            job = self._jobs.get(job_id)
        if job is None:
            raise Refusal(404, "not_found", "there is no such job", "ask for the list of jobs")
        return job

    def all(self) -> list[Job]:
        """Active ones in the order in which they will run, then those that ended, the last first."""
        with self._lock:
            jobs = list(self._jobs.values())
        active = sorted((job for job in jobs if job.state in ACTIVE), key=lambda job: (job.state == "queued", -job.rank))
        return active + [job for job in reversed(jobs) if job.state not in ACTIVE]

    def active(self, video: str, kind: Kind | None = None, model_id: str | None = None) -> Job | None:
        """With a `model_id`, not of another model's analyses."""
        return next((job for job in self.all() if job.video == video and job.state in ACTIVE and kind in (None, job.kind)
                     and (model_id is None or job.model_id in (None, model_id))), None)

    def failed(self, kind: Kind, model_id: str) -> set[str]:
        """Videos of which the last such job failed."""
        with self._lock:
            last = {job.video: job.state for job in sorted(self._jobs.values(), key=lambda one: one.number)
                    if job.kind == kind and job.model_id == model_id}
        return {video for video, state in last.items() if state == "failed"}

    def pause(self, job: Job) -> None:
        """An analysis keeps what it has done and lets others run meanwhile. Raises Refusal for other work."""
        if job.kind != "analysis":
            raise Refusal(409, "conflict", f"work of the kind {job.kind} cannot be paused", "cancel it, and start it again later")
        self._stop(job, "paused")

    def resume(self, job: Job) -> None:
        with self._lock:
            if job.state == "paused":
                job.held, job.state, job.rank = False, "queued", next(self._ranks)
                self._lock.notify_all()
        job.tell(now=True)

    def cancel(self, job: Job) -> None:
        self._stop(job, "cancelled")

    def _stop(self, job: Job, state: Literal["paused", "cancelled"]) -> None:
        """Returns when what was done is kept, or soon before."""
        with self._lock:
            if state == "paused":
                job.held = job.state in ("queued", "running", "paused")
            else:
                job.cancelled = job.state in ACTIVE
            if job.state == "running":
                job.control.stop()
            elif job.held or job.cancelled:
                job.state = state
        job.idle.wait(_STOP_SECONDS)
        job.tell(now=True)

    def retry(self, job: Job) -> Job:
        """Once more what failed or was cancelled."""
        if job.state in ACTIVE or job.state == "done":
            return job
        return self.submit(Job(job.kind, job.video, job.work, model_id=job.model_id, changed=job.changed))

    def close(self, patience_seconds: float = 5.0) -> None:
        """End everything; what analyses have done is kept."""
        with self._lock:
            self._closed = True
            for job in self._jobs.values():
                job.control.stop()
            self._lock.notify_all()
        for thread in self._threads:
            thread.join(patience_seconds)

    def _drop_old(self) -> None:
        over = len(self._jobs) - _MOST_KEPT
        for job_id in [job.id for job in self._jobs.values() if job.state not in ACTIVE][:max(over, 0)]:
            del self._jobs[job_id]

    def _next(self, kinds: tuple[str, ...]) -> Job | None:
        with self._lock:
            while not self._closed:
                waiting = [job for job in self._jobs.values() if job.kind in kinds and job.state == "queued"]
                if waiting:
                    job = max(waiting, key=lambda one: one.rank)  # of equals the first
                    job.state, job.control, job.error, job.do, job.conflict = "running", Control(), None, None, False
                    job.cancelled = job.held = False
                    job.began = time.monotonic()
                    job.idle.clear()
                    return job
                self._lock.wait()
        return None

    def _work(self, kinds: tuple[str, ...]) -> None:
        while (job := self._next(kinds)) is not None:
            job.tell(now=True)
            state: JobState = "failed"
            try:
                job.result = job.work(job)
                state = "done"
            except StoppedError:
                state = "cancelled" if job.cancelled or self._closed else "paused" if job.held else "queued"
            except Refusal as error:
                job.error, job.do = error.message, error.do
            except StoreConflictError as error:
                job.error, job.conflict = str(error), True
                job.do = "start again with those settings or with another output_path, or replace what is stored"
            except ClipreelError as error:
                job.error, job.do = str(error), "try again when the cause is gone"
            except OSError as error:
                log.error("job %s (%s) failed", job.id, job.kind, exc_info=error)
                job.error = f"{error.filename or 'a file'} cannot be read or written ({error.strerror or error})"
                job.do = "look at the disk and try again"
            except Exception as error:  # a job that failed says so; the queue lives on
                log.error("job %s (%s) failed", job.id, job.kind, exc_info=error)
                job.error, job.do = f"{type(error).__name__}: {error}", "try again; the terminal has the details"
            with self._lock:
                job.state, job.phase = state, None if state != "queued" else job.phase
                job.idle.set()
            job.tell(now=True)
