"""An index of videos' vectors, as it was committed when it was opened: memory-mapped, searched exactly or through FAISS."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import ConfigError, StoredDataError
from .approximate import Cells
from .index_files import (
    IndexedVideo,
    Manifest,
    Segment,
    check_file,
    key_of,
    open_array,
    read_manifest,
    video_of_line,
)
from .scan import BinaryScan, ExactScan, Hits

_CANDIDATES = {"float32": (4, 100), "float16": (4, 100), "int8": (4, 100), "binary": (50, 1000)}  # times top; at least
_BLOCK_ROWS = 65536


@dataclass(frozen=True, eq=False)
class OpenSegment:
    """A segment's arrays, memory-mapped."""

    vectors: np.ndarray  # float32 or float16 [n, dim]
    keys: np.ndarray  # uint64 [n]
    offsets: np.ndarray  # int64 [n + 1]
    videos: np.ndarray  # uint8
    dead: np.ndarray  # int64, ascending
    codes: np.ndarray | None  # int8 [n, dim], or uint8 [n, bytes] of signs
    scales: np.ndarray | None

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def alive(self) -> np.ndarray:
        """int64, ascending."""
        return np.setdiff1d(np.arange(len(self)), self.dead, assume_unique=True)

    def video(self, row: int) -> IndexedVideo:
        return video_of_line(self.videos[self.offsets[row]:self.offsets[row + 1]].tobytes())


class VectorIndex:
    """What one commit holds; later commits are seen by who opens anew. Rows are numbers within this commit."""

    def __init__(self, folder: Path, manifest: Manifest, segments: list[OpenSegment], cells: Cells | None, device: str = "cpu"):
        self.folder, self.manifest, self.segments, self._cells = folder, manifest, segments, cells
        self._begins = np.cumsum([0, *map(len, segments)])
        self._device = device
        self._scan: ExactScan | BinaryScan | None = None

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, verify: bool = False, device: str = "cpu") -> VectorIndex:
        """The index as it is now, also while another process writes to it.

        Args:
            verify: compare every file with its digest, also the large ones.
            device: where exact searches are done; vectors are copied there once.

        Raises: StoredDataError where there is none or it is damaged.
        """
        folder = Path(path).expanduser()
        while True:
            manifest = read_manifest(folder)
            try:
                segments = open_segments(folder, manifest, verify=verify)
                cells = _cells(folder, manifest, verify)
                return cls(folder, manifest, segments, cells, device)
            except FileNotFoundError as error:
                if read_manifest(folder) == manifest:  # and not that a commit came in between and removed what it replaced
                    raise StoredDataError(f"{error.filename}: is missing; make the index again") from error

    def __len__(self) -> int:
        return self.manifest.alive

    def search(self, queries: np.ndarray, top: int) -> Hits:
        """The `top` videos for each query by their cosines, best first.

        Args:
            queries: float32 [Q, dim], not zero; they are made unit vectors.
            top: at most as many as there are.

        Raises: ConfigError for queries or a top that cannot be.
        """
        wanted = self._checked(queries, top)
        count = self.candidate_count(top)
        approximate = self.manifest.approximate
        if self._cells is not None and approximate is not None:
            hits = self.ranked(wanted, self._approximate_candidates(wanted, count), top)
            if short := np.flatnonzero((hits.rows < 0).any(axis=1)).tolist():  # cells may hold fewer than are asked for
                exact = self.exact(wanted[short], top)
                hits.rows[short], hits.scores[short] = exact.rows, exact.scores
            return hits
        if self.manifest.dtype in ("float32", "float16"):
            return self._exact(wanted, top)
        return self.ranked(wanted, self._exact(wanted, count).rows, top)

    def candidate_count(self, top: int) -> int:
        """How many rows are found by codes or by FAISS, to be ranked by their vectors."""
        factor, least = _CANDIDATES[self.manifest.dtype]
        return min(len(self), max(factor * top, least))

    def exact(self, queries: np.ndarray, top: int) -> Hits:
        """As `search`, by the vectors of all rows."""
        wanted = self._checked(queries, top)
        scan = ExactScan([segment.vectors for segment in self.segments], device=self._device)
        return scan.search(wanted, top, [segment.dead for segment in self.segments])

    def ranked(self, queries: np.ndarray, candidates: np.ndarray, top: int) -> Hits:
        """The best of each query's candidates, int64 [Q, n] rows (-1: none), by the vectors themselves."""
        rows, scores = np.full((len(queries), top), -1, dtype=np.int64), np.full((len(queries), top), -np.inf, dtype=np.float32)
        for number, (query, mine) in enumerate(zip(queries, candidates, strict=True)):
            there = np.unique(mine[mine >= 0])
            found = self.vectors(there) @ query
            order = np.lexsort((there, -found))[:top]
            rows[number, :len(order)], scores[number, :len(order)] = there[order], found[order]
        return Hits(rows, scores)

    def vectors(self, rows: np.ndarray) -> np.ndarray:
        """float32 [n, dim]."""
        found = np.empty((len(rows), self.manifest.dim), dtype=np.float32)
        numbers = np.searchsorted(self._begins, rows, side="right") - 1
        for number in np.unique(numbers).tolist():
            mine = numbers == number
            found[mine] = self.segments[number].vectors[rows[mine] - self._begins[number]]
        return found

    def video(self, row: int) -> IndexedVideo:
        number = int(np.searchsorted(self._begins, row, side="right")) - 1
        return self.segments[number].video(row - int(self._begins[number]))

    def rows_of(self, video_ids: Iterable[str]) -> dict[str, int]:
        """The rows of those that are there."""
        wanted = {key_of(video_id): video_id for video_id in video_ids}
        keys, found = np.fromiter(wanted, dtype=np.uint64, count=len(wanted)), dict[str, int]()
        for number, segment in enumerate(self.segments):
            places = np.flatnonzero(np.isin(segment.keys, keys))
            for place in np.setdiff1d(places, segment.dead).tolist():
                video_id = segment.video(place).video_id
                if wanted[int(segment.keys[place])] == video_id:
                    found[video_id] = int(self._begins[number]) + place
        return found

    def videos(self) -> Iterator[IndexedVideo]:
        """All of them."""
        for segment in self.segments:
            yield from (segment.video(row) for row in segment.alive.tolist())

    def check(self, top: int) -> None:
        """Raises ConfigError where there is no video, or `top` are too many."""
        if not len(self):
            raise ConfigError(f"index={self.folder}: holds no video; add some with `retrieval index features=… output_path="
                              f"{self.folder}`")
        if not 1 <= top <= len(self):
            raise ConfigError(f"top={top}: allowed is 1 to {len(self)}, the videos of index={self.folder}")

    def _checked(self, queries: np.ndarray, top: int) -> np.ndarray:
        self.check(top)
        wanted = np.asarray(queries, dtype=np.float32)
        if wanted.ndim != 2 or not len(wanted) or wanted.shape[1] != self.manifest.dim:
            raise ConfigError(f"queries of shape {list(wanted.shape)}: allowed is [Q, {self.manifest.dim}], vectors of the model "
                              f"that made index={self.folder}")
        lengths = np.linalg.norm(wanted, axis=1, keepdims=True)
        if not np.isfinite(lengths).all() or not lengths.all():
            raise ConfigError("queries hold a vector that is zero or not finite")
        return wanted / lengths

    def _exact(self, queries: np.ndarray, top: int) -> Hits:
        if self._scan is None:
            if self.manifest.dtype == "binary":
                self._scan = BinaryScan([_there(segment.codes) for segment in self.segments])
            elif self.manifest.dtype == "int8":
                self._scan = ExactScan([_there(segment.codes) for segment in self.segments],
                                       [_there(segment.scales) for segment in self.segments], self._device)
            else:
                self._scan = ExactScan([segment.vectors for segment in self.segments], device=self._device)
        return self._scan.search(queries, top, [segment.dead for segment in self.segments])

    def _approximate_candidates(self, queries: np.ndarray, count: int) -> np.ndarray:
        """What FAISS finds in the segments it covers, and the best of the others: int64 [Q, n]."""
        approximate = self.manifest.approximate
        assert self._cells is not None and approximate is not None
        dead = self.dead_rows(approximate.segments)
        found = self._cells.candidates(queries, min(count, approximate.rows), approximate.effort, dead)
        newer = self.segments[approximate.segments:]
        alive = sum(len(segment) - len(segment.dead) for segment in newer)
        if not alive:
            return found
        scan = ExactScan([segment.vectors for segment in newer])
        rest = scan.search(queries, min(count, alive), [segment.dead for segment in newer]).rows
        return np.concatenate([found, rest + self._begins[approximate.segments]], axis=1)

    def dead_rows(self, segments: int) -> np.ndarray:
        """Of the first so many segments, int64."""
        parts = [segment.dead + begin for segment, begin in zip(self.segments[:segments], self._begins, strict=False)]
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)

    def blocks(self, segments: Sequence[OpenSegment]) -> Iterator[np.ndarray]:
        """All rows' vectors, dead ones too, float32 [m, dim] at a time."""
        for segment in segments:
            for begin in range(0, len(segment), _BLOCK_ROWS):
                yield np.asarray(segment.vectors[begin:begin + _BLOCK_ROWS], dtype=np.float32)


