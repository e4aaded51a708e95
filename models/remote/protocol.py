"""What an encoder server and its clients say to each other: paths, headers, and what the server says of itself.

Arrays travel as they lie in memory (little endian, rows first), with their shape in a header.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from ..base import EncoderIdentity, PreprocessSpec

Made = TypeVar("Made")

EMBED, TOKENS, INFO, HEALTH = "/embed", "/tokens", "/info", "/health"
RAW = "application/octet-stream"
SHAPE_HEADER = "Clipreel-Shape"  # 32,3,224,224
DTYPE_HEADER = "Clipreel-Dtype"  # of an answer: float32 or float16
MODEL_HEADER = "Clipreel-Model"  # the fingerprint below: the client's expectation, and the server's answer to it
TOKEN_VARIABLE = "CLIPREEL_TOKEN"
MOST_CHARACTERS = 4000  # of a text; no model here reads so many, and a tokenizer's time grows faster than they do


@dataclass(frozen=True)
class Limits:
    """What one request may hold, and how many texts and images may wait."""

    images: int = 256
    texts: int = 1024
    body_bytes: int = 64_000_000
    image_pixels: int = 50_000_000
    queue_length: int = 4096


@dataclass(frozen=True)
class ServerInfo:
    """Everything a client needs to stand in for the encoder.

    `num_frames`: of encoders of windows. `context_length`: of those that cut a text which is longer, and can count tokens.
    """

    clipreel_version: str
    identity: EncoderIdentity
    preprocess: PreprocessSpec
    dim: int
    logit_scale: float
    limits: Limits
    num_frames: int | None = None
    context_length: int | None = None

    @property
    def fingerprint(self) -> str:
        """Of all that changes numbers: equal fingerprints, equal features."""
        said = asdict(self)
        chosen = {name: said[name] for name in ("identity", "preprocess", "dim", "logit_scale", "num_frames")}
        return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "fingerprint": self.fingerprint}

    @classmethod
    def from_json(cls, content: Any) -> ServerInfo:
        """The inverse; what is there besides is left out. Raises ValueError for what no server of ours says."""
        info = _made(cls, content)
        if content.get("fingerprint") != info.fingerprint:
            raise ValueError(f"its fingerprint {content.get('fingerprint')!r} is not that of what it says of its model")
        return info


def _made(kind: type[Made], content: Any) -> Made:
    if not isinstance(content, dict):
        raise ValueError(f"{content!r} stands where {kind.__name__} should")
    hints, values = get_type_hints(kind), {}
    for field in dataclasses.fields(kind):  # pyright: ignore[reportArgumentType]
        if field.name not in content:
            raise ValueError(f"it says no {field.name}")
        try:
            values[field.name] = _value(hints[field.name], content[field.name], field.name)
        except TypeError as error:
            raise ValueError(f"its {field.name} is {content[field.name]!r}") from error
    return kind(**values)


def _value(hint: Any, value: Any, name: str) -> Any:
    """`value` where it is of the kind `hint`: a record, a tuple (a list in JSON), one of some words, a number, a text."""
    if dataclasses.is_dataclass(hint):
        return _made(hint, value)  # pyright: ignore[reportArgumentType]
    if get_origin(hint) is tuple:
        return tuple(_value(item, one, name) for item, one in zip(get_args(hint), value, strict=True))
    if get_origin(hint) is Literal:
        fits = isinstance(value, str) and value in get_args(hint)
    else:
        kinds = get_args(hint) or (hint,)
        fits = not isinstance(value, bool) and isinstance(value, kinds)
    if not fits:
        raise ValueError(f"its {name} is {value!r}")
    return value
