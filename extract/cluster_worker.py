"""A process of a cluster's: the pipeline of a run on one device, given its videos bit by bit. Knows nothing of Ray."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from .. import __version__
from ..configs.schema import ExtractConfig
from ..errors import ConfigError
from ..models.base import EncoderIdentity
from . import remote
from .choosing import read_selection
from .model_run import ModelRun, open_output
from .outcome import Outcome
from .pipeline import Tally, run_together
from .report import Failure, SelectionUse
from .store.object_place import StoreAtUrl
from .store.store import FeatureStore
from .video_queue import Video, VideoQueue

_POLL_SECONDS, _REPORT_SECONDS, _LONGEST_SECONDS = 0.02, 0.25, 1.0


@dataclass(frozen=True)
class WorkerOrders:
    """What a worker is to be. `run` is the run's name for itself, which is in its leases; `name` the worker's, which is in its
    locks; `mark` the name of a file by which a worker sees that it has the same output as all others."""

    configs: tuple[ExtractConfig, ...]
    identities: tuple[EncoderIdentity, ...]
    device: str
    run: str
    mark: str
    working_folder: str
    name: str = ""
    version: str = __version__


@dataclass(frozen=True)
class Share:
    """What a worker has done for one model: videos settled since it was last asked, sums since it began."""

    completed: list[tuple[str, int]] = field(default_factory=list)  # (key, number of the job)
    failures: list[Failure] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)  # keys of jobs
    waiting: dict[int, float] = field(default_factory=dict)  # as the outcome's: those that were not told before
    rows: int = 0
    video_seconds: float = 0.0
    tally: Tally = field(default_factory=Tally)
    use: SelectionUse | None = None

    @property
    def settled(self) -> int:
        return len(self.completed) + len(self.failures) + len(self.elsewhere)


@dataclass(frozen=True)
class Step:
    """A worker's answer: a share a model, and how many videos more it would take."""

    shares: list[Share]
    wanted: int


class ClusterWorker:
    """`prepare` comes first, then `step` again and again, `stop` at last, which may come while a `step` waits."""

    def __init__(self):
        self._models: list[ModelRun] = []
        self._past: list[Tally] = []  # of rounds that are over, a model each
        self._told: list[dict[int, float]] = []  # which videos wait for their file, a model each
        self._queue, self._workers = VideoQueue(), 1
        self._round: threading.Thread | None = None
        self._crash: BaseException | None = None
        self._stopping, self._turn = threading.Event(), threading.RLock()

    def prepare(self, orders: WorkerOrders) -> None:
        """Load the networks. Raises UsageError when this machine cannot be what the orders say."""
        if orders.version != __version__:
            raise ConfigError(f"clipreel {__version__} is installed on {socket.gethostname()}, and the run is started by "
                              f"{orders.version}: install one version on all machines")
        with suppress(OSError):  # so that relative names mean the same; without that folder none of them is here
            os.chdir(orders.working_folder)
        self._models = [_model(config, identity, orders)
                        for config, identity in zip(orders.configs, orders.identities, strict=True)]
        self._past, self._told = [Tally() for _ in self._models], [{} for _ in self._models]
        self._workers = orders.configs[0].workers or os.cpu_count() or 1

    def step(self, videos: Sequence[Video], last: bool) -> Step:
        """Take these videos, wait until there is something to say (a second at most), and say it. `last`: none are left to be
        given, so what waits for a full batch waits no longer. Raises what ends a run."""
        with self._turn:
            self._take(videos, last)
        began = time.monotonic()
        while time.monotonic() - began < _LONGEST_SECONDS and self._crash is None and not self._idle:
            if not last and len(self._queue) < self._workers:
                break
            if time.monotonic() - began >= _REPORT_SECONDS and any(_has_news(model.outcome) for model in self._models):
                break
            time.sleep(_POLL_SECONDS)
        with self._turn:
            return self._said()

    def stop(self) -> Step:
        """Finish what is being written, give everything else back."""
        self._stopping.set()
        with self._turn:
            self._end_round()
            for model in self._models:
                model.outcome.close()
            return self._said(whole=True)

    def _take(self, videos: Sequence[Video], last: bool) -> None:
        if self._stopping.is_set():
            return
        if videos and (self._round is None or self._queue.closed):
            self._end_round()
            self._queue = VideoQueue(closed=False)
            self._round = threading.Thread(target=self._work, args=(self._queue,), daemon=True)
            self._round.start()
        self._queue.add(videos)
        if last:
            self._queue.close()

    @property
    def _idle(self) -> bool:
        return self._round is None or not self._round.is_alive()

    def _work(self, queue: VideoQueue) -> None:
        def tick() -> None:
            if self._stopping.is_set():
                raise KeyboardInterrupt  # what the pipeline knows as an end before its time

        try:
            run_together([model.pipeline() for model in self._models], queue, tick)
            for model in self._models:
                model.outcome.flush()
        except KeyboardInterrupt:
            pass
        except BaseException as error:  # noqa: BLE001  raised again where the run is
            self._crash = error

    def _end_round(self) -> None:
        if self._round is None:
            return
        self._queue.close()
        self._round.join()
        self._round = None
        for past, model in zip(self._past, self._models, strict=True):
            past.add(model.tally)
            model.tally = Tally()

    def _said(self, whole: bool = False) -> Step:
        """`whole`: with the sizes of all batches, which are many."""
        if self._idle:
            self._end_round()
        if self._crash is not None:
            raise self._crash
        shares = []
        for place, (past, model) in enumerate(zip(self._past, self._models, strict=True)):
            outcome, tally = model.outcome, Tally()
            tally.add(past)
            tally.add(model.tally)
            if not whole:
                tally.batch_sizes = {}
            told, self._told[place] = self._told[place], outcome.waiting.copy()  # before what came of those that waited
            waiting = {number: seconds for number, seconds in self._told[place].items() if number not in told}
            completed, failures, elsewhere = [], [], []
            while outcome.completed:
                completed.append(outcome.completed.popitem())
            while outcome.failures:
                failures.append(outcome.failures.pop(0))
            while outcome.elsewhere:
                elsewhere.append(outcome.elsewhere.pop(0))
            shares.append(Share(completed, failures, elsewhere, waiting, outcome.rows, outcome.video_seconds, tally, model.use))
        return Step(shares, max(0, 2 * self._workers - len(self._queue)))


def _has_news(outcome: Outcome) -> bool:
    return bool(outcome.completed or outcome.failures or outcome.elsewhere)


def _model(config: ExtractConfig, identity: EncoderIdentity, orders: WorkerOrders) -> ModelRun:
    config = replace(config, device=orders.device, launcher="local", address=None, devices_per_node=None)
    store = open_output(config, identity)
    assert store is not None
    if not _is_there(store, orders.mark):
        raise ConfigError(f"output_path={config.output_path} is another folder on {socket.gethostname()} than where the run was "
                          "started: give a folder that all machines share, or a URL")
    if isinstance(store, StoreAtUrl):
        store.owner = orders.name
    selection = read_selection(config, identity.feature_type, orders.device)
    outcome = Outcome(config, identity, store, quiet=True, select=selection.fingerprint if selection is not None else None,
                      run=orders.run)
    model = ModelRun(config, outcome, [], [], [orders.device], selection)
    model.load_networks()
    return model


def _is_there(store: FeatureStore, name: str) -> bool:
    if isinstance(store, StoreAtUrl):
        return remote.read_if_there(f"{store.place}/{name}") is not None
    return (store.folder / name).is_file()
