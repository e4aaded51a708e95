"""What one model wants of the videos that are decoded, and who is told what became of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .extractor import Extractor
from .frames import DeviceFrameBatch, FrameBatch
from .job import Attempt, Candidates, Job
from .sampling import SamplingRequest
from .videos import VideoItem


class Stopped(BaseException):
    """Raised inside threads when the run is over before its time."""


@dataclass(frozen=True, eq=False)
class Lane:
    """`emit(attempt, units)`, of (unit, pixels), may block, and raise to end the thread; with `offer` it gets nothing: all
    candidate frames of a video go there at once, to be chosen from. With `neighbours` it gets so many units at once that follow
    each other in the video, or what there is of them. `begin(job)` is asked before anything is read; it may give the job
    anew, as it is to be done, and may raise.
    `finished(attempt)` and `failed(job, error)` each come once a job, unless an encoder still owes features."""

    extractor: Extractor
    request_of: Callable[[VideoItem], SamplingRequest]
    begin: Callable[[Job], Job | None]
    emit: Callable[[Attempt, list[tuple[int, Any]]], None]
    offer: Callable[[Candidates], None] | None
    finished: Callable[[Attempt], None]
    failed: Callable[[Job, Exception], None]
    neighbours: int | None = None

    def take(self, attempt: Attempt, frames: np.ndarray, crops: Any) -> None:
        """Prepared frames (their places, int64 [n]): what they complete goes on to the encoder."""
        for place, crop in zip(frames.tolist(), crops, strict=True):
            ready = attempt.complete_units(place, crop)
            if self.offer is not None:
                attempt.hold(ready)
                continue
            for units in [[one] for one in ready] if self.neighbours is None else attempt.fill(ready, self.neighbours):
                self.emit(attempt, units)

    def end_of_part(self, attempt: Attempt) -> None:
        if attempt.end_of_part():
            self.finished(attempt)
        elif self.offer is not None and (candidates := attempt.candidates()) is not None:
            self.offer(candidates)
        for units in attempt.unfilled():
            self.emit(attempt, units)


def share_out(batch: FrameBatch | DeviceFrameBatch, takers: list[tuple[Lane, Attempt]]) -> None:
    """Decoded frames to all that want them; those that see them alike share the crops."""
    if len(takers) == 1:
        ((lane, attempt),) = takers
        lane.take(attempt, batch.frames, lane.extractor.prepare(batch))
        return
    alike: dict[object, list[tuple[Lane, Attempt]]] = {}
    for lane, attempt in takers:
        # With select= an extractor prepares two pictures of a frame, which are its own.
        how = lane.extractor.encoder.preprocess if lane.offer is None else lane
        alike.setdefault(how, []).append((lane, attempt))
    for group in alike.values():
        wanted = np.isin(batch.frames, np.concatenate([attempt.units.wanted for _, attempt in group]))
        if not wanted.any():
            continue
        some = batch.only(wanted)
        crops = list(group[0][0].extractor.prepare(some))
        for lane, attempt in group:
            lane.take(attempt, some.frames, crops)
