"""Changing an index: videos come, change and go, each time by one commit and without making anew what stays."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import ConfigError, StoreConflictError
from ..extract.store.files import locked, put_in_place, temporary_beside
from .approximate import Cells
from .index import OpenSegment, VectorIndex, open_segments
from .index_files import (
    MANIFEST,
    PREFIX,
    Approximate,
    File,
    IndexedVideo,
    Manifest,
    NewVideos,
    bury,
    commit,
    file_of,
    new_name,
    read_manifest,
    sweep,
    write_segment,
)

EXACT_VIDEOS = 1_000_000  # structure=auto: up to so many every vector is looked at
_UNCOVERED = 0.1  # of the videos in FAISS's structure: when so many are not, they are added to it
_LEAST_UNCOVERED = 10_000
_DEAD = 0.3  # of the rows in FAISS's structure: when so many are gone, it is made anew
_TUNING_QUERIES, _TUNING_TOP, _DISTURBANCE = 200, 10, 0.5


@dataclass(frozen=True)
class Change:
    """What a commit did to an index of now `videos` videos."""

    added: int
    updated: int
    deleted: int
    videos: int


def update_index(folder: Path, empty: Manifest, new: NewVideos, delete: Iterable[str] = (), *, overwrite: bool = False,
                 checkpoint: Callable[[Path], object] | None = None) -> Change:
    """Add `new` (replacing videos of the same id), take `delete` away; the index is made where there is none.

    Whoever searches sees the index as it was until this is done, and a killed run leaves it so. One writer at a time; a second
    one waits.

    Args:
        empty: identity, dimension, dtype, structure and roots that the index has, or is to have.
        overwrite: begin with an empty index, whatever was there.
        checkpoint: writes the model that queries need to a path.

    Raises: StoreConflictError where the index there is of another identity; ConfigError where it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            there = None if overwrite or not (folder / MANIFEST).exists() else read_manifest(folder)
            if any(not path.name.startswith((".", PREFIX)) and path.name != MANIFEST for path in folder.iterdir()):
                raise ConfigError(f"output_path={folder}: is a folder of something else; give one that is empty or not there yet")
            if there is not None:
                refuse_other_vectors(folder, there, empty)
            if not overwrite:
                sweep(folder, there or empty)
            return _Update(folder, there or empty, empty, checkpoint).run(new, set(delete))
    except OSError as error:
        raise ConfigError(f"output_path={folder}: cannot be written ({error.strerror or error}); what was there is as it was"
                          ) from error


def refuse_other_vectors(folder: Path, there: Manifest, wanted: Manifest) -> None:
    """Raises StoreConflictError where vectors of the one have no place among those of the other."""
    differing = there.identity.differences(wanted.identity)
    differing += [f"{name}: {getattr(there, name)} there, {getattr(wanted, name)} now" for name in ("dim", "dtype")
                  if getattr(there, name) != getattr(wanted, name)]
    if differing:
        raise StoreConflictError(f"index={folder} was made with other settings ({'; '.join(differing)}): leave them as they were, "
                                 "give overwrite=true to make it anew, or another output_path")


