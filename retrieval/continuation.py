"""Going on with a training where it stopped: what is kept for it, where it lies, and that it is the same training."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..configs.retrieval_train_schema import RetrievalTrainConfig
from ..errors import ConfigError
from ..models.adaclip.checkpoint import TrainingState, load_checkpoint, load_training_state, refuse_other_options
from ..models.adaclip.options import AdaClipOptions
from .optimizer import restore, state_of
from .training_log import EpochRecord
from .training_setup import TrainingSetup

MODEL, LAST = "model.safetensors", "last.safetensors"
# What may differ between a training and its continuation without changing a number, or is compared by what it leads to.
_FREE = {"encoder", "output_path", "overwrite", "resume", "do_inference", "save_last", "n_display", "tensorboard_dir",
         "num_workers", "device", "val_batch_size", "texts", "features", "policy_features", "frames_dir", "batch_size", "dataset",
         "preset", "annotations", "train_annot", "val_annot", "test_annot",
         *(one.name for one in dataclasses.fields(AdaClipOptions))}


@dataclass
class Progress:
    """Where a training is: its epochs, the loss of every step, and the best epoch so far."""

    records: list[EpochRecord] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    best: EpochRecord | None = None


def where_to_go_on(config: RetrievalTrainConfig, folder: Path) -> Path | None:
    """resume=, or what this very command left behind when it was interrupted; None to begin.

    Raises ConfigError where a trained model lies that nobody said to replace.
    """
    if config.resume is not None:
        return Path(config.resume).expanduser()
    if config.overwrite:
        return None
    if (folder / LAST).is_file():
        return folder / LAST
    if (folder / MODEL).is_file():
        raise ConfigError(f"output_path={folder}: holds a trained model already; give overwrite=true to replace it, or another "
                          "output_path")
    return None


def settings_of(config: RetrievalTrainConfig, **found: Any) -> dict[str, Any]:
    """What a continuation must share, as JSON gives it back; `found`: what the config led to."""
    values = {name: value for name, value in asdict(config).items() if name not in _FREE}
    return {**values, "betas": list(config.betas), **found}


def training_state(progress: Progress, optimizer: torch.optim.Optimizer, settings: Mapping[str, Any]) -> TrainingState:
    """What is to be kept. There is no state of random numbers: all of them follow from seed, epoch and step."""
    assert progress.best is not None
    return TrainingState({**state_of(optimizer), "losses": torch.tensor(progress.losses, dtype=torch.float64)},
                         {"settings": dict(settings), "records": [asdict(one) for one in progress.records],
                          "best": progress.best.epoch})


def take_over(path: Path, setup: TrainingSetup, optimizer: torch.optim.Optimizer, settings: Mapping[str, Any]) -> Progress:
    """Fills weights and optimizer with what is kept. Raises UsageError where it is of another training."""
    found, state = load_checkpoint(path), load_training_state(path)
    if state is None:
        raise ConfigError(f"resume={path}: holds a model but nothing to go on from; that is in {LAST} (save_last=true), and "
                          "do_inference=true evaluates a model")
    refuse_other_options(path, found.options, asdict(setup.model.options))
    if found.encoder != setup.encoder or found.policy != setup.policy:
        raise ConfigError(f"resume={path}: was trained on features of {found.encoder}, and these are of {setup.encoder}")
    stored: Mapping[str, Any] = state.progress["settings"]
    if differing := [f"{name}: {stored.get(name)} there, {settings.get(name)} now" for name in {**stored, **settings}
                     if stored.get(name) != settings.get(name)]:
        raise ConfigError(f"{path} was trained with other settings ({'; '.join(differing)}): give the same to go on, "
                          "overwrite=true to begin again, or another output_path")
    setup.model.load_state_dict(found.model.state_dict())
    if setup.source.clip is not None:
        setup.source.clip.load_state_dict(found.clip_state)
    tensors = dict(state.tensors)
    losses = tensors.pop("losses").tolist()
    restore(optimizer, tensors, str(path))
    records = [EpochRecord(**one) for one in state.progress["records"]]
    return Progress(records, losses, records[int(state.progress["best"])])
