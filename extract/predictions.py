"""Per-frame probabilities over sentences: softmax(exp(logit_scale) * cosine), the check of features by eye."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import numpy as np

from ..models.base import TextEncoder
from .features import Features


class Predictor:
    """Encodes the sentences once; then a small product a video."""

    def __init__(self, encoder: TextEncoder, texts: Sequence[str]):
        self.texts = tuple(texts)
        self._scale = float(encoder.logit_scale)
        self._texts = _unit(encoder.encode_text(list(texts)).cpu().numpy().astype(np.float64))  # [m, dim]

    def probabilities(self, features: Features) -> np.ndarray:
        """float64 [n, m], each row summing to 1."""
        logits = self._scale * _unit(features.features.astype(np.float64)) @ self._texts.T
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        return weights / weights.sum(axis=1, keepdims=True)

    def table(self, features: Features, probabilities: np.ndarray) -> bytes:
        """A CSV: timestamps_ms, then a column a text."""
        text = io.StringIO(newline="")
        table = csv.writer(text)
        table.writerow(["timestamps_ms", *self.texts])
        table.writerows([time, *row] for time, row in zip(features.timestamps_ms.tolist(), probabilities.tolist(),
                                                          strict=True))
        return text.getvalue().encode()


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
