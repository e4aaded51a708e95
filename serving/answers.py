"""How features are sent back: base64 in JSON, lists of numbers, or the array as it lies in memory."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Literal, cast, get_args

import numpy as np
from starlette.datastructures import QueryParams
from starlette.responses import Response

from ..models.remote.protocol import DTYPE_HEADER, MODEL_HEADER, RAW, SHAPE_HEADER
from .refusal import Refusal

Form = Literal["base64", "list", "raw"]
DType = Literal["float32", "float16"]


@dataclass(frozen=True)
class Wanted:
    """What a request's query asks of its answer."""

    form: Form = "base64"
    dtype: DType = "float32"
    normalize: bool = True  # each row divided by its L2 norm


def read_wanted(query: QueryParams) -> Wanted:
    """?format=…&dtype=…&normalize=…  Raises Refusal."""
    allowed = {"format": get_args(Form), "dtype": get_args(DType), "normalize": ("true", "false")}
    for name, value in query.multi_items():
        if value not in allowed.get(name, ()):
            raise Refusal(400, f"?{name}={value}: allowed are " + ", ".join(
                f"{key}={'|'.join(values)}" for key, values in allowed.items()))
    return Wanted(cast(Form, query.get("format", "base64")), cast(DType, query.get("dtype", "float32")),
                  query.get("normalize", "true") == "true")


def respond(features: np.ndarray, wanted: Wanted, fingerprint: str) -> Response:
    """`features`: float32 [n, dim] as the encoder gives them."""
    if wanted.normalize:
        features = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    array = np.ascontiguousarray(features, dtype="<f4" if wanted.dtype == "float32" else "<f2")
    headers = {MODEL_HEADER: fingerprint}
    if wanted.form == "raw":
        shape = ",".join(map(str, array.shape))
        return Response(array.tobytes(), media_type=RAW, headers={**headers, SHAPE_HEADER: shape, DTYPE_HEADER: wanted.dtype})
    if wanted.form == "list":
        content = {"embeddings": array.tolist()}
    else:
        content = {"embeddings": base64.b64encode(array.tobytes()).decode(), "shape": list(array.shape)}
    content |= {"dtype": wanted.dtype, "normalized": wanted.normalize, "model": fingerprint}
    return Response(json.dumps(content), media_type="application/json", headers=headers)


def respond_as_seed(features: np.ndarray) -> Response:
    """{"embeddings": [[…]]}, normalised: what the published CLIP server answers."""
    features = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    return Response(json.dumps({"embeddings": features.tolist()}), media_type="application/json")
