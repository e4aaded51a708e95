"""Cheap features of the very frames whose expensive features are stored: two stores side by side, matched by time."""

from __future__ import annotations

import numpy as np

from ..errors import StoredDataError
from ..extract.features import Features

_SAME_INSTANT_MS = 0.5  # times of one frame that went through two runs are equal; through two versions, to the rounding


def policy_rows(features: Features, policy: Features, rows: np.ndarray) -> np.ndarray:
    """The policy features float32 [N, d] of the frames in `rows` (int64 [N]) of a video's features.

    Raises StoredDataError where the two are of different videos, or a frame has no policy feature.
    """
    here, there = features.provenance.source, policy.provenance.source
    if policy.provenance.settings.encoder.feature_type != "policy":
        raise StoredDataError(f"policy_features: {there.path} holds features of feature_type="
                              f"{policy.provenance.settings.encoder.feature_type}; allowed are those of feature_type=policy")
    if here.content_id != there.content_id:
        raise StoredDataError(f"policy_features: those of {there.path} are of another video than the features of {here.path}: "
                              "extract both from the same files")
    wanted, known = features.timestamps_ms[rows], policy.timestamps_ms
    places = np.clip(np.searchsorted(known, wanted - _SAME_INSTANT_MS), 0, len(known) - 1)  # [N]
    lacking = np.abs(known[places] - wanted) > _SAME_INSTANT_MS
    if lacking.any():
        raise StoredDataError(f"policy_features: {int(lacking.sum())} of {len(rows)} frames of {here.path} have none (the first "
                              f"at {wanted[lacking][0]:.0f} ms): extract them with the sampling of the features "
                              f"({_sampling(features)}, not {_sampling(policy)})")
    return policy.features[places].astype(np.float32)


def _sampling(features: Features) -> str:
    settings = features.provenance.settings
    names = ("sampling", "extraction_fps", "extraction_total", "start", "end", "fps")
    return ", ".join(f"{name}={value}" for name in names if (value := getattr(settings, name)) is not None)
