"""Per-frame probabilities over sentences: softmax(exp(logit_scale) * cosine), the check of features by eye."""

from __future__ import annotations

import csv
import io
import logging
import tempfile
from collections.abc import Sequence

import numpy as np

from ..models.base import TextEncoder
from .features import Features
from .store.store import FeatureStore

log = logging.getLogger("clipreel")


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


class RunTable:
    """A CSV of all videos of a run, where each has no file of its own: key, timestamps_ms, then a column a text. In the order in
    which they are done; what is much waits on the disk."""

    def __init__(self, predictor: Predictor):
        self._predictor = predictor
        self._text = tempfile.SpooledTemporaryFile(1 << 24, "w+", encoding="utf-8", errors="backslashreplace", newline="")  # noqa: SIM115
        self._rows = csv.writer(self._text)
        self._rows.writerow(["key", "timestamps_ms", *predictor.texts])

    def add(self, key: str, features: Features) -> None:
        probabilities = self._predictor.probabilities(features)
        self._rows.writerows([key, time, *row] for time, row in zip(features.timestamps_ms.tolist(), probabilities.tolist(),
                                                                    strict=True))

    def write(self, store: FeatureStore, name: str) -> None:
        """Beside the features, and end. That it cannot be is only logged: the next run of the same words writes it."""
        with self._text:
            self._text.seek(0)
            try:
                store.write_beside(name, self._text.read().encode(errors="backslashreplace"))
            except OSError as error:
                log.error("%s: %s could not be written (%s)", store.place, name, error.strerror or error)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
