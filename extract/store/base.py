"""What a format is, and what a store says of a key."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..features import Features, Provenance

MARK = "clipreel-features"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Mark:
    """The commit mark of one stored video: written last, it says what there is and that it is whole."""

    key: str
    provenance: Provenance
    shape: tuple[int, int]
    dtype: str
    fps: float
    time_range_ms: tuple[float, float]
    contents: dict[str, dict[str, Any]]  # file or dataset -> size_bytes and sha256


class FeatureFormat(Protocol):
    """One way to lay a video's features on disk. `mark` gives None for a key that is absent or half written;
    `read` with `verify` compares digests and raises StoredDataError where they differ."""

    def write(self, folder: Path, key: str, features: Features) -> None: ...

    def mark(self, folder: Path, key: str) -> Mark | None: ...

    def read(self, folder: Path, key: str, *, verify: bool = False) -> Features: ...
