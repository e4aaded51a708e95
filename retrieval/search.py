"""`retrieval search …`: from a text to the videos that it finds, by their vectors and, if asked for, by their frames."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from ..configs.retrieval_search_schema import RetrievalSearchConfig
from ..errors import ConfigError
from ..extract.devices import resolve_devices
from ..extract.stored import encoder_of
from ..extract.text_file import read_texts
from ..extract.text_fit import start_that_fits
from ..models.adaclip.checkpoint import Checkpoint, load_checkpoint
from ..models.base import Encoder, TextEncoder
from ..models.registry import LazyEncoder
from .baselines import unit
from .index import VectorIndex
from .queries import cut_to_tokens
from .rerank import StoredFrames, second_looks
from .text_tower import queries_encoder

_DEFAULT_TOP = 10


@dataclass(frozen=True)
class FoundVideo:
    """A video that a query found. `seconds`: when the frame most like it is on screen, where frames were looked at."""

    video_id: str
    score: float  # a cosine; of the second stage where there was one
    seconds: float | None
    source: str  # the video that the features were made of
    rank: int = 0


@dataclass(frozen=True)
class QueryResult:
    """What a query found, best first."""

    query: str
    videos: tuple[FoundVideo, ...]
    cut: bool  # the model saw less than the whole text


@dataclass(frozen=True)
class SearchRun:
    """The queries' results, and where the seconds went: open, load (the model), encode (texts), search, rerank."""

    results: tuple[QueryResult, ...]
    videos: int
    seconds: dict[str, float]


class Searcher:
    """An open index with the model of its queries, for many searches. Nothing is loaded before it is needed."""

    def __init__(self, config: RetrievalSearchConfig, encoder: Encoder | None = None):
        """Raises StoredDataError for an index that is missing or damaged, ConfigError for the model of another one."""
        began = time.perf_counter()
        self.config, device = config, resolve_devices(None, config.device)[0]
        self.index = VectorIndex.open(config.index, verify=config.verify, device=device)
        manifest = self.index.manifest
        self._checkpoint: Checkpoint | None = None
        if manifest.checkpoint is not None:
            self._checkpoint = load_checkpoint(self.index.folder / manifest.checkpoint.name, device)
        self._refuse_other_model(encoder)
        self._load = LazyEncoder(self._loader(encoder, device))  # pyright: ignore[reportArgumentType]  only texts are encoded
        roots = [Path(config.features).expanduser()] * len(manifest.roots) if config.features else list(map(Path, manifest.roots))
        self._frames = StoredFrames(roots, manifest.identity.encoder)
        self.seconds = {"open": time.perf_counter() - began}

    def search(self, texts: Sequence[str]) -> SearchRun:
        """The best videos for each text. Raises UsageError."""
        config, began = self.config, time.perf_counter()
        if not texts or not all(text.strip() for text in texts):
            raise ConfigError(f"query={list(texts)}: allowed is a text, or several, and none empty")
        top = config.top if config.top is not None else min(_DEFAULT_TOP, len(self.index)) or _DEFAULT_TOP
        first = top if config.rerank == "none" else max(top, min(config.rerank_top, len(self.index)))
        # an empty index, and a top that cannot be, are said before a model is loaded
        self.index.check(top)
        encoder = self._load()
        loaded = time.perf_counter()
        raw, queries, cut = self._encoded(texts, encoder)
        encoded = time.perf_counter()
        hits = self.index.search(queries, first)
        searched = time.perf_counter()
        results = tuple(QueryResult(text, self._found(rows, scores, raw[place], top), cut[place])
                        for place, (text, rows, scores) in enumerate(zip(texts, hits.rows, hits.scores, strict=True)))
        seconds = {**self.seconds, "load": loaded - began, "encode": encoded - loaded, "search": searched - encoded,
                   "rerank": time.perf_counter() - searched}
        return SearchRun(results, len(self.index), seconds)

    def _encoded(self, texts: Sequence[str], encoder: TextEncoder) -> tuple[np.ndarray, np.ndarray, list[bool]]:
        """(unit features [Q, D], query vectors [Q, D], which were cut)."""
        said = list(texts)
        if self._checkpoint is not None:
            said = [cut_to_tokens(text, self._checkpoint.texts.max_txt_len) for text in said]
        fitted = [start_that_fits(encoder, text) for text in said]
        features = encoder.encode_text([text for text, _ in fitted]).float()  # [Q, D]
        raw = unit(features.cpu().numpy())
        queries = raw
        if self._checkpoint is not None:
            import torch

            with torch.inference_mode():
                queries = self._checkpoint.model.encode_texts(features).cpu().numpy()
        return raw, queries, [shorter or given != text for (_, shorter), given, text in zip(fitted, said, texts, strict=True)]

    def _found(self, rows: np.ndarray, scores: np.ndarray, text: np.ndarray, top: int) -> tuple[FoundVideo, ...]:
        videos = [self.index.video(int(row)) for row in rows]
        config = self.config
        if config.rerank == "none":
            found = [FoundVideo(video.video_id, float(score), None, video.source)
                     for video, score in zip(videos, scores, strict=True)]
        else:
            again = [self._frames.of(video) for video in videos[:config.rerank_top]]
            better, moments = second_looks(text, again, config.rerank, config.rerank_temp)
            found = [FoundVideo(videos[place].video_id, float(better[place]), float(moments[place]), videos[place].source)
                     for place in np.argsort(-better, kind="stable").tolist()]
            found += [FoundVideo(video.video_id, float(score), None, video.source)
                      for video, score in zip(videos[len(again):], scores[len(again):], strict=True)]
        return tuple(replace(video, rank=rank) for rank, video in enumerate(found[:top], start=1))

    def _refuse_other_model(self, encoder: Encoder | None) -> None:
        made = asdict(self.index.manifest.identity.encoder)
        asked = {"feature_type": self.config.feature_type, "model_name": self.config.model_name}
        if encoder is not None:
            whole = asdict(encoder.identity)
            asked = {name: whole[name] for name in ("feature_type", "model_name", "pretrained", "weights_sha256")}
        differing = [f"{name}: {made[name]} there, {value} now" for name, value in asked.items()
                     if value != made[name] and (value is not None or encoder is not None)]
        if differing:
            raise ConfigError(f"index={self.config.index} was made by another model ({'; '.join(differing)}), and vectors of two "
                              "models have no common meaning: leave the model out, or search an index that it made")

    def _loader(self, encoder: Encoder | None, device: str) -> Callable[[], TextEncoder]:
        if encoder is not None and not (self._checkpoint is not None and self._checkpoint.clip_state):
            return lambda: encoder
        if self._checkpoint is not None:
            return queries_encoder(self._checkpoint, self.config.encoder_checkpoint, device)[1]
        identity = self.index.manifest.identity.encoder
        return lambda: encoder_of(identity, self.config.encoder_checkpoint, device)


def run(config: RetrievalSearchConfig, *, encoder: Encoder | None = None) -> SearchRun:
    """Raises UsageError."""
    if not config.query and config.query_file is None:
        raise ConfigError("retrieval search needs query=, a text, or query_file=, a file of texts")
    texts = config.query if config.query_file is None else read_texts(config.query_file).texts
    return Searcher(config, encoder).search(texts)
