"""`inspect PATH`: what is stored, and whether it is what was written."""

from __future__ import annotations

import sys

from ...configs.schema import InspectConfig
from ...errors import StoredDataError
from .base import Mark
from .object_store import find_stored_anywhere


def run(config: InspectConfig) -> int:
    """Print a block a video; 1 when something is damaged. Raises StoredDataError when nothing is there."""
    count, damaged = 0, 0
    for video in find_stored_anywhere(config.path):
        count += 1
        try:
            features = video.read(True)
        except (StoredDataError, OSError) as error:
            damaged += 1
            sys.stdout.write(f"{video.key}\n  DAMAGED: {error}\n")
            continue
        assert video.mark is not None
        shapes = ", ".join(f"{name} {list(array.shape)} {array.dtype.name}" for name, array in features.arrays().items())
        sys.stdout.write(f"{video.key}\n  {shapes}\n{_describe(video.mark)}")
    if not count:
        raise StoredDataError(f"{config.path}: holds no stored features")
    sys.stdout.write(f"{count} videos, {damaged} damaged\n")
    return 1 if damaged else 0


def _describe(mark: Mark) -> str:
    source, settings = mark.provenance.source, mark.provenance.settings
    first, last = mark.time_range_ms
    chosen = ", ".join(f"{name}={value}" for name, value in settings.flat().items()
                       if value is not None and name != "weights_sha256")
    metadata = "".join(f"  {name}: {value}\n" for name, value in mark.provenance.metadata.items())
    return (f"  fps {mark.fps:g}, times {first:.3f} to {last:.3f} ms\n"
            f"  source {source.path} ({source.width}x{source.height}, {source.duration_seconds:.3f} s, "
            f"{source.size_bytes} bytes, content id {source.content_id})\n"
            f"  made with {chosen}\n  weights SHA-256 {settings.encoder.weights_sha256}\n"
            f"  clipreel {mark.provenance.clipreel_version}, digests verified\n{metadata}")
