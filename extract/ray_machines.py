"""The machines of a Ray cluster, and workers on them: the one file that knows Ray, imported when a run asks for it."""

from __future__ import annotations

import logging
import math
import secrets
import signal
import socket
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ..configs.schema import ExtractConfig
from ..errors import ClipreelError, ConfigError, MissingExtraError
from ..models.base import EncoderIdentity
from ..models.registry import identify
from .cluster_worker import ClusterWorker, Share, Step, WorkerOrders
from .video_queue import Video

_KNOCK_SECONDS = 10.0
Place = tuple[str, int]  # the id of a machine, and which of its devices


class WorkerLostError(Exception):
    """A worker's process is no more."""


@dataclass(eq=False)
class Worker:
    """One actor: where it is, what it has, and the answer that is awaited from it."""

    actor: Any
    place: Place
    name: str
    awaited: Any
    ready: bool = False
    at_hand: dict[int, Video] = field(default_factory=dict)  # number -> what is left of it
    shares: list[Share] = field(default_factory=list)

    def give(self, videos: Sequence[Video], last: bool) -> None:
        self.awaited = self.actor.step.remote(videos, last)


def _knock(address: str | None) -> None:
    """Ray itself would try for a minute, and then end the process. Raises OSError where nobody listens."""
    host, colon, port = (address or "").rpartition(":")
    if colon and port.isdigit() and "/" not in host:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_SECONDS):
            pass


def _end(number: int, frame: object) -> None:
    """So that the workers are ended too."""
    raise SystemExit(128 + number)


class RayMachines:
    """A connection to a cluster. Raises MissingExtraError, and ConfigError where no cluster answers."""

    def __init__(self, config: ExtractConfig):
        try:
            import ray
        except ImportError as error:
            raise MissingExtraError("ray", "ray", "launcher=ray") from error
        self._ray, self._per_node = ray, config.devices_per_node
        self._connected_here = not ray.is_initialized()
        self._on_sigterm = signal.getsignal(signal.SIGTERM)
        if self._connected_here:
            try:
                _knock(config.address)
                ray.init(address=config.address or "auto", log_to_driver=False, logging_level=logging.ERROR)
            except (ConnectionError, RuntimeError, ValueError, OSError) as error:
                self._answer_sigterm(self._on_sigterm)
                raise ConfigError(f"address={config.address or 'auto'}: no Ray cluster answers there ({error}); start one with "
                                  "`ray start --head`, and `ray start --address=HOST:6379` on the other machines") from error
            # Ray has taken the signal, from whoever had it, and aborts the process three seconds after it came.
            self._answer_sigterm(_end if self._on_sigterm == signal.SIG_DFL else self._on_sigterm)
        gpus = any(node["Resources"].get("GPU", 0) >= 1 for node in self._nodes())
        self.device = config.device or ("cuda" if gpus else "cpu")

    def close(self) -> None:
        if self._connected_here:
            self._ray.shutdown()
            self._answer_sigterm(self._on_sigterm)

    def _answer_sigterm(self, answer: Any) -> None:
        if threading.current_thread() is threading.main_thread() and answer is not None:
            signal.signal(signal.SIGTERM, answer)

    def identity(self, config: ExtractConfig) -> EncoderIdentity:
        """What the model is called on the cluster's devices, whose precision may be another than here."""
        if self.device == "cpu":
            return identify(**asdict(config.encoder), device="cpu")
        task = self._ray.remote(num_cpus=1, num_gpus=0.01, max_retries=2)(identify)
        try:
            return self._ray.get(task.remote(**asdict(config.encoder), device="cuda"))
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause if isinstance(error.cause, ClipreelError) else error from None

    def places(self) -> dict[Place, tuple[float, float]]:
        """(CPUs, GPUs) for the worker of each place, of machines that are there now."""
        found = {}
        for node in self._nodes():
            cpus, gpus = node["Resources"]["CPU"], int(node["Resources"].get("GPU", 0)) if self.device != "cpu" else 0
            if self.device == "cpu" or gpus:
                count = self._per_node or gpus or 1
                share = max(1.0, math.floor(cpus / count)) if cpus >= count else cpus / count
                found |= {(node["NodeID"], number): (share, min(1.0, gpus / count)) for number in range(count)}
        return found

    def has(self, place: Place) -> bool:
        """Whether its machine is there."""
        return any(node["NodeID"] == place[0] for node in self._nodes())

    def start(self, orders: WorkerOrders, place: Place, cpus: float, gpus: float) -> Worker:
        """A worker that is loading its networks."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        own = replace(orders, name=secrets.token_hex(8), configs=tuple(
            config if config.workers else replace(config, workers=max(1, int(cpus))) for config in orders.configs))
        kind = self._ray.remote(num_cpus=cpus, num_gpus=gpus, max_restarts=0, max_concurrency=4,
                                scheduling_strategy=NodeAffinitySchedulingStrategy(place[0], soft=False))(ClusterWorker)
        actor = kind.remote()
        return Worker(actor, place, own.name, actor.prepare.remote(own))

    def wait(self, workers: Sequence[Worker], seconds: float, everyone: bool = False) -> list[Worker]:
        """Those whose awaited answer is there: after the first one, or when `everyone` has answered."""
        awaited = {worker.awaited: worker for worker in workers}
        there, _ = self._ray.wait(list(awaited), num_returns=len(awaited) if everyone else 1, timeout=seconds)
        return [awaited[answer] for answer in there]

    def answer(self, worker: Worker) -> Step | None:
        """Raises WorkerLostError, or what the worker raised."""
        try:
            return self._ray.get(worker.awaited)
        except self._ray.exceptions.RayActorError as error:
            raise WorkerLostError(str(error).strip().splitlines()[-1]) from error
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause if isinstance(error.cause, Exception) else error from None

    def end(self, worker: Worker) -> None:
        self._ray.kill(worker.actor)

    def _nodes(self) -> list[dict[str, Any]]:
        return [node for node in self._ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) > 0]