def open_segments(folder: Path, manifest: Manifest, *, verify: bool = False) -> list[OpenSegment]:
    """Raises FileNotFoundError, and StoredDataError for what is damaged."""
    return [_opened(folder, manifest, segment, verify) for segment in manifest.segments]


def _opened(folder: Path, manifest: Manifest, segment: Segment, verify: bool) -> OpenSegment:
    arrays = {}
    for what, file in segment.files.items():
        if verify:
            check_file(folder, file, verify=True)
        if what == "videos":
            check_file(folder, file)
            arrays[what] = np.asarray(np.memmap(folder / file.name, dtype=np.uint8, mode="c"))
        else:
            arrays[what] = open_array(folder, file)
    dead = open_array(folder, segment.dead) if segment.dead is not None else np.empty(0, dtype=np.int64)
    wrong = StoredDataError(f"index={folder}: is damaged (arrays of a segment do not belong together); make the index again")
    try:
        opened = OpenSegment(arrays["vectors"], arrays["keys"], arrays["offsets"], arrays["videos"], dead, arrays.get("codes"),
                             arrays.get("scales"))
    except KeyError as error:
        raise wrong from error
    if not (opened.vectors.shape == (segment.rows, manifest.dim) and len(opened.keys) == segment.rows
            and len(opened.offsets) == segment.rows + 1 and len(dead) == segment.dead_rows
            and (opened.codes is None) == (manifest.dtype in ("float32", "float16"))):
        raise wrong
    return opened


def _cells(folder: Path, manifest: Manifest, verify: bool) -> Cells | None:
    if manifest.approximate is None:
        return None
    check_file(folder, manifest.approximate.file, verify=verify)
    return Cells.read(folder / manifest.approximate.file.name, manifest.approximate.kind, manifest.dtype)


def _there(array: np.ndarray | None) -> np.ndarray:
    assert array is not None  # checked when it was opened
    return array
