"""A weight file: its SHA-256, the tensors in it, and their way into a network.

Nothing in a file is ever executed, but for OpenAI's own TorchScript archives, whose SHA-256 is checked first.
"""

from __future__ import annotations

import hashlib
import pickle
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ..errors import WeightsError
from .clip.archives import ARCHIVES

StateDict = dict[str, torch.Tensor]

_WRAPPERS = ("state_dict", "model")
_PREFIXES = ("module.", "model.", "_orig_mod.")
# OpenAI's archives hold these three numbers beside the weights.
_SCALARS = ("input_resolution", "context_length", "vocab_size")
_RESAVE = "save the tensors alone, with torch.save(network.state_dict(), path) or safetensors, and give that file"
_REPLACE = "copy or download it again"

_DIGESTS: dict[tuple[int, int, int, int], str] = {}


def sha256_of(path: Path) -> str:
    """SHA-256 of a file as 64 hex digits; computed once per process, until the file changes. Raises WeightsError."""
    _check_is_file(path)
    status = path.stat()
    # Not by name: a download is verified under its temporary name and used under its final one.
    key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    if key not in _DIGESTS:
        try:
            with path.open("rb") as file:
                digest = hashlib.sha256()
                while block := file.read(1 << 20):
                    digest.update(block)
        except OSError as error:
            raise WeightsError(f"cannot read the weight file {path}: {error.strerror}") from error
        _DIGESTS[key] = digest.hexdigest()
    return _DIGESTS[key]


def read_state_dict(path: Path) -> StateDict:
    """The tensors of a checkpoint by name, on the CPU, without the wrappings that training programs leave.

    Reads safetensors, torch.save files (zip and legacy), OpenAI's TorchScript archives. Unwraps {'state_dict': …} and
    {'model': …}; takes off `module.` and the like where every name bears it.

    Raises:
        WeightsError: missing, damaged, not a checkpoint, or one that could only be read by executing it.
    """
    _check_is_file(path)
    kind = _kind(path)
    if kind == "safetensors":
        content: object = _read_safetensors(path)
    elif kind == "torchscript":
        content = _read_torchscript(path)
    else:
        content = _read_torch(path)
    return _clean(content, path)


def fill(network: torch.nn.Module, state: StateDict, *, path: Path, name: str, assign: bool = False) -> None:
    """Loads every tensor into its place. `name` says what the network is; `assign` as in `load_state_dict`.

    Raises:
        WeightsError: a tensor is missing, left over, or of another shape.
    """
    expected = {key: list(value.shape) for key, value in network.state_dict().items()}
    found = {key: list(value.shape) for key, value in state.items()}
    faults = [
        _first_few("lacks", [key for key in expected if key not in found]),
        _first_few("has besides", [key for key in found if key not in expected]),
        _first_few("has in other shapes", [f"{key} {found[key]} instead of {expected[key]}" for key in expected
                                           if key in found and found[key] != expected[key]]),
    ]
    if any(faults):
        raise WeightsError(f"the checkpoint {path} does not fit {name}: it {'; it '.join(filter(None, faults))}. "
                           "Give the model_name it was trained as, or another checkpoint")
    network.load_state_dict(state, strict=True, assign=assign)


def _first_few(verb: str, names: list[str]) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"{verb} {', '.join(names[:4])}{more}" if names else ""


def _check_is_file(path: Path) -> None:
    if path.is_dir():
        raise WeightsError(f"{path} is a folder; a checkpoint is one file: name the file in it")
    if not path.is_file():
        raise WeightsError(f"there is no checkpoint {path}: check the path")


def _kind(path: Path) -> str:
    """By content, not by suffix: safetensors files are also called .bin, pickles .pt, web pages anything."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise WeightsError(f"cannot read the checkpoint {path}: {error.strerror}") from error
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        return "safetensors"
    if head[:4] == b"PK\x03\x04":
        try:
            with zipfile.ZipFile(path) as archive:
                members = archive.namelist()
        except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, OSError, struct.error) as error:
            raise WeightsError(f"the checkpoint {path} is cut short or damaged ({error}): {_REPLACE}") from error
        return "torchscript" if any(member.endswith("/constants.pkl") for member in members) else "torch"
    if head[:1] == b"\x80":
        return "torch"
    found = "empty" if not head else f"something that begins with {head!r}"
    hint = ""
    if head.lstrip()[:1] == b"<":
        hint = " (a web page, as servers send it in place of a file)"
    elif head.startswith(b"version https://"):
        hint = " (a Git LFS pointer: fetch the file itself with `git lfs pull`)"
    raise WeightsError(f"{path} is no checkpoint but {found}{hint}: "
                       "give a .safetensors file or one that torch.save wrote")


def _read_safetensors(path: Path) -> object:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise WeightsError(f"the checkpoint {path} is cut short or damaged ({error}): {_REPLACE}") from error


def _read_torchscript(path: Path) -> object:
    sha256 = sha256_of(path)
    if sha256 not in {archive.sha256 for archive in ARCHIVES.values()}:
        raise WeightsError(
            f"the checkpoint {path} is a TorchScript archive, a program that loading would run, and its SHA-256 "
            f"{sha256} is none of OpenAI's: convert it where you trust it, with "
            "torch.save(torch.jit.load(path, map_location='cpu').state_dict(), new_path), and give the new file")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.load` is deprecated", category=Warning)
        return dict(torch.jit.load(path, map_location="cpu").state_dict())


def _read_torch(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).split("WeightsUnpickler error:")[-1].strip().splitlines()[0]
        raise WeightsError(f"the checkpoint {path} holds more than tensors or is damaged ({reason}), and reading it "
                           f"whole could run what it holds: {_RESAVE}") from error
    except (RuntimeError, EOFError, OSError, LookupError, ValueError, TypeError, AttributeError, AssertionError, OverflowError,
            MemoryError, struct.error) as error:
        # Whatever the parser trips over in a file that somebody else made.
        raise WeightsError(f"the checkpoint {path} is cut short or damaged ({error}): {_REPLACE}") from error


def _clean(content: object, path: Path) -> StateDict:
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not content:
        _refuse(path, f"holds {'nothing' if isinstance(content, dict) else f'a {type(content).__name__}'}")
    entries: dict[Any, Any] = dict(content)
    while prefix := next((p for p in _PREFIXES if all(str(key).startswith(p) for key in entries)), None):
        entries = {str(key).removeprefix(prefix): value for key, value in entries.items()}
    entries = {key: value for key, value in entries.items() if key not in _SCALARS}
    strangers = [str(key) for key, value in entries.items() if not isinstance(value, torch.Tensor)]
    if strangers or not entries:
        _refuse(path, _first_few("holds things that are no tensors:", strangers) or "holds no weights")
    return entries


def _refuse(path: Path, what: str) -> NoReturn:
    raise WeightsError(f"the checkpoint {path} {what}; expected are named tensors, alone or under "
                       f"{' or '.join(repr(wrapper) for wrapper in _WRAPPERS)}: {_RESAVE}")
