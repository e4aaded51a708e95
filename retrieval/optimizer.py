"""The optimizers, the four groups of parameters, and their state as named tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

from ..configs.retrieval_train_schema import RetrievalTrainConfig
from ..errors import ConfigError, WeightsError
from ..models.adaclip.checkpoint import StateDict
from ..models.adaclip.model import AdaClip


class BertAdam(torch.optim.Optimizer):
    """Adam without bias correction and with decoupled weight decay, as BERT was trained (Devlin et al. 2018; AdaCLIP and
    CLIP4Clip train with it). Each tensor's gradient is cut to length `longest` first."""

    def __init__(self, groups: Iterable[dict[str, Any]], *, lr: float, betas: tuple[float, float], eps: float = 1e-6,
                 longest: float | None = 1.0):
        super().__init__(groups, {"lr": lr, "betas": betas, "eps": eps, "longest": longest, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One step along the gradients that are there."""
        for group in self.param_groups:
            first, second = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state, gradient = self.state[parameter], parameter.grad
                if not state:
                    state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
                if group["longest"] is not None:
                    gradient = gradient * (group["longest"] / (gradient.norm() + 1e-6)).clamp(max=1)
                state["exp_avg"].lerp_(gradient, 1 - first)
                state["exp_avg_sq"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
                change = state["exp_avg"] / (state["exp_avg_sq"].sqrt() + group["eps"])
                parameter.sub_(group["lr"] * (change + group["weight_decay"] * parameter))


def make_optimizer(config: RetrievalTrainConfig, model: AdaClip, clip: torch.nn.Module | None,
                   policy: torch.nn.Module | None = None) -> torch.optim.Optimizer:
    """Over four groups: the CLIP's parameters (the temperature is one of them) at their own learning rate and the others (of
    `policy` too, which lies within `clip`), each with weight decay (matrices) and without (biases, norms). A group's
    `initial_lr` is what the schedule multiplies."""
    heads = [parameter for parameter in model.parameters() if parameter is not model.logit_scale]
    heads += policy.parameters() if policy is not None else ()
    own = {id(parameter) for parameter in heads}
    of_clip = [model.logit_scale, *(one for one in (clip.parameters() if clip is not None else ()) if id(one) not in own)]
    groups = []
    for parameters, rate in ((of_clip, config.learning_rate * config.coef_lr), (heads, config.learning_rate)):
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        for decay, some in ((config.weight_decay, [one for one in trained if one.ndim > 1]),
                            (0.0, [one for one in trained if one.ndim <= 1])):
            if some:
                groups.append({"params": some, "weight_decay": decay, "lr": rate, "initial_lr": rate})
    if not groups:
        raise ConfigError("nothing is left to train: no_policy=true, frame_agg=mean and a frozen CLIP have no weights to change; "
                          "give frame_agg=mlp, adapter_dim=, or freeze_clip=false, or evaluate it as it is")
    betas = (config.betas[0], config.betas[1])
    if config.optim == "bertadam":
        return BertAdam(groups, lr=config.learning_rate, betas=betas)
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=betas)


def state_of(optimizer: torch.optim.Optimizer) -> StateDict:
    """`<parameter's number>.<name>` -> tensor."""
    return {f"{number}.{name}": torch.as_tensor(value).clone() for number, state in optimizer.state_dict()["state"].items()
            for name, value in state.items()}


def restore(optimizer: torch.optim.Optimizer, tensors: StateDict, path: str) -> None:
    """Raises WeightsError where the state is of other parameters."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        number, _, what = name.partition(".")
        if not number.isdigit() or int(number) >= len(parameters) or (
                tensor.ndim and tensor.shape != parameters[int(number)].shape):
            raise WeightsError(f"resume={path}: its optimizer's state does not fit this model ({name}): train from the beginning")
        state.setdefault(int(number), {})[what] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
