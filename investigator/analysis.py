"""One video's analysis: keyframes first, each at its true time, then one pass of the plan; into the store of the command line.

What is known already (an analysis that was broken off, keyframes that the plan wants too) is not made again.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..configs.schema import ExtractConfig
from ..errors import ClipreelError, ElsewhereError, EmptyVideoError, VideoError
from ..extract.decode.registry import reader_for
from ..extract.extractor import Units
from ..extract.frames import VideoIndex
from ..extract.framewise import FramewiseExtractor
from ..extract.job import Attempt, Job
from ..extract.outcome import Outcome
from ..extract.pipeline import Pipeline
from ..extract.registry import make_extractor
from ..extract.run import options_of, output_folder
from ..extract.sampling import SamplingRequest, sample
from ..extract.store.store import FeatureStore
from ..extract.videos import VideoItem
from ..models.base import Encoder
from .control import Control, StoppedError
from .passes import WatchedExtractor, keyframes, unit_times, units_at, without
from .session import VideoSession
from .stored_features import find_mark, has_pickles


@dataclass
class AnalysisProgress:
    """What the page shows while it runs; `changed` is called at every step, from any thread."""

    changed: Callable[[], None]
    arrived: Callable[[float, np.ndarray], object]  # time, unit feature
    phase: str | None = None
    done: int = 0
    total: int | None = None
    began: float = field(default_factory=time.monotonic)
    done_before: int = 0  # known when the phase began: no rate is made of them

    def begin(self, phase: str, total: int | None, done: int = 0) -> None:
        self.phase, self.total, self.done, self.done_before, self.began = phase, total, done, done, time.monotonic()
        self.changed()


class Analysis:
    """Runs in one thread of its caller, and decodes and encodes in its own."""

    def __init__(self, session: VideoSession, encoder: Encoder, control: Control, progress: AnalysisProgress, *,
                 again: bool = False):
        self._session, self._encoder, self._control, self._progress = session, encoder, control, progress
        self._config: ExtractConfig = dataclasses.replace(session.config, overwrite=again)
        self._extractor = make_extractor(encoder, self._config.window_seconds, self._config.stride_seconds)
        self._again = again

    def run(self) -> None:
        """Raises StoppedError when it was ended (what is done is kept), ClipreelError when it cannot be done."""
        identity, session = self._encoder.identity, self._session
        folder = output_folder(self._config, identity)
        if has_pickles(folder, session.file.path.stem, session.content_id, identity):  # whose metadata has NumPy's name: left alone
            self._config = dataclasses.replace(self._config, on_extraction="save_hdf5")
        store = FeatureStore(folder, self._config.on_extraction)
        store.prepare()
        try:
            with closing(Outcome(self._config, self._encoder.identity, store, quiet=True)) as outcome:
                self._run(outcome)
        except (StoppedError, ClipreelError):
            if self._again:  # what is stored stands until another whole analysis does
                self._session.load(self._encoder.identity, again=True)
            raise
        self._session.load(self._encoder.identity, again=True)
        self._session.thumbnails.finish()
        self._progress.changed()

    def _run(self, outcome: Outcome) -> None:
        jobs = outcome.plan([VideoItem(str(self._session.file.path), self._session.file.path.stem)])
        if outcome.failures:
            raise VideoError(outcome.failures[0].reason)
        job = jobs[0]
        if job.key not in outcome.skipped:
            if self._again:
                self._session.rows.forget()
            if isinstance(self._extractor, FramewiseExtractor) and not len(self._session.rows.snapshot()):
                self._coarse(job)
            self._fine(job, outcome)

    def _coarse(self, job: Job) -> None:
        index = reader_for(job.item.path, self._config.reader).index(job.item.path)
        places = keyframes(index)
        if not len(places):
            return
        self._progress.begin("coarse", len(places))
        rows = self._session.rows
        outcome = _Gathered()
        self._pass(job, units_at(places), SamplingRequest(), outcome,
                   lambda time_ms, feature: rows.add(time_ms, feature, fine=False))
        if isinstance(outcome.error, StoppedError):
            raise outcome.error
        self._session.thumbnails.save()

    def _fine(self, job: Job, whole: Outcome) -> None:
        rows = self._session.rows
        request = options_of(self._config).request
        partial = self._session.partial(self._encoder.identity)
        known = partial.read()
        if self._config.sampling == "played_at" and isinstance(self._extractor, FramewiseExtractor):
            known = {**rows.coarse(), **known}  # the same frame at the same time
        plan = _Plan()

        def choose(units: Units) -> Units:
            plan.units, times = units, unit_times(units)
            plan.known = {time_ms: known[time_ms] for time_ms in times.tolist() if time_ms in known}
            lacking, _ = without(units, plan.known)
            rows.plan(times)
            for time_ms, feature in plan.known.items():
                rows.add(time_ms, feature, fine=True)
            self._progress.begin("fine", len(times), len(plan.known))
            return lacking

        def arrived(time_ms: float, feature: np.ndarray) -> None:
            rows.add(time_ms, feature, fine=True)
            partial.add(time_ms, feature)

        outcome = _Completed(whole, plan)
        try:
            self._pass(job, choose, request, outcome, arrived)
        finally:
            partial.flush()
            self._session.thumbnails.save()
        if isinstance(outcome.error, ElsewhereError) and self._is_stored():
            outcome.error = None  # another run has done it meanwhile
        if outcome.error is not None:
            raise outcome.error if isinstance(outcome.error, (StoppedError, ClipreelError)) else VideoError(
                f"{job.item.path.name}: {outcome.error or type(outcome.error).__name__}")
        partial.remove()

    def _is_stored(self) -> bool:
        session, identity = self._session, self._encoder.identity
        return find_mark(output_folder(self._config, identity), session.file.path.stem, session.content_id, identity) is not None

    def _pass(self, job: Job, choose: Callable[[Units], Units], request: SamplingRequest, outcome: Any,
              arrived: Callable[[float, np.ndarray], object]) -> None:
        """Frames through Foundation's pipeline; what arrives is told at once."""
        watched = WatchedExtractor(self._extractor, self._control, self._session.thumbnails.offer, choose)

        def here(attempt: Attempt, unit: int, feature: np.ndarray) -> None:
            if attempt.given_up and not self._control.stopped:
                return
            time_ms = float(attempt.units.timestamps_ms[unit])  # a row a unit, in their order
            arrived(time_ms, feature)
            self._progress.done += 1
            self._progress.arrived(time_ms, feature)

        options = dataclasses.replace(options_of(self._config), request=request)
        Pipeline([watched], options, outcome, here).run([job], self._progress.changed)


