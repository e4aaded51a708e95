"""One search over all analysed videos: Retrieval's index finds which videos, their stored frames say when."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..configs.retrieval_search_schema import RetrievalIndexConfig
from ..errors import StoredDataError
from ..extract.run import output_folder
from ..retrieval.build_index import run as build_index
from ..retrieval.index import VectorIndex
from .library import VideoFile
from .moments import best_moments, in_cells, usual_distance_ms
from .refusal import Refusal
from .scores import WEAK_ODDS, word_of
from .session import VideoSession
from .stored_features import NothingStoredError, readable

if TYPE_CHECKING:
    from .workbench import Workbench

log = logging.getLogger("clipreel")
_CANDIDATES = 200  # videos whose frames are looked at; in a library of no more analysed ones that is all of them
_CELLS, _MOMENTS = 120, 5


@dataclass(frozen=True)
class SearchResult:
    """What was found, best first; `searched` videos are in the index."""

    searched: int
    found: list[dict[str, Any]]


class LibrarySearch:
    """Keeps the index of the folder of features up to date before it is asked."""

    def __init__(self, bench: Workbench):
        self._bench = bench
        self._lock = threading.Lock()
        self._indexed_at = -1
        self._index: VectorIndex | None = None

    def search(self, query_ids: Sequence[str], excluded_ids: Sequence[str], mode: Literal["any", "all"] | str,
               limit: int) -> SearchResult:
        """`any`: the best of the queries counts at each frame; `all`: the worst. Where an excluded query stands out, nothing is
        found. Raises Refusal."""
        features = self._bench.book.features(query_ids)
        index = self._fresh()
        if index is None or not len(index):
            return SearchResult(0, [])
        top = min(len(index), _CANDIDATES)
        rows = np.unique(index.search(features, top).rows)
        found = []
        for row in rows[rows >= 0].tolist():
            video = index.video(row)
            file = self._file(Path(video.source), video.key)
            session = self._session(file) if file is not None else None
            if session is not None and (result := self._look(session, query_ids, excluded_ids, mode)) is not None:
                found.append(result)
        found.sort(key=lambda result: -result["best"]["odds"])
        return SearchResult(len(index), found[:limit])

    def _look(self, session: VideoSession, query_ids: Sequence[str], excluded_ids: Sequence[str],
              mode: str) -> dict[str, Any] | None:
        """A video's result; None where nothing of it may be found."""
        curves = self._bench.curves
        made = [curves.odds(session, query_id) for query_id in query_ids]
        snapshot = made[0][0]
        if not len(snapshot) or any(one[0] is not snapshot for one in made):
            return None
        odds = np.stack([one[2] for one in made])  # [m, n]
        which = odds.argmax(axis=0) if mode == "any" else odds.argmin(axis=0)  # [n]
        curve = np.take_along_axis(odds, which[None], axis=0)[0]
        for query_id in excluded_ids:
            curve = np.where(curves.odds(session, query_id)[2] >= WEAK_ODDS, -np.inf, curve)
        if not np.isfinite(curve).any():
            return None
        duration = session.duration_ms
        picked = best_moments(snapshot.times_ms, curve, _MOMENTS, apart_ms=usual_distance_ms(duration, _MOMENTS),
                              features=snapshot.features)
        moments = [{"time_ms": float(snapshot.times_ms[row]), "raw": float(made[which[row]][1][row]), "odds": float(curve[row]),
                    "query": query_ids[which[row]]} for row in picked if np.isfinite(curve[row])]
        ends = np.append(snapshot.times_ms[1:], max(duration, float(snapshot.times_ms[-1])))
        matching = float((ends - snapshot.times_ms)[curve >= WEAK_ODDS].sum())
        strip = 1 / (1 + np.exp(-np.clip(in_cells(snapshot.times_ms, np.maximum(curve, -30), duration, _CELLS), -30, 30)))
        return {"video": self._bench.brief_record(session.file), "best": moments[0], "word": word_of(moments[0]["odds"]),
                "moments": moments, "strip": np.round(strip, 3).tolist(), "matching_ms": matching}

    def _file(self, source: Path, key: str) -> VideoFile | None:
        """The library's file of which features were made, or one of that content elsewhere; None where there is none (any more)."""
        library = self._bench.library
        try:
            return library.open_path(str(source))
        except Refusal:
            alike = [file for file in library.videos() if key == file.path.stem or key.startswith(f"{file.path.stem}-")]
            return alike[0] if alike else None

    def _session(self, file: VideoFile) -> VideoSession | None:
        try:
            session = self._bench.session_of(file)
        except Refusal:
            return None
        session.load(self._bench.model.identity())
        return session if session.stored is not None else None

    def _fresh(self) -> VectorIndex | None:
        """The index with everything that is stored now; None where nothing is."""
        bench = self._bench
        folder = output_folder(bench.extract_config(Path()), bench.model.identity())
        place = bench.folder / "index" / folder.parent.name / folder.name
        with self._lock:
            try:
                stamp = folder.stat().st_mtime_ns
            except OSError:
                return None
            if self._index is None or stamp != self._indexed_at:
                try:
                    build_index(RetrievalIndexConfig(features=str(folder), output_path=str(place), prune=True), quiet=True,
                                among=readable)
                    self._index = VectorIndex.open(place)
                except NothingStoredError:
                    return None
                except StoredDataError as error:
                    if not any(folder.glob("*_meta.json")) and not any(folder.glob("*.h5")):
                        return None
                    raise Refusal(409, "conflict", str(error), "analyse again what is damaged or made by another model") from error
                self._indexed_at = stamp
            return self._index
