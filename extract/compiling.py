"""`compile=true`: encoders whose image tower goes through torch.compile."""

from __future__ import annotations

import importlib.util
import os
import shutil
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ..errors import ConfigError

if TYPE_CHECKING:
    from ..models.base import Encoder


@runtime_checkable
class Compilable(Protocol):
    """An encoder that has a network here."""

    def compiled(self) -> Encoder: ...


def compiled(encoder: Encoder) -> Encoder:
    """The encoder to run with; nothing is compiled before its first pass. Raises ConfigError where it cannot be."""
    if not isinstance(encoder, Compilable):
        raise ConfigError(f"compile=true does not go with this encoder ({encoder.identity.feature_type} "
                          f"{encoder.identity.model_name}): it is for clip, open_clip and viclip that run here; leave it out")
    if (fault := compile_fault(encoder.device.type)) is not None:
        raise ConfigError(f"compile=true cannot work here: {fault}; or leave it out")
    return encoder.compiled()


def compile_fault(device_type: str) -> str | None:
    """A sentence that says what to do, or None where torch.compile has what it needs."""
    if device_type == "cuda":
        import torch

        if torch.cuda.get_device_capability() < (7, 0):
            return "torch.compile needs a GPU of compute capability 7.0 or above"
        if importlib.util.find_spec("triton") is None:
            return "torch.compile needs Triton, which torch's wheels for Linux bring: pip install triton"
        names = [os.environ.get("CC"), "cc", "gcc", "clang"]
    else:
        names = [os.environ.get("CXX"), "g++", "clang++"]
    if any(name and shutil.which(name) for name in names):
        return None
    language = "C" if device_type == "cuda" else "C++"
    return f"torch.compile needs a {language} compiler, and none was found: apt install build-essential"
