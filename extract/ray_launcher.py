"""`launcher=ray`: a run on the machines of a Ray cluster, a worker a device, all fed from one queue.

The run is planned here, as for one machine; workers write to the store themselves and hold the leases, under one name. A worker
that is lost loses nothing but time: its videos go back to the head of the queue. One that dies with videos at hand makes each of
them suspect, to be given to a worker alone; what kills its worker alone is a failure, and in quarantine.
"""

from __future__ import annotations

import logging
import math
import os
import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from ..configs.schema import ExtractConfig
from ..errors import ClusterError, WorkerDiedError
from ..models.base import EncoderIdentity
from . import remote
from .cluster_worker import Share, Step, WorkerOrders
from .isolated_decode import DEATHS
from .model_run import ModelRun
from .object_leases import leases_of
from .outcome import lease_name
from .pipeline import Tally
from .ray_machines import Place, RayMachines, Worker, WorkerLostError
from .report import Failure
from .store.base import Mark
from .store.files import remove_stale, temporary_beside
from .store.object_place import StoreAtUrl
from .store.sharded import ShardedStore
from .video_queue import Video

log = logging.getLogger("clipreel")
_HIRE_SECONDS = 2.0  # between looks for machines
_LOST = 2  # workers on one device that finished nothing
_ALONE_SECONDS = 120.0  # without any machine that can work, before the run gives up
_STOP_SECONDS = 20.0


