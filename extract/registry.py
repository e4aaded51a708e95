"""The extractors by feature type."""

from __future__ import annotations

from typing import cast

from ..errors import ConfigError
from ..models.base import Encoder, WindowEncoder
from .extractor import Extractor
from .framewise import FramewiseExtractor
from .windows import WindowExtractor

EXTRACTORS: dict[str, type[FramewiseExtractor | WindowExtractor]] = {
    "clip": FramewiseExtractor,
    "open_clip": FramewiseExtractor,
    "viclip": WindowExtractor,
    "policy": FramewiseExtractor,
}


def make_extractor(
    encoder: Encoder, window_seconds: float | None = None, stride_seconds: float | None = None,
) -> Extractor:
    """The extractor of an encoder's kind. Raises ConfigError for windows of an encoder of single frames."""
    feature_type = encoder.identity.feature_type
    check_windows(feature_type, window_seconds)
    kind = EXTRACTORS[feature_type]
    if issubclass(kind, WindowExtractor):
        return kind(cast(WindowEncoder, encoder), window_seconds, stride_seconds)
    return kind(encoder)


def check_windows(feature_type: str, window_seconds: float | None) -> None:
    """Raises ConfigError where windows are asked of an encoder of single frames; needs no encoder."""
    if window_seconds is not None and not issubclass(EXTRACTORS[feature_type], WindowExtractor):
        windowed = ", ".join(name for name, kind in EXTRACTORS.items() if issubclass(kind, WindowExtractor))
        raise ConfigError(f"window_seconds={window_seconds:g} does not go with feature_type={feature_type}, which encodes "
                          f"single frames: leave it out, or use feature_type={windowed}")
