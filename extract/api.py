"""The Python face of the extractor."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..configs.frames_schema import FramesConfig
from ..configs.load import file_value, load_config, load_configs
from ..configs.schema import EncoderConfig, ExtractConfig
from ..configs.texts_schema import TextsConfig
from ..errors import ConfigError
from ..models.base import Encoder
from .pictures import PicturesReport, write_folders
from .report import Report
from .text_features import CaptionFeatures
from .texts import fill_store

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def extract_features(videos: Paths | None = None, *, encoder: Encoder | None = None, **keys: Any) -> Report:
    """Features of videos, as `python main.py` makes them, from Python. Prints nothing.

    Args:
        videos: a path, a folder, a glob, or a list of them; None with `file_with_video_paths=`.
        encoder: a loaded model (`load_encoder`) to use for this call; then no key of the encoder may be given.
        keys: the command line's keys, such as extraction_fps=1, on_extraction="save_numpy", config="job.yml".

    Returns: the Report; its `features` are read from the store when asked for, or held when nothing is saved.

    Raises: UsageError (a wrong key or value, no video, no weights) before anything is started. Videos that fail are
        rows of the report.
    """
    from .run import run

    if keys.get("dry_run"):
        raise ConfigError("dry_run=True only prints, which Python calls do not: use the command line")
    if encoder is not None and not hasattr(encoder, "identity"):
        raise ConfigError(f"encoder={encoder!r}: allowed is what load_encoder returns")
    if videos is not None and ("video_paths" in keys or "file_with_video_paths" in keys):
        raise ConfigError("videos are given twice: as the first argument and as video_paths or file_with_video_paths")
    if videos is not None:
        keys["video_paths"] = [videos] if isinstance(videos, (str, os.PathLike)) else _listed(videos)
    _settle(encoder, keys)
    shipped = str(file_value(keys, "feature_type") or "clip")
    return run(load_config(ExtractConfig, keys, shipped=shipped), encoder=encoder, quiet=True)


def extract_models(videos: Paths, encoders: Sequence[Mapping[str, Any]], **keys: Any) -> list[Report]:
    """Features of several models, every video decoded once for all of them. Prints nothing.

    Args:
        encoders: for each model its keys, such as [{"model_name": "ViT-B/32"}, {"feature_type": "open_clip", …}]; keys that say
            which frames it sees (extraction_fps, window_seconds, …) may be among them.
        keys: the command line's keys for all of them.

    Returns: a Report a model, in their order. Raises as `extract_features`.
    """
    from .run import run_models

    keys["video_paths"] = [videos] if isinstance(videos, (str, os.PathLike)) else _listed(videos)
    return run_models(load_configs(ExtractConfig, {**keys, "encoders": list(encoders)}, shipped=lambda values: (
        str(file_value(values, "feature_type") or "clip"),)), quiet=True)


def extract_frames(videos: Paths, output: str | os.PathLike[str], **keys: Any) -> PicturesReport:
    """Pictures of videos' frames, a folder a video, as `python main.py frames` makes them. Prints nothing.

    Args:
        videos: a path, a folder, a glob, or a list of them.
        output: where the folders go.
        keys: the command line's keys, such as fps=1, size=256, parallel=True.

    Raises: UsageError before anything is started. Videos that fail are rows of the report.
    """
    if keys.get("dry_run"):
        raise ConfigError("dry_run=True only prints, which Python calls do not: use the command line")
    keys |= {"videos": [videos] if isinstance(videos, (str, os.PathLike)) else _listed(videos), "output": output}
    return write_folders(load_config(FramesConfig, keys), quiet=True)


def encode_texts(path: str | os.PathLike[str], *, encoder: Encoder | None = None, **keys: Any) -> CaptionFeatures:
    """Features of a file of texts, in the store that stages read, as `python main.py texts` makes them. Prints nothing.

    Args:
        path: a .csv, .tsv, .txt or .json file.
        encoder: a loaded model to use; then no key of the encoder may be given.
        keys: the command line's keys, such as column="caption", output_path="output".

    Returns: the store of that model: `.matrix[.rows(texts)]` are the unit features, float32 [n, dim].

    Raises: UsageError.
    """
    _settle(encoder, keys)
    shipped = str(file_value(keys, "feature_type") or "clip")
    return fill_store(load_config(TextsConfig, {**keys, "path": path}, shipped=shipped), encoder=encoder, quiet=True)[1]


def _settle(encoder: Encoder | None, keys: dict[str, Any]) -> None:
    if encoder is not None:
        named = sorted({*EncoderConfig.__dataclass_fields__, "device", "device_ids"} & keys.keys())
        if named:
            raise ConfigError(f"{', '.join(named)}: already settled by the encoder that is given; leave them out")
        keys["feature_type"] = encoder.identity.feature_type


def _listed(videos: object) -> list[object]:
    if isinstance(videos, Iterable) and not isinstance(videos, (bytes, bytearray, Mapping)):
        listed = list(videos)
        if all(isinstance(video, (str, os.PathLike)) for video in listed):
            return listed
    raise ConfigError(f"videos={videos!r}: allowed is a path, a folder, a glob, or a list of them")
