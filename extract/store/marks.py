"""The commit mark as JSON, and the check that what is read belongs to it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...errors import StoredDataError
from ..features import Features, provenance_from_json, provenance_to_json
from .base import MARK, SCHEMA_VERSION, Mark

# What reading a mark raises when the content is not one of ours.
NOT_A_MARK = (ValueError, KeyError, TypeError, AttributeError, RecursionError)


def mark_to_json(key: str, features: Features, contents: dict[str, dict[str, Any]]) -> dict[str, Any]:
    times = features.timestamps_ms
    return {"format": MARK, "schema_version": SCHEMA_VERSION, "key": key,
            "shape": list(features.features.shape), "dtype": features.features.dtype.name,
            "fps": None if math.isnan(features.fps) else features.fps,
            "time_range_ms": [float(times[0]), float(times[-1])], "contents": contents,
            **provenance_to_json(features.provenance)}


def mark_from_json(content: dict[str, Any]) -> Mark:
    """Raises one of NOT_A_MARK when the content is not a mark of ours, StoredDataError for one of another version
    (which must not pass for half written: it would be written over)."""
    if content["format"] != MARK:
        raise ValueError("not a mark of ours")
    if content["schema_version"] != SCHEMA_VERSION:
        raise StoredDataError(f"the features of {content['key']!r} were stored by another version of clipreel (layout "
                              f"{content['schema_version']}, this one reads {SCHEMA_VERSION}): use that version, or "
                              "another output_path")
    rows, dim = (int(size) for size in content["shape"])
    first, last = (float(time) for time in content["time_range_ms"])
    contents = {str(name): {"size_bytes": int(said["size_bytes"]), "sha256": str(said["sha256"])}
                for name, said in content["contents"].items()}
    return Mark(str(content["key"]), provenance_from_json(content), (rows, dim), str(content["dtype"]),
                math.nan if content["fps"] is None else float(content["fps"]), (first, last), contents)


def names_arrays(mark: Mark, names: set[str]) -> bool:
    """Whether these are the arrays that such features have: all that are always there, and no stranger."""
    always = {mark.provenance.settings.encoder.feature_type, "timestamps_ms", "fps"}
    return always <= names <= always | {"intervals_ms"}


def features_of(mark: Mark, arrays: dict[str, np.ndarray]) -> Features:
    """Raises StoredDataError when the arrays are not what the mark says."""
    try:
        features = Features(arrays[mark.provenance.settings.encoder.feature_type], arrays["timestamps_ms"],
                            float(arrays["fps"]), mark.provenance, arrays.get("intervals_ms"))
    except (KeyError, ValueError, TypeError) as error:
        raise StoredDataError(f"{mark.key}: the stored arrays do not belong together ({error})") from error
    if (features.features.shape, features.features.dtype.name) != (mark.shape, mark.dtype):
        raise StoredDataError(f"{mark.key}: the stored array is {features.features.dtype.name} "
                              f"{list(features.features.shape)}, its metadata says {mark.dtype} {list(mark.shape)}")
    return features
