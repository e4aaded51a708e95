"""The extractors by feature type."""

from __future__ import annotations

from collections.abc import Callable

from ..models.base import Encoder
from .extractor import Extractor
from .framewise import FramewiseExtractor

EXTRACTORS: dict[str, Callable[[Encoder], Extractor]] = {
    "clip": FramewiseExtractor,
    "open_clip": FramewiseExtractor,
}