class RayCluster:
    """One run on a cluster. Raises MissingExtraError, and ConfigError where no cluster answers."""

    def __init__(self, config: ExtractConfig):
        self._machines = RayMachines(config)
        self._run = secrets.token_hex(8)
        self._mark = temporary_beside(Path(self._run)).name  # a name by which it is known as stale, should this process be killed
        self._workers: list[Worker] = []
        self._gone: list[list[Share]] = []  # of workers that are no more
        self._lost: dict[Place, int] = {}
        self._orphans: set[int] = set()  # numbers that a lost worker had at hand, and may have a lease of
        self._found: list[tuple[int, Mark]] = []  # place of the model, and what a lost worker had stored and not reported
        self._suspect: dict[int, int] = {}  # number -> workers that died with it at hand
        self._spared: set[int] = set()  # of those that only waited for their file, the first time
        self._queue: deque[tuple[int, Video]] = deque()
        self._unsettled: dict[int, Video] = {}
        self._models: Sequence[ModelRun] = ()
        self._numbers: list[dict[str, int]] = []  # a model each: key of the job -> its number
        self._looked = self._seen = 0.0

    def identity(self, config: ExtractConfig) -> EncoderIdentity:
        return self._machines.identity(config)

    def close(self) -> None:
        self._machines.close()

    def run(self, models: Sequence[ModelRun], videos: Sequence[tuple[int, Video]], tick: Callable[[], None],
            say: Callable[[str], object]) -> None:
        """Do all videos (with their numbers); what came of them is in the models. As `run_together`; `say` hears how many work."""
        self._models, self._queue, self._unsettled = models, deque(videos), dict(videos)
        self._numbers = [{job.key: job.number for job in model.todo} for model in models]
        orders = WorkerOrders(tuple(model.config for model in models), tuple(model.outcome.identity for model in models),
                              "cpu" if self._machines.device == "cpu" else "cuda:0", self._run, self._mark, os.getcwd())
        for model in models:
            assert model.store is not None
            model.store.write_beside(self._mark, b"here")
        try:
            self._seen, at_work = time.monotonic(), 0
            while self._unsettled:
                self._hire(orders)
                for worker in self._workers:
                    if worker.ready and worker.awaited is None:
                        self._give(worker, 1)
                self._listen()
                ready = sum(worker.ready for worker in self._workers)
                if ready != at_work:
                    at_work = ready
                    say(f"{ready} worker{'s' if ready != 1 else ''}")
                tick()
        finally:
            self._dismiss()
            for model in models:
                self._clear(model)

    def _hire(self, orders: WorkerOrders) -> None:
        """A worker for every place that has none, while there are videos to give."""
        now = time.monotonic()
        if now - self._looked < _HIRE_SECONDS or not self._queue:
            return
        self._looked = now
        taken = {worker.place for worker in self._workers}
        for place, (cpus, gpus) in self._machines.places().items():
            if place not in taken and self._lost.get(place, 0) <= _LOST:
                self._workers.append(self._machines.start(orders, place, cpus, gpus))
        if any(worker.ready for worker in self._workers):
            self._seen = now
        elif self._workers:
            if now - self._seen > _ALONE_SECONDS:
                log.info("waiting for the cluster: no worker is ready yet, its processors or GPUs may be taken")
                self._seen = now
        elif now - self._seen > _ALONE_SECONDS:
            raise ClusterError(f"no machine of the cluster can work for this run any more; {len(self._unsettled)} videos are left, "
                               "and the same command goes on from there")

    def _give(self, worker: Worker, wanted: int) -> None:
        """The next videos: few when few are left, for all workers are to end together; a suspect one alone."""
        videos: list[Video] = []
        alone = any(number in self._suspect for number in worker.at_hand)
        share = min(wanted, math.ceil(len(self._queue) / len(self._workers)))
        while self._queue and len(videos) < share and not alone:
            number, video = self._queue[0]
            if number in self._suspect:
                if worker.at_hand:
                    break
                alone = True
            self._queue.popleft()
            worker.at_hand[number] = video
            videos.append(video)
        worker.awaited = None
        if worker.at_hand:
            # A suspect at the head waits for a worker that has nothing.
            worker.give(videos, alone or not self._queue or self._queue[0][0] in self._suspect)

    def _listen(self) -> None:
        waited_for = [worker for worker in self._workers if worker.awaited is not None]
        if not waited_for:
            time.sleep(0.05)
            return
        for worker in self._machines.wait(waited_for, 0.2):
            try:
                step = self._machines.answer(worker)
            except WorkerLostError as error:
                self._lose(worker, error)
            except Exception as error:
                if worker.ready:
                    raise
                self._refuse(worker, error)
            else:
                if step is None:  # the networks are loaded
                    worker.ready, worker.awaited = True, None
                else:
                    self._settle(worker, step)
                    self._give(worker, step.wanted)

    def _settle(self, worker: Worker, step: Step) -> None:
        worker.shares = step.shares
        for place, share in enumerate(step.shares):
            outcome, numbers = self._models[place].outcome, self._numbers[place]
            outcome.waiting.update(share.waiting)
            outcome.completed.update(share.completed)
            outcome.failures.extend(share.failures)
            outcome.elsewhere.extend(key for key in share.elsewhere if not self._is_ours(place, key))
            failed = [numbers[row.key] for row in share.failures]
            outcome.failed_numbers.update(failed)
            settled = [*(number for _, number in share.completed), *failed, *(numbers[key] for key in share.elsewhere)]
            outcome.finished += len(settled)
            for number in settled:
                self._lost.pop(worker.place, None)
                outcome.waiting.pop(number, None)
                left = [wish for wish in self._unsettled.get(number, ()) if wish[0] != place]
                if left:
                    self._unsettled[number] = worker.at_hand[number] = left
                else:
                    self._unsettled.pop(number, None)
                    worker.at_hand.pop(number, None)
        self._add_up()

    def _is_ours(self, place: int, key: str) -> bool:
        """Whether what a worker found done was done by another one, which was lost before it could say so."""
        model, number = self._models[place], self._numbers[place][key]
        if model.store is None or number not in self._orphans:
            return False
        if isinstance(model.store, ShardedStore):
            model.store.refresh()
        mark = model.store.mark(key)
        if mark is None:
            return False
        model.outcome.completed[key] = number
        self._found.append((place, mark))
        return True

    def _add_up(self) -> None:
        everyone = [*self._gone, *(worker.shares for worker in self._workers if worker.shares)]
        for place, model in enumerate(self._models):
            shares = [shares[place] for shares in everyone]
            found = [mark for other, mark in self._found if other == place]
            model.outcome.rows = sum(share.rows for share in shares) + sum(mark.shape[0] for mark in found)
            model.outcome.video_seconds = sum(share.video_seconds for share in shares) + sum(
                mark.provenance.source.duration_seconds for mark in found)
            model.tally = Tally()
            for number, share in enumerate(shares):
                model.tally.add(share.tally, f"{number}/")
            used = [share.use for share in shares if share.use is not None]
            model.use_elsewhere = sum(used[1:], start=used[0]) if used else None

    def _lose(self, worker: Worker, error: WorkerLostError) -> None:
        self._workers.remove(worker)
        self._machines.end(worker)  # if it only cannot be reached, it must not go on
        if worker.shares:
            self._gone.append(worker.shares)
        self._lost[worker.place] = self._lost.get(worker.place, 0) + 1
        self._orphan(worker)
        log.warning("a worker of the cluster was lost (%s); others do the %d videos that it had", error, len(worker.at_hand))
        blamed = self._machines.has(worker.place)  # the machine is there: was it a video?
        for number, video in sorted(worker.at_hand.items(), reverse=True):
            waited = [self._models[place].outcome.waiting.pop(number, None) is not None for place, _ in video]
            if blamed and all(waited) and number not in self._spared:  # it is not at work; but its file may be what kills
                self._spared.add(number)
            elif blamed:
                self._suspect[number] = self._suspect.get(number, 0) + 1
            if self._suspect.get(number, 0) >= DEATHS and len(worker.at_hand) == 1:
                self._fail(number, video)
            else:
                self._queue.appendleft((number, video))

    def _orphan(self, worker: Worker) -> None:
        """Note what may have a lease of a worker that is no more, and take away its locks, for which others would wait."""
        self._orphans.update(worker.at_hand)
        for place, job in (wish for video in worker.at_hand.values() for wish in video):
            store = self._models[place].store
            if isinstance(store, StoreAtUrl):
                store.owner = worker.name
                with suppress(OSError):
                    store.unlock(job.item.name)

    def _refuse(self, worker: Worker, problem: Exception) -> None:
        """A machine that cannot work for this run is done without, if there is another one."""
        self._workers.remove(worker)
        self._lost[worker.place] = _LOST + 1
        if not self._workers:
            raise problem
        log.warning("a machine of the cluster cannot work for this run: %s", problem)

    def _fail(self, number: int, video: Video) -> None:
        for place, job in video:
            outcome = self._models[place].outcome
            deaths = job.decoder_deaths + self._suspect[number]
            error = WorkerDiedError(f"{job.item}: the worker process that had it died, {self._suspect[number]} times: in "
                                    "quarantine, it is left out until retry_failed=true", deaths)
            outcome.failures.append(Failure(job.item.place, job.key, type(error).__name__, str(error), job.item.start_seconds,
                                            job.item.end_seconds, job.item.name, job.item.metadata, job.content_id, deaths))
            outcome.failed_numbers.add(number)
            outcome.finished += 1
        self._unsettled.pop(number, None)

    def _dismiss(self) -> None:
        """Let all workers finish what they are writing, then end them."""
        stopping = [worker for worker in self._workers if worker.ready]
        for worker in stopping:
            worker.awaited = worker.actor.stop.remote()
        try:
            with suppress(KeyboardInterrupt):
                for worker in self._machines.wait(stopping, _STOP_SECONDS, everyone=True) if stopping else ():
                    try:
                        step = self._machines.answer(worker)
                        if step is not None:
                            self._settle(worker, step)
                    except Exception as error:  # it died meanwhile, or fell over what is being raised already
                        log.debug("a worker did not end in order", exc_info=error)
        finally:  # a second signal, too
            for worker in self._workers:
                self._machines.end(worker)
                self._orphan(worker)
            self._gone.extend(worker.shares for worker in self._workers if worker.shares)
            self._workers = []

    def _clear(self, model: ModelRun) -> None:
        """What lost workers left: leases, and files that were being written on this machine."""
        store = model.store
        assert store is not None
        with suppress(OSError):
            leases = leases_of(store, self._run)
            for job in model.todo if self._orphans else ():
                if job.number in self._orphans and leases.take(lease_name(job)):
                    leases.give_back(lease_name(job))
            leases.close()
            if isinstance(store, StoreAtUrl):
                remote.remove(f"{store.place}/{self._mark}")
            else:
                (store.folder / self._mark).unlink(missing_ok=True)
                remove_stale(store.folder)
