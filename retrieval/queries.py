"""The features of queries: captions through the text store, made into one or several queries a video."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..extract.text_features import CaptionFeatures
from ..extract.text_fit import MOST_CHARACTERS, most
from ..models.base import TextEncoder
from .annotations import CaptionedVideo, CaptionRule, texts_of


@dataclass(frozen=True, eq=False)
class QueryFeatures:
    """Q queries and the videos they belong to. `cut`: texts of which the model sees less than all."""

    features: np.ndarray  # float32 [Q, D], rows of length 1
    video_of: np.ndarray  # int64 [Q], places in the sequence of videos, ascending
    cut: int

    def __len__(self) -> int:
        return len(self.features)


def query_features(
    videos: Sequence[CaptionedVideo], rule: CaptionRule, store: CaptionFeatures, encoder: Callable[[], TextEncoder],
    max_txt_len: int | None = None,
) -> QueryFeatures:
    """The queries of `texts_of`, encoded; by `mean`, a video's one query is the mean of its captions' directions.

    Args:
        store: filled with what it lacks, by the encoder that `encoder` gives when there is something lacking.
        max_txt_len: of a text, the words at its start that fit so many of CLIP's tokens; None: what fits the encoder.
    """
    queries = texts_of(videos, rule)
    texts = queries.texts if max_txt_len is None else tuple(cut_to_tokens(text, max_txt_len) for text in queries.texts)
    store.fill(texts, encoder)
    features = store.matrix[store.rows(texts)]  # [texts, D]
    cut = sum(store.is_cut(said) or len(said) < len(whole) for said, whole in zip(texts, queries.texts, strict=True))
    if rule != "mean":
        return QueryFeatures(features, queries.video_of, cut)
    first = np.searchsorted(queries.video_of, np.arange(len(videos)))
    sums = np.add.reduceat(features, first, axis=0)  # [V, D]
    lengths = np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    return QueryFeatures((sums / lengths).astype(np.float32), np.arange(len(videos)), cut)


def cut_to_tokens(text: str, length: int) -> str:
    """The text, or as many words of its start as have `length` of CLIP's tokens at most, start and end marks included."""
    from ..models.viclip.tokenizer import count_tokens

    if len(text.encode()) + 2 <= length or (len(text) <= MOST_CHARACTERS and count_tokens(text) <= length):
        return text
    words = text[:MOST_CHARACTERS].split()
    # The first word stays, however long: the encoder cuts it.
    return " ".join(words[:max(1, most(len(words), lambda count: count_tokens(" ".join(words[:count])) <= length))])
