"""clipreel: from video files to stored CLIP features, and what is built on them. The public Python API, few names."""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["FeatureDataset", "answer_questions", "compare_videos", "encode_texts", "evaluate_answers", "evaluate_differences",
           "evaluate_retrieval", "extract_features", "extract_frames", "extract_models", "frames_at", "index_videos",
           "load_encoder", "load_features", "open_search", "prepare_annotations", "search_videos", "serve_encoder",
           "train_retrieval"]

if TYPE_CHECKING:
    from .differencing.api import compare_videos, evaluate_differences
    from .extract.api import encode_texts, extract_features, extract_frames, extract_models
    from .extract.dataset import FeatureDataset
    from .extract.decode.at import frames_at
    from .extract.store.load import load_features
    from .models.registry import load_encoder
    from .retrieval.api import (
        evaluate_retrieval,
        index_videos,
        open_search,
        prepare_annotations,
        search_videos,
        train_retrieval,
    )
    from .serving.api import serve_encoder
    from .videoqa.api import answer_questions, evaluate_answers

_HOMES = {
    "FeatureDataset": "extract.dataset",
    "answer_questions": "videoqa.api",
    "compare_videos": "differencing.api",
    "encode_texts": "extract.api",
    "evaluate_answers": "videoqa.api",
    "evaluate_differences": "differencing.api",
    "evaluate_retrieval": "retrieval.api",
    "extract_features": "extract.api",
    "extract_frames": "extract.api",
    "extract_models": "extract.api",
    "frames_at": "extract.decode.at",
    "index_videos": "retrieval.api",
    "load_encoder": "models.registry",
    "load_features": "extract.store.load",
    "open_search": "retrieval.api",
    "prepare_annotations": "retrieval.api",
    "search_videos": "retrieval.api",
    "serve_encoder": "serving.api",
    "train_retrieval": "retrieval.api",
}


def __getattr__(name: str):
    # Resolved at first use: `import clipreel` (and with it `--help`) must not wait for torch.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
