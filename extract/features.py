"""What leaves `extract`: features with their times, and where they came from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import MISSING, asdict, dataclass, field, fields
from functools import cache
from typing import Any, TypeVar, get_origin, get_type_hints

import numpy as np

from ..models.base import EncoderIdentity

Made = TypeVar("Made")


@dataclass(frozen=True)
class Source:
    """The video (or the segment of one, in seconds, half open) that features were made of."""

    path: str
    size_bytes: int
    content_id: str  # a fast hash of the size and three pieces of the file
    width: int
    height: int
    duration_seconds: float
    start_seconds: float | None = None
    end_seconds: float | None = None
    damage: str | None = None  # what is missing of it, where allow_truncated let that pass


@dataclass(frozen=True)
class Settings:
    """Everything that changes the numbers, and nothing else: no batch size, devices or workers.

    Features made with equal settings of the same source are interchangeable.
    """

    encoder: EncoderIdentity
    sampling: str
    extraction_fps: float | None
    extraction_total: int | None
    start: float | None
    end: float | None
    fps: float | None  # of a folder of pictures
    reader: str
    dtype: str
    normalize: bool
    window_seconds: float | None = None  # of windows of frames; None: the whole video is one
    stride_seconds: float | None = None
    select: str | None = None  # the fingerprint of the checkpoint that chose the frames before they were encoded

    def flat(self) -> dict[str, Any]:
        """key -> value under the command line's names."""
        values = asdict(self)
        return {**values.pop("encoder"), **values}

    @property
    def fingerprint(self) -> str:
        # What is not set is left out, so that a setting that comes in a later version stales nothing.
        chosen = {name: value for name, value in self.flat().items() if value is not None}
        return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Provenance:
    """What a stored feature says of itself; equal runs give equal provenance (no wall-clock times)."""

    source: Source
    settings: Settings
    clipreel_version: str
    metadata: dict[str, str] = field(default_factory=dict)  # the other columns of the CSV


@dataclass(frozen=True, eq=False)
class Features:
    """The features of one video. `timestamps_ms`: true presentation times on the file's timeline, of each row's frame or
    of its window's first."""

    features: np.ndarray  # float32 or float16 [n, dim]
    timestamps_ms: np.ndarray  # float64 [n]
    fps: float  # the source's own; NaN when the file does not say
    provenance: Provenance
    intervals_ms: np.ndarray | None = None  # float64 [n, 2], half open, for windows of frames

    def __post_init__(self):
        if self.features.ndim != 2 or not len(self.features):
            raise ValueError(f"features {self.features.shape} are not [n, dim] with a row at least")
        if self.timestamps_ms.shape != (len(self.features),):
            raise ValueError(f"features {self.features.shape} and times {self.timestamps_ms.shape} do not match")
        if self.intervals_ms is not None and self.intervals_ms.shape != (len(self.features), 2):
            raise ValueError(f"intervals_ms {self.intervals_ms.shape} is not [{len(self.features)}, 2]")

    def __len__(self) -> int:
        return len(self.features)

    def __repr__(self) -> str:
        return (f"Features(features={self.features.dtype.name}{list(self.features.shape)}, fps={self.fps:g}, "
                f"source={self.provenance.source.path!r})")

    @property
    def extraction_fps(self) -> float | None:
        return self.provenance.settings.extraction_fps

    def arrays(self) -> dict[str, np.ndarray]:
        """Name -> array, as every format stores them; the features' own name is the feature type."""
        named = {self.provenance.settings.encoder.feature_type: self.features,
                 "timestamps_ms": self.timestamps_ms, "fps": np.array(self.fps, dtype=np.float64)}
        if self.intervals_ms is not None:
            named["intervals_ms"] = self.intervals_ms
        return {name: np.asarray(array, order="C") for name, array in named.items()}  # equal arrays, equal files


def provenance_to_json(provenance: Provenance) -> dict[str, Any]:
    return {"clipreel_version": provenance.clipreel_version, "source": asdict(provenance.source),
            "settings": provenance.settings.flat(), "fingerprint": provenance.settings.fingerprint,
            "metadata": provenance.metadata}


def provenance_from_json(content: dict[str, Any]) -> Provenance:
    """The inverse of `provenance_to_json`. Raises KeyError, TypeError or AttributeError when the content is not ours."""
    values = dict(content["settings"])
    encoder = made(EncoderIdentity, {name: values.pop(name) for name in EncoderIdentity.__dataclass_fields__ if name in values})
    metadata = {str(name): str(value) for name, value in content["metadata"].items()}
    return Provenance(made(Source, content["source"]), made(Settings, {"encoder": encoder, **values}),
                      str(content["clipreel_version"]), metadata)


def made(kind: type[Made], values: dict[str, Any]) -> Made:
    """A dataclass from JSON's values, each of its field's type. Raises KeyError, TypeError."""
    for name, hint in _hints(kind).items():
        if name not in values and name in _defaults(kind):
            continue  # what is read is older than this field
        value = values[name]
        if not (isinstance(value, hint) or (isinstance(value, int) and isinstance(1.0, hint))):
            raise TypeError(f"{name}={value!r} is no {hint}")
    return kind(**values)


@cache
def _hints(kind: type) -> dict[str, Any]:
    """Each field's type, to be asked of a value: of a dict only that it is one."""
    return {name: get_origin(hint) if get_origin(hint) is dict else hint for name, hint in get_type_hints(kind).items()}


@cache
def _defaults(kind: type) -> frozenset[str]:
    return frozenset(one.name for one in fields(kind) if one.default is not MISSING or one.default_factory is not MISSING)