class _Update:
    """One commit, under the lock."""

    def __init__(self, folder: Path, before: Manifest, empty: Manifest, checkpoint: Callable[[Path], object] | None):
        self.folder, self.before, self.empty, self.write_checkpoint = folder, before, empty, checkpoint
        self.index = VectorIndex.open(folder) if before.generation else VectorIndex(folder, before, [], None)

    def run(self, new: NewVideos, delete: set[str]) -> Change:
        before, coming = self.before, {video.video_id for video in new.videos}
        if len(coming) < len(new.videos):
            raise ConfigError("videos to index: an id comes twice")
        rows = self.index.rows_of(coming | delete)
        gone = np.array(sorted(rows.values()), dtype=np.int64)
        dead = [np.union1d(segment.dead, _local(gone, begin, len(segment)))
                for segment, begin in zip(self.index.segments, np.cumsum([0, *map(len, self.index.segments)]), strict=False)]
        roots, new = self._with_roots(new)
        kept, anew = self._kept(dead, len(new.videos))
        old = [_living(segment, gone) for segment, gone in zip(self.index.segments[kept:], dead[kept:], strict=True)]
        segments = [bury(self.folder, segment, dead[number]) if len(dead[number]) != segment.dead_rows else segment
                    for number, segment in enumerate(before.segments[:kept])]
        merged = _joined([*old, new], before.dim)
        if merged.videos:
            segments.append(write_segment(self.folder, merged, before.dtype))
        after = replace(before, roots=roots, segments=tuple(segments), structure=self.empty.structure,
                        approximate=None if anew else before.approximate,
                        checkpoint=before.checkpoint or self._checkpoint(), generation=before.generation + 1)
        after = replace(after, approximate=self._approximate(after))
        commit(self.folder, after)
        updated = len(coming & rows.keys())
        return Change(len(coming) - updated, updated, len(rows) - updated, after.alive)

    def _with_roots(self, new: NewVideos) -> tuple[tuple[str, ...], NewVideos]:
        """The folders of features of the old and the new videos; the new ones' numbers are their places in `empty.roots`."""
        roots = tuple(dict.fromkeys([*self.before.roots, *self.empty.roots]))
        place = [roots.index(root) for root in self.empty.roots]
        return roots, NewVideos([replace(video, root=place[video.root]) for video in new.videos], new.vectors)

    def _kept(self, dead: list[np.ndarray], coming: int) -> tuple[int, bool]:
        """(how many segments stay as they are, whether FAISS's structure is made anew). The others join the new segment.

        As in a binary counter: a segment joins when the new one has grown to its size, so that there are never more than a
        logarithm of them; and one that is half dead does. Those that FAISS covers stay, until too much of them is dead.
        """
        segments, approximate = self.index.segments, self.before.approximate
        covered = approximate.segments if approximate is not None else 0
        lost = sum(map(len, dead[:covered]))
        anew = approximate is not None and (lost > _DEAD * approximate.rows or self.empty.structure == "exact")
        if anew:
            return 0, True
        stays, size = len(segments), coming
        while stays > covered and (len(segments[stays - 1]) <= size or 2 * len(dead[stays - 1]) > len(segments[stays - 1])):
            stays -= 1
            size += len(segments[stays]) - len(dead[stays])
        return stays, False

    def _checkpoint(self) -> File | None:
        if self.write_checkpoint is None:
            return None
        path = self.folder / f"{new_name()}.checkpoint.safetensors"
        self.write_checkpoint(path)
        return file_of(path)

    def _approximate(self, after: Manifest) -> Approximate | None:
        """FAISS's structure for the index as it will be: none, the one there, that one with more rows, or a new one."""
        kind = after.structure if after.structure != "auto" else "ivf" if after.alive > EXACT_VIDEOS else "exact"
        if kind == "exact" or not after.alive:
            return None
        index = VectorIndex(self.folder, after, open_segments(self.folder, after), None)
        held = after.approximate
        if held is not None and held.kind == kind:
            missing = sum(map(len, index.segments[held.segments:]))
            if missing <= max(_LEAST_UNCOVERED, _UNCOVERED * held.rows):
                return held
            cells = Cells.read(self.folder / held.file.name, held.kind, after.dtype, mapped=False)
            for block in index.blocks(index.segments[held.segments:]):
                cells.add(block)
        else:
            cells = Cells.build(kind, after.dtype, lambda: index.blocks(index.segments), sum(map(len, index.segments)), after.dim)
        effort, recall = _tuned(index, cells)
        path = self.folder / f"{new_name()}.faiss"
        temporary = temporary_beside(path)
        try:
            cells.write(temporary)
            put_in_place(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        return Approximate(kind, file_of(path), len(index.segments), len(cells), effort, recall)


def _tuned(index: VectorIndex, cells: Cells) -> tuple[int, float]:
    """The effort that FAISS needs here, and what it then finds: on vectors of the index, each disturbed by half its length."""
    rng, dead = np.random.default_rng(0), index.dead_rows(len(index.segments))
    alive = np.setdiff1d(np.arange(len(cells)), dead, assume_unique=True)
    some = np.sort(rng.choice(alive, min(_TUNING_QUERIES, len(alive)), replace=False))
    noise = rng.standard_normal((len(some), index.manifest.dim)).astype(np.float32)
    queries = index.vectors(some) + _DISTURBANCE * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    top = min(_TUNING_TOP, len(alive))
    best = index.exact(queries, top).rows
    return cells.tuned(queries, best, index.candidate_count(top), dead,
                       lambda wanted, found: index.ranked(wanted, found, top).rows)


def _local(rows: np.ndarray, begin: int, count: int) -> np.ndarray:
    return rows[(rows >= begin) & (rows < begin + count)] - begin


def _living(segment: OpenSegment, dead: np.ndarray) -> NewVideos:
    rows = np.setdiff1d(np.arange(len(segment)), dead, assume_unique=True)
    videos = [segment.video(row) for row in rows.tolist()]
    return NewVideos(videos, np.asarray(segment.vectors[rows], dtype=np.float32))


def _joined(parts: list[NewVideos], dim: int) -> NewVideos:
    videos: list[IndexedVideo] = [video for part in parts for video in part.videos]
    return NewVideos(videos, np.concatenate([np.empty((0, dim), dtype=np.float32), *(part.vectors for part in parts)]))
