"""FAISS: candidates out of millions without looking at each. What it finds is ranked anew by the vectors themselves."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import MissingExtraError, StoredDataError
from .codes import binary_codes

RECALL = 0.98  # of the 10 best, on disturbed vectors of the index: more effort is spent until it is reached
_CODES = {"float32": "Flat", "float16": "SQfp16", "int8": "SQ8"}
_LINKS, _EF_CONSTRUCTION = 32, 80
_TRAINING_VECTORS = 64  # a cell
_EFFORTS = {"hnsw": (32, 4096), "ivf": (4, 4096)}  # first and most: ef, and probes


class Cells:
    """A structure over rows 0, 1, 2, … in the order they were added."""

    def __init__(self, faiss: Any, index: Any, kind: str, binary: bool):
        self._faiss, self._index, self._kind, self._binary = faiss, index, kind, binary

    @classmethod
    def build(cls, kind: str, dtype: str, blocks: Callable[[], Iterable[np.ndarray]], rows: int, dim: int) -> Cells:
        """Train on a sample of the vectors (float32 [m, dim] blocks, twice asked for) and add all of them."""
        faiss, binary = _faiss(), dtype == "binary"
        cells = 2 ** max(2, round(math.log2(math.sqrt(rows))))
        if binary:
            bits = 64 * math.ceil(dim / 64)
            index = faiss.IndexBinaryHNSW(bits, _LINKS) if kind == "hnsw" else faiss.index_binary_factory(bits, f"BIVF{cells}")
        else:
            factory = f"HNSW{_LINKS},{_CODES[dtype]}" if kind == "hnsw" else f"IVF{cells},{_CODES[dtype]}"
            index = faiss.index_factory(dim, factory, faiss.METRIC_INNER_PRODUCT)
        if kind == "hnsw":
            index.hnsw.efConstruction = _EF_CONSTRUCTION
        made = cls(faiss, index, kind, binary)
        if not index.is_trained:
            share = min(1.0, cells * _TRAINING_VECTORS / rows)
            rng = np.random.default_rng(0)
            sample = np.concatenate([block[rng.random(len(block)) < share] for block in blocks()])
            index.train(made._coded(sample if len(sample) >= cells else np.concatenate(list(blocks()))))
        for block in blocks():
            made.add(block)
        return made

    @classmethod
    def read(cls, path: Path, kind: str, dtype: str, *, mapped: bool = True) -> Cells:
        """`mapped`: on the file's pages, where nothing can be added. Raises StoredDataError where it is none of FAISS's."""
        faiss, binary = _faiss(), dtype == "binary"
        try:
            if binary:
                return cls(faiss, faiss.read_index_binary(str(path)), kind, binary)
            return cls(faiss, faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC if mapped else 0), kind, binary)
        except RuntimeError as error:
            path.stat()  # where it is gone, that is what is raised
            raise StoredDataError(f"{path}: is damaged ({error}); make the index again with overwrite=true") from error

    def write(self, path: Path) -> None:
        """Raises OSError."""
        try:
            (self._faiss.write_index_binary if self._binary else self._faiss.write_index)(self._index, str(path))
        except RuntimeError as error:  # FAISS's word for a full disk
            raise OSError(0, str(error).splitlines()[0]) from error

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, vectors: np.ndarray) -> None:
        """float32 [m, dim], as the next rows."""
        self._index.add(self._coded(vectors))

    def candidates(self, queries: np.ndarray, count: int, effort: int, dead: np.ndarray) -> np.ndarray:
        """Rows near each query, int64 [Q, count], -1 where there are fewer. `dead`: rows that are not there any more."""
        faiss = self._faiss
        selector = faiss.IDSelectorNot(faiss.IDSelectorBatch(dead)) if len(dead) else None
        if self._kind == "hnsw":
            parameters = faiss.SearchParametersHNSW(efSearch=max(effort, count), sel=selector)
        else:
            parameters = faiss.SearchParametersIVF(nprobe=effort, sel=selector)
        if not self._binary:
            return self._index.search(queries, count, params=parameters)[1]
        # those of bits take no parameters
        if self._kind == "hnsw":
            self._index.hnsw.efSearch = max(effort, count)
        else:
            self._index.nprobe = effort
        wanted = min(len(self), count + min(len(dead), 10 * count))
        found = self._index.search(self._coded(queries), wanted)[1]
        found = np.where(np.isin(found, dead), -1, found)
        return np.take_along_axis(found, np.argsort(found < 0, axis=1, kind="stable"), axis=1)[:, :count]

    def tuned(self, queries: np.ndarray, best: np.ndarray, count: int, dead: np.ndarray,
              ranked: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> tuple[int, float]:
        """(the least effort that finds RECALL of the exact `best` [Q, 10], what it finds). `ranked(queries, candidates)` gives
        the best 10 of candidates."""
        effort, most = _EFFORTS[self._kind]
        if self._kind == "ivf":
            most = min(most, int(self._index.nlist))
        while True:
            found = ranked(queries, self.candidates(queries, count, effort, dead))
            shared = [len(np.intersect1d(mine, right)) / len(right) for mine, right in zip(found, best, strict=True)]
            recall = float(np.mean(shared))
            if recall >= RECALL or effort >= most:
                return effort, recall
            effort = min(2 * effort, most)

    def _coded(self, vectors: np.ndarray) -> np.ndarray:
        return binary_codes(vectors) if self._binary else np.ascontiguousarray(vectors, dtype=np.float32)


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise MissingExtraError("faiss", "retrieval", "an index of structure=hnsw or ivf (and auto, beyond a million videos; "
                                "structure=exact needs none)") from error
    return faiss
