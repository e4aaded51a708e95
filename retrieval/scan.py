"""Exact search: every row's score by blocked matrix products, and the best of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from .codes import binary_codes, equal_bits

# Rows that are made float32 at a time: such a block stays in the cache, which a single query's speed hangs on.
_BLOCK_ROWS = 1024
_CHUNK_SCORES = 1 << 23  # scores held at a time, 32 MB
_MOST_ROWS = 1 << 18
_SAMPLE = 2048


@dataclass(frozen=True, eq=False)
class Hits:
    """The best rows for each query, best first; of equal scores the lower row."""

    rows: np.ndarray  # int64 [Q, top]
    scores: np.ndarray  # float32 [Q, top]


class Best:
    """The best `top` rows a query, of scores that come in chunks with rising row numbers."""

    def __init__(self, queries: int, top: int):
        self._top = top
        self._rows = [np.empty(0, dtype=np.int64) for _ in range(queries)]
        self._scores = [np.empty(0, dtype=np.float32) for _ in range(queries)]

    def offer(self, scores: np.ndarray, rows: np.ndarray) -> None:
        """float32 [Q, m] of rows int64 [m] or [Q, m]; -inf is no row."""
        for query, (mine, numbers) in enumerate(zip(scores, np.broadcast_to(rows, scores.shape), strict=True)):
            held = self._scores[query]
            # a later row with the score of the last one held does not come before it
            places = np.flatnonzero(mine > held[-1]) if len(held) == self._top else self._worth_it(mine)
            if not len(places):
                continue
            both = np.concatenate([self._rows[query], numbers[places]])
            values = np.concatenate([held, mine[places]])
            order = np.lexsort((both, -values))[:self._top]
            self._rows[query], self._scores[query] = both[order], values[order]

    def hits(self) -> Hits:
        """Raises ValueError where fewer rows than `top` came."""
        return Hits(np.stack(self._rows), np.stack(self._scores))

    def _worth_it(self, scores: np.ndarray) -> np.ndarray:
        """Places that may be among the best: a sample's last one of `top` is a floor."""
        if self._top < _SAMPLE < len(scores):
            floor = np.partition(scores[:_SAMPLE], _SAMPLE - self._top)[_SAMPLE - self._top]
            return np.flatnonzero((scores >= floor) & (scores > -np.inf))
        return np.flatnonzero(scores > -np.inf)


class ExactScan:
    """Scores of blocks of vectors (float32 or float16, or int8 with a scale a row). On the CPU they may be memory-mapped; on
    another device they are copied there once."""

    def __init__(self, blocks: list[np.ndarray], scales: list[np.ndarray] | None = None, device: str = "cpu"):
        self._device = torch.device(device)
        self._blocks = [torch.from_numpy(block).to(self._device) for block in blocks]  # [n, D] each
        self._scales = None if scales is None else [torch.from_numpy(one).to(self._device) for one in scales]

    def search(self, queries: np.ndarray, top: int, dead: list[np.ndarray]) -> Hits:
        """float32 [Q, D] -> the best of all rows; `dead`: int64 rows of each block that are not there any more."""
        best, wanted = Best(len(queries), top), torch.from_numpy(np.ascontiguousarray(queries)).to(self._device)
        offset = 0
        for number, (block, gone) in enumerate(zip(self._blocks, dead, strict=True)):
            for first, scores in self._chunks(number, wanted):
                inside = gone[(gone >= first) & (gone < first + scores.shape[1])]
                if len(inside):
                    scores[:, torch.from_numpy(inside - first).to(self._device)] = -torch.inf
                if self._device.type == "cpu":
                    best.offer(scores.numpy(), offset + first + np.arange(scores.shape[1]))
                else:
                    values, places = torch.topk(scores, min(top, scores.shape[1]))
                    best.offer(values.cpu().numpy(), offset + first + places.cpu().numpy())
            offset += len(block)
        return best.hits()

    def _chunks(self, number: int, queries: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
        """(first row, float32 [Q, m])."""
        block = self._blocks[number]
        rows = min(max(_BLOCK_ROWS, _CHUNK_SCORES // len(queries)), _MOST_ROWS)
        step = _BLOCK_ROWS if block.dtype != torch.float32 and self._device.type == "cpu" else rows
        for first in range(0, len(block), rows):
            end = min(first + rows, len(block))
            scores = torch.empty(len(queries), end - first, device=self._device)
            for begin in range(first, end, step):
                piece = block[begin:min(begin + step, end)]
                torch.mm(queries, piece.float().T, out=scores[:, begin - first:begin - first + len(piece)])
            if self._scales is not None:
                scores *= self._scales[number][first:end]
            yield first, scores


class BinaryScan:
    """Rows by how many signs they share with the query."""

    def __init__(self, blocks: list[np.ndarray]):
        self._blocks = blocks  # uint8 [n, b] each

    def search(self, queries: np.ndarray, top: int, dead: list[np.ndarray]) -> Hits:
        """float32 [Q, D] -> as `ExactScan.search`, with scores that are minus the differing bits."""
        best, offset, codes = Best(len(queries), top), 0, binary_codes(queries)
        for block, gone in zip(self._blocks, dead, strict=True):
            rows = max(1, _CHUNK_SCORES // len(queries))
            for first in range(0, len(block), rows):
                scores = np.stack([equal_bits(code, block[first:first + rows]) for code in codes])
                inside = gone[(gone >= first) & (gone < first + rows)]
                scores[:, inside - first] = -np.inf
                best.offer(scores, offset + first + np.arange(scores.shape[1]))
            offset += len(block)
        return best.hits()