@dataclass
class _Plan:
    """All units of the plan, and what of them was known before."""

    units: Units | None = None
    known: dict[float, np.ndarray] = field(default_factory=dict)


class _Gathered:
    """The outcome of a pass of which nothing is stored."""

    def __init__(self):
        self.error: Exception | None = None

    def begin(self, job: Job) -> None:
        pass

    def done(self, attempt: Attempt) -> None:
        pass

    def failed(self, job: Job, error: Exception) -> None:
        self.error = error


class _Completed:
    """Puts what was known and what came together, and has it stored as the command line would."""

    def __init__(self, whole: Outcome, plan: _Plan):
        self._whole, self._plan = whole, plan
        self.error: Exception | None = None

    def begin(self, job: Job) -> None:
        self._whole.begin(job)

    def done(self, attempt: Attempt) -> None:
        units, known = self._plan.units, self._plan.known
        assert units is not None
        times = unit_times(units).tolist()
        came = {}
        with suppress(EmptyVideoError):  # nothing was lacking, or nothing of it decodes
            features, kept = attempt.rows()
            came = dict(zip(kept.timestamps_ms.tolist(), features, strict=True))
        full = Attempt(attempt.job, attempt.index, units)
        for unit, time_ms in enumerate(times):
            feature = known.get(time_ms, came.get(time_ms))
            if feature is not None:
                full.add(unit, feature)
        self._whole.done(full)

    def failed(self, job: Job, error: Exception) -> None:
        self.error = error


def keyframe_pictures(session: VideoSession, control: Control) -> None:
    """Thumbnails of a video whose features were made elsewhere: of its keyframes, or of frames all over a short video."""
    reader = reader_for(session.file.path, "auto")
    index = reader.index(session.file.path)
    places = _picture_places(index, session)
    for batch in reader.frames(index, places, allow_truncated=True):
        control.check()
        for time_ms, picture in zip(batch.timestamps_ms.tolist(), batch.pixels, strict=True):
            session.thumbnails.offer(time_ms, picture)
    session.thumbnails.finish()


def _picture_places(index: VideoIndex, session: VideoSession) -> np.ndarray:
    places = keyframes(index, most=240)
    if len(places) < 60 and index.duration_seconds < 120:  # decoding all of it takes seconds
        places = sample(index, SamplingRequest(total=min(len(index), 120))).wanted
    wanted = session.thumbnails.wanted(index.times_ms(index.pts[places]))
    return places[wanted]
