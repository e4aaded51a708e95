"""Features by the content that they were made of: the least recently used ones leave first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np


class FeatureCache:
    """digest -> float32 [dim], at most `most_bytes` of them. Safe to use from several threads."""

    def __init__(self, most_bytes: int):
        self._most_bytes, self._bytes = most_bytes, 0
        self._rows: OrderedDict[bytes, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._rows)

    def known(self, digests: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        """Those that are there."""
        with self._lock:
            found = {digest: self._rows[digest] for digest in digests if digest in self._rows}
            for digest in found:
                self._rows.move_to_end(digest)
        return found

    def add(self, rows: Mapping[bytes, np.ndarray] | Iterable[tuple[bytes, np.ndarray]]) -> None:
        with self._lock:
            for digest, row in dict(rows).items():
                before = self._rows.pop(digest, None)
                row = row.copy()  # not a view that keeps its whole batch
                self._rows[digest] = row
                self._bytes += row.nbytes - (before.nbytes if before is not None else 0)
            while self._bytes > self._most_bytes:
                _, old = self._rows.popitem(last=False)
                self._bytes -= old.nbytes
