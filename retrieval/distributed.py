"""Several processes that train one model: they compute the loss of all their pairs together, as one process would."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import distributed

from ..errors import ConfigError, TrainingError

_LONGEST_WAIT = timedelta(hours=24)  # the first process may encode every picture while the others wait; who dies, torchrun sees


@dataclass(frozen=True)
class Processes:
    """This process among `count`; one by itself needs no group."""

    rank: int
    count: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def gather(self, rows: torch.Tensor) -> torch.Tensor:
        """Everybody's rows in order of rank: [b, …] -> [count * b, …]. Gradients come back as if it were one process."""
        if self.count == 1:
            return rows
        gathered: torch.Tensor = _Gather.apply(rows, self)  # pyright: ignore[reportAssignmentType]
        return gathered

    def average_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """In place, in one exchange."""
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if self.count == 1 or not gradients:
            return
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        flat /= self.count
        for gradient, part in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def begin_alike(self, module: torch.nn.Module) -> None:
        """Everybody takes the first process's weights."""
        if self.count > 1:
            for tensor in module.state_dict().values():
                distributed.broadcast(tensor, src=0)

    def wait(self) -> None:
        """Until everybody is here."""
        if self.count > 1:
            distributed.barrier()


@contextmanager
def processes(device: str | None) -> Iterator[Processes]:
    """This process as torchrun says it is (RANK, LOCAL_RANK, WORLD_SIZE), or alone. gloo on CPUs, nccl on GPUs.

    Raises ConfigError where a device is named that several processes cannot share, TrainingError where another one of them ends.
    """
    count, rank, local = (int(os.environ.get(name, default))
                          for name, default in (("WORLD_SIZE", "1"), ("RANK", "0"), ("LOCAL_RANK", "0")))
    on_cuda = torch.cuda.is_available() if device is None else torch.device(device).type == "cuda"
    if count == 1:
        yield Processes(0, 1, torch.device(device or ("cuda" if on_cuda else "cpu")))
        return
    if on_cuda and (device not in (None, "cuda") or torch.cuda.device_count() <= local):
        raise ConfigError(f"device={device}: process {local} of torchrun takes CUDA device {local}, and "
                          f"{torch.cuda.device_count()} are there; leave device out and start as many processes as devices, or "
                          "give device=cpu")
    here = torch.device("cuda", local) if on_cuda else torch.device("cpu")
    if on_cuda:
        torch.cuda.set_device(here)  # else the first barrier would put every process on device 0
    distributed.init_process_group("nccl" if on_cuda else "gloo", rank=rank, world_size=count, timeout=_LONGEST_WAIT,
                                   device_id=here if on_cuda else None)
    try:
        yield Processes(rank, count, here)
        # Together: one that left early would tear the connections of those that still talk.
        distributed.barrier()
    except RuntimeError as error:
        if not isinstance(error, distributed.DistError) and "gloo" not in str(error):  # gloo's have no class of their own
            raise
        raise TrainingError(f"process {rank} ends because another one of this training did; that one says why") from error
    finally:
        distributed.destroy_process_group()


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, group: Processes) -> torch.Tensor:
        ctx.group, ctx.length, rows = group, len(rows), rows.contiguous()  # nccl wants the parts so, too
        parts = [torch.empty_like(rows) for _ in range(group.count)]
        distributed.all_gather(parts, rows)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[torch.Tensor, None]:
        # Every process computes the same loss of the same rows, so the sum over them of this gradient is `count` times its
        # own; averaging the parameters' gradients afterwards divides by `count` again.
        (gradient,) = grad_outputs
        begin = ctx.group.rank * ctx.length
        return gradient[begin:begin + ctx.length] * ctx.group.count, None
