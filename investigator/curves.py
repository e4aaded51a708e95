"""A video's curves for some queries, as the page and the exports take them."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from .model import Model
from .queries import QueryBook
from .refusal import Refusal, bad_request
from .rows import Snapshot
from .scores import Judgement, Scale, cosines, judge, log_odds, rivals, shares
from .segments import Segment, SegmentRule, find_segments
from .session import VideoSession


@dataclass(frozen=True, eq=False)
class Curves:
    """Of one snapshot, on one scale, in the order asked."""

    snapshot: Snapshot
    scale: Scale
    query_ids: list[str]
    scores: np.ndarray  # float32 [m, n]
    judgements: list[Judgement]
    neutral_texts: int
    logit_scale: float


class CurveMaker:
    """Every query's cosines and log-odds are made once for a snapshot."""

    def __init__(self, model: Model, book: QueryBook):
        self._model, self._book = model, book
        self._made: dict[tuple[str, str], tuple[int, int, np.ndarray, np.ndarray]] = {}
        self._neutral: dict[str, tuple[int, int, np.ndarray]] = {}

    def curves(self, session: VideoSession, query_ids: Sequence[str], named: str) -> Curves:
        """On the scale that is named. Raises Refusal for one that does not go, or a query that is not known."""
        scale: Scale | None = next((one for one in get_args(Scale) if one == named), None)
        if scale is None:
            raise bad_request(f"scale={named[:40]!r}: allowed is {', '.join(get_args(Scale))}")
        if scale == "share" and len(query_ids) < 2:
            raise bad_request("a share among queries needs two of them", "add a text, or choose another scale")
        session.load(self._model.identity())
        snapshot = session.rows.snapshot()
        neutral = self._model.neutral()
        if not len(snapshot):
            for query_id in query_ids:
                self._book.get(query_id)
            return Curves(snapshot, scale, list(query_ids), np.empty((len(query_ids), 0), np.float32), [],
                          len(neutral), self._model.logit_scale)
        pairs = [self._pair(session, snapshot, query_id, neutral) for query_id in query_ids]
        raw = np.stack([pair[0] for pair in pairs]) if pairs else np.empty((0, len(snapshot)), np.float32)
        if scale == "raw":
            scores = raw
        elif scale == "share":
            scores = shares(raw, self._model.logit_scale)
        else:
            scores = np.stack([pair[1] for pair in pairs]) if pairs else raw
        said = [judge(scale, curve, *pair) for curve, pair in zip(scores, pairs, strict=True)]
        return Curves(snapshot, scale, list(query_ids), scores, said, len(neutral), self._model.logit_scale)

    def odds(self, session: VideoSession, query_id: str) -> tuple[Snapshot, np.ndarray, np.ndarray]:
        """(snapshot, cosines [n], log-odds [n])."""
        session.load(self._model.identity())
        snapshot = session.rows.snapshot()
        if not len(snapshot):
            return snapshot, np.empty(0, np.float32), np.empty(0, np.float32)
        return snapshot, *self._pair(session, snapshot, query_id, self._model.neutral())

    def segments(self, session: VideoSession, query_id: str, scale: str, rule: SegmentRule, *, among: Sequence[str] = (),
                 blocked_by: Sequence[tuple[str, float]] = ()) -> tuple[Snapshot, list[Segment]]:
        """`blocked_by`: (query, its log-odds on whatever scale): there is no segment where they are reached."""
        ids = list(dict.fromkeys([query_id, *among])) if scale == "share" else [query_id]
        made = self.curves(session, ids, scale)
        snapshot = made.snapshot
        if not len(snapshot):
            return snapshot, []
        blocked = np.zeros(len(snapshot), dtype=bool)
        neutral = self._model.neutral() if blocked_by else np.empty(0)
        for other, least_odds in blocked_by:
            blocked |= self._pair(session, snapshot, other, neutral)[1] >= least_odds
        marks = session.marks().get(query_id, [])
        return snapshot, find_segments(snapshot.times_ms, made.scores[0], session.duration_ms, rule, blocked, marks)

    def _pair(self, session: VideoSession, snapshot: Snapshot, query_id: str, neutral: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cosines and log-odds [n]."""
        key = (session.content_id, query_id)
        made = self._made.get(key)
        if made is not None and made[:2] == (snapshot.revision, len(snapshot)):
            return made[2], made[3]
        query = self._book.get(query_id)
        raw = cosines(snapshot.features, query.feature[None])[0]
        background = self._background(session, snapshot, neutral)
        odds = log_odds(raw, background[rivals(query.feature, neutral)], self._model.logit_scale)
        if len(self._made) > 400:
            self._made.clear()
        self._made[key] = (snapshot.revision, len(snapshot), raw, odds)
        return raw, odds

    def _background(self, session: VideoSession, snapshot: Snapshot, neutral: np.ndarray) -> np.ndarray:
        """Cosines with the neutral texts, [b, n]."""
        made = self._neutral.get(session.content_id)
        if made is not None and made[:2] == (snapshot.revision, len(snapshot)):
            return made[2]
        if len(self._neutral) > 20:
            self._neutral.clear()
        background = cosines(snapshot.features, neutral)
        self._neutral[session.content_id] = (snapshot.revision, len(snapshot), background)
        return background


def binary(session: VideoSession, curves: Curves) -> bytes:
    """uint32 length · JSON header, padded so that what follows lies at a multiple of 8 · float64 times [n] · float32 [m, n]."""
    snapshot = curves.snapshot
    said = [judgement_record(snapshot, one) for one in curves.judgements] or [{} for _ in curves.query_ids]
    queries = [{"id": query_id, **one} for query_id, one in zip(curves.query_ids, said, strict=True)]
    header = json.dumps({**header_of(session, curves), "queries": queries}, ensure_ascii=False).encode()
    header += b" " * (-(4 + len(header)) % 8)
    return b"".join([struct.pack("<I", len(header)), header, snapshot.times_ms.astype("<f8").tobytes(),
                     np.ascontiguousarray(curves.scores, dtype="<f4").tobytes()])


def header_of(session: VideoSession, curves: Curves) -> dict[str, Any]:
    snapshot = curves.snapshot
    settings = session.stored.provenance.settings if session.stored is not None else None
    return {"video": session.file.id, "revision": snapshot.revision, "complete": snapshot.complete, "rows": len(snapshot),
            "fine_rows": int(snapshot.fine.sum()), "scale": curves.scale, "duration_ms": session.duration_ms,
            "extraction_fps": settings.extraction_fps if settings is not None else session.config.extraction_fps,
            "logit_scale": curves.logit_scale,
            "sampled_ms": snapshot.sampled_ms(session.duration_ms), "baseline": {"texts": curves.neutral_texts}}


def judgement_record(snapshot: Snapshot, said: Judgement) -> dict[str, Any]:
    return {"peak": said.peak, "peak_ms": float(snapshot.times_ms[said.peak_row]), "peak_raw": said.peak_raw,
            "peak_odds": said.peak_odds, "mean": said.mean, "word": said.word, "stands_out": said.stands_out,
            "threshold": said.threshold, "drop": said.drop, "low": said.low, "high": said.high}


def rule_of(content: dict[str, Any], said: Judgement | None = None) -> SegmentRule:
    """A SegmentRule of a request's numbers. Raises Refusal."""
    values: dict[str, float] = {}
    for name in ("threshold", "drop", "minimum_ms", "gap_ms", "padding_ms"):
        given = content.get(name)
        if given is None and said is not None and name in ("threshold", "drop"):
            given = getattr(said, name)
        if given is None and name != "threshold":
            given = 0.0
        if isinstance(given, bool) or not isinstance(given, (int, float)):
            raise Refusal(400, "bad_request", f"{name}={given!r}: allowed is a number")
        values[name] = float(given)
    try:
        return SegmentRule(**values)
    except ValueError as error:
        raise bad_request(str(error)) from error
