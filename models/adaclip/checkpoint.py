"""A trained model on disk: one safetensors file with the options it was made with and the encoder whose features it knows.

Nothing in it is ever executed. The tensors of training (of the optimizer) may lie in the same file, so that a model and
the state to go on from are never of two moments.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ...errors import ConfigError, WeightsError
from ..base import EncoderIdentity
from .model import AdaClip
from .options import AdaClipOptions

FORMAT = "clipreel-adaclip-1"
_MODEL, _CLIP, _TRAINING = "model.", "clip.", "training."
StateDict = dict[str, torch.Tensor]


@dataclass(frozen=True)
class TextRules:
    """How captions became texts in training; queries of the same kind are what the model knows."""

    concat_captions: Literal["concat", "indep-one", "indep-all", "mean"]
    max_txt_len: int


@dataclass(frozen=True, eq=False)
class TrainingState:
    """What training goes on from. `progress`: plain values, as JSON holds them."""

    tensors: StateDict
    progress: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A trained model. `clip_state`: the tensors of the encoder that training changed, by their names there."""

    model: AdaClip
    encoder: EncoderIdentity  # of the features
    texts: TextRules
    policy: EncoderIdentity | None = None  # of the selector's own features
    clip_state: StateDict = field(default_factory=dict)
    epoch: int = 0  # how many were finished

    @property
    def options(self) -> AdaClipOptions:
        return self.model.options

    @property
    def fingerprint(self) -> str:
        """64 hex digits that differ where a number that comes out could differ."""
        digest = hashlib.sha256(json.dumps([asdict(self.options), asdict(self.encoder), self.policy and asdict(self.policy)],
                                           sort_keys=True).encode())
        for name, tensor in sorted(self._tensors().items()):
            digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
            digest.update(tensor.numpy().tobytes())
        return digest.hexdigest()

    def _tensors(self) -> StateDict:
        named = {f"{_MODEL}{name}": tensor for name, tensor in self.model.state_dict().items()}
        named |= {f"{_CLIP}{name}": tensor for name, tensor in self.clip_state.items()}
        return {name: tensor.detach().cpu().contiguous() for name, tensor in named.items()}


def save_checkpoint(path: str | os.PathLike[str], checkpoint: Checkpoint, training: TrainingState | None = None) -> None:
    """Writes the file whole or not at all. Raises OSError where it cannot be written."""
    said = {"options": asdict(checkpoint.options), "encoder": asdict(checkpoint.encoder), "texts": asdict(checkpoint.texts),
            "policy": checkpoint.policy and asdict(checkpoint.policy), "epoch": checkpoint.epoch,
            "fingerprint": checkpoint.fingerprint, "progress": training and training.progress}
    tensors = checkpoint._tensors()
    if training is not None:
        tensors |= {f"{_TRAINING}{name}": tensor.detach().cpu().contiguous() for name, tensor in training.tensors.items()}
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{socket.gethostname()}.{os.getpid()}-0.clipreel-tmp")
    try:
        save_file(tensors, temporary, metadata={"format": FORMAT, "clipreel": json.dumps(said)})
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def load_checkpoint(path: str | os.PathLike[str], device: str = "cpu") -> Checkpoint:
    """The model in evaluation mode. Needs no encoder, only knows its identity.

    Raises WeightsError where the file is missing, damaged, of another kind, or its tensors are not those of its options.
    """
    said, tensors = _read(path, lambda name: not name.startswith(_TRAINING))
    try:
        model = AdaClip(_made(AdaClipOptions, said["options"]))
        policy = None if said["policy"] is None else _made(EncoderIdentity, said["policy"])
        made = (_made(EncoderIdentity, said["encoder"]), _made(TextRules, said["texts"]), policy)
        epoch, fingerprint = int(said["epoch"]), str(said["fingerprint"])
    except (KeyError, TypeError, ValueError, ConfigError) as error:
        raise WeightsError(f"the checkpoint {path} was made by a version that this one does not understand ({error}): train it "
                           "again, or use that version") from error
    _fill(model, _below(_MODEL, tensors), path)
    checkpoint = Checkpoint(model.eval().requires_grad_(False), *made, _below(_CLIP, tensors), epoch)
    if checkpoint.fingerprint != fingerprint:
        raise WeightsError(f"the checkpoint {path} is damaged (its content is not what was written): copy it again")
    model.to(device)
    return checkpoint


def load_training_state(path: str | os.PathLike[str]) -> TrainingState | None:
    """What training goes on from, if the file holds it. Raises WeightsError as `load_checkpoint` does."""
    said, tensors = _read(path, lambda name: name.startswith(_TRAINING))
    progress = said.get("progress")
    return None if progress is None else TrainingState(_below(_TRAINING, tensors), progress)


def refuse_other_options(path: str | os.PathLike[str], options: AdaClipOptions, wanted: Mapping[str, Any]) -> None:
    """Raises ConfigError that names every option in which the checkpoint and what is asked for differ."""
    own = asdict(options)
    differing = [f"{name}={value} now, {own[name]} there" for name, value in wanted.items() if own[name] != value]
    if differing:
        raise ConfigError(f"the checkpoint {path} was trained with other options ({'; '.join(differing)}): leave them out, or "
                          "give the checkpoint that was trained with them")


def _read(path: str | os.PathLike[str], wanted: Any) -> tuple[dict[str, Any], StateDict]:
    if not Path(path).is_file():
        raise WeightsError(f"there is no checkpoint {path}: check the path; `retrieval train` writes model.safetensors")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise WeightsError(f"{path} is no checkpoint of `retrieval train`, which are safetensors files of its own")
            tensors = {name: file.get_tensor(name) for name in file.keys() if wanted(name)}  # noqa: SIM118 (no mapping)
            return json.loads(metadata["clipreel"]), tensors
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise WeightsError(f"{path} is no checkpoint that can be read ({error}): `retrieval train` writes them as "
                           "safetensors; copy it again, or give another") from error


def _fill(model: AdaClip, found: StateDict, path: str | os.PathLike[str]) -> None:
    expected = model.state_dict()
    faults = [f"lacks {name}" for name in expected if name not in found]
    faults += [f"has {name} besides" for name in found if name not in expected]
    faults += [f"has {name} in the shape {list(found[name].shape)} instead of {list(tensor.shape)}"
               for name, tensor in expected.items() if name in found and found[name].shape != tensor.shape]
    if faults:
        raise WeightsError(f"the checkpoint {path} does not fit its own options: it {'; it '.join(faults[:4])}")
    model.load_state_dict(found)


def _below(prefix: str, tensors: StateDict) -> StateDict:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _made(kind: Any, values: Any) -> Any:
    known = {one.name for one in fields(kind)}
    if set(values) != known:
        raise ValueError(f"{kind.__name__} has {', '.join(sorted(set(values) ^ known))} on one side only")
    return kind(**values)
