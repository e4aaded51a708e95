"""Where an open_clip model comes from: weight file, settings and preprocessing, found without building it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip

from ...errors import ConfigError, WeightsError
from ..download import cache_dir
from ..names import did_you_mean

LOCAL_PREFIX = "local-dir:"
HUB_PREFIX = "hf-hub:"
CONFIG_NAME = "open_clip_config.json"
# open_clip's own order of preference within a local-dir.
_WEIGHT_NAMES = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin",
                 "open_clip_pytorch_model.pth", "model.safetensors", "pytorch_model.bin", "pytorch_model.pth",
                 "model.pth")
_WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")
_PREPROCESS_KEYS = ("mean", "std", "interpolation", "resize_mode", "fill_color")


@dataclass(frozen=True)
class Source:
    """`note` says what of the preprocessing could not be read and was taken from elsewhere."""

    model_name: str  # as open_clip.create_model takes it
    pretrained: str | None  # the tag, as open_clip lists it
    weights: Path
    model_config: dict[str, Any]
    preprocess_config: dict[str, Any]  # mean, std, interpolation, resize_mode, fill_color
    note: str | None = None


def find_source(model_name: str, *, checkpoint: str | None, pretrained: str | None) -> Source:
    """Follows the names to files, which downloads weights that are not there yet.

    Raises:
        ConfigError: an unknown architecture or tag, two or no sources of weights, or a QuickGELU mismatch.
        WeightsError: the files cannot be had.
    """
    if not model_name.startswith((LOCAL_PREFIX, HUB_PREFIX)):
        return _from_architecture(clean_name(model_name), checkpoint, pretrained)
    if checkpoint is not None or pretrained is not None:
        raise ConfigError(f"model_name={model_name} holds its own weights: leave checkpoint and pretrained out")
    if model_name.startswith(LOCAL_PREFIX):
        folder = Path(model_name.removeprefix(LOCAL_PREFIX)).expanduser()
        return _from_config(f"{LOCAL_PREFIX}{folder}", _local_file(folder, (CONFIG_NAME,)), _local_weights(folder))
    repository = model_name.removeprefix(HUB_PREFIX)
    return _from_config(model_name, _hub_file(repository, CONFIG_NAME), _hub_file(repository, None))


def clean_name(model_name: str) -> str:
    """OpenAI's way of writing to open_clip's: ViT-L/14@336px -> ViT-L-14-336."""
    return model_name.removesuffix("px").replace("/", "-").replace("@", "-")


@contextmanager
def quiet_root_log() -> Iterator[None]:
    """open_clip writes through the root logger, which would install a handler on it, and warns of random weights."""

    def foreign(record: logging.LogRecord) -> bool:
        return "open_clip" not in Path(record.pathname).parts

    root, handler = logging.getLogger(), logging.NullHandler()
    root.addHandler(handler)
    root.addFilter(foreign)
    try:
        yield
    finally:
        root.removeFilter(foreign)
        root.removeHandler(handler)


def _from_architecture(name: str, checkpoint: str | None, pretrained: str | None) -> Source:
    if name not in open_clip.list_models():
        raise ConfigError(f"open_clip has no architecture {name!r}{did_you_mean(name, open_clip.list_models())} "
                          f"(python -c 'import open_clip; print(open_clip.list_models())' lists them; "
                          f"also {HUB_PREFIX}<org>/<repository> and {LOCAL_PREFIX}<folder>)")
    tags = open_clip.list_pretrained_tags_by_model(name)
    tag = pretrained.lower().replace("-", "_") if pretrained is not None else None
    if pretrained is not None and tag not in tags and _looks_like_file(pretrained):
        if checkpoint is not None:
            raise ConfigError(f"checkpoint={checkpoint} and pretrained={pretrained} name two weight files: give one")
        checkpoint, tag = pretrained, None
    allowed = f"tags of {name}: {', '.join(tags) or 'none'}; or give checkpoint=<file>"
    if tag is not None and tag not in tags:
        raise ConfigError(f"pretrained={pretrained} is no weights tag of {name}{did_you_mean(tag, tags)} ({allowed})")
    if tag is None and checkpoint is None:
        raise ConfigError(f"model_name={name} needs weights: give pretrained=<tag> ({allowed})")
    config: dict[str, Any] = open_clip.get_model_config(name) or {}
    preprocess, note = _tag_preprocess(name, tag) if tag is not None else _likely_preprocess(name, tags)
    if tag is not None:
        _check_quick_gelu(name, tag, config)
    if checkpoint is not None:
        return Source(name, tag, Path(checkpoint).expanduser(), config, preprocess, note)
    return Source(name, tag, _tag_file(name, tag or ""), config, preprocess, note)


def _looks_like_file(text: str) -> bool:
    return Path(text).suffix in _WEIGHT_SUFFIXES or Path(text).expanduser().exists()


def _check_quick_gelu(name: str, tag: str, config: dict[str, Any]) -> None:
    """open_clip only warns, and every feature would be wrong without a sign of it (open_clip issues 441, 771, 915)."""
    trained = bool(open_clip.get_pretrained_cfg(name, tag).get("quick_gelu", False))
    if trained == bool(config.get("quick_gelu", False)):
        return
    sibling = f"{name}-quickgelu" if trained else name.removesuffix("-quickgelu")
    known = sibling != name and sibling in open_clip.list_models()
    remedy = f"use model_name={sibling}" if known else "use another tag"
    raise ConfigError(f"pretrained={tag} was trained {'with' if trained else 'without'} QuickGELU, "
                      f"model_name={name} computes {'without' if trained else 'with'} it: {remedy}")


def _tag_preprocess(name: str, tag: str) -> tuple[dict[str, Any], None]:
    return _preprocess(open_clip.get_pretrained_cfg(name, tag)), None


def _likely_preprocess(name: str, tags: list[str]) -> tuple[dict[str, Any], str]:
    """A bare weight file says nothing of preprocessing: that of the architecture's published weights, if they agree."""
    published = [_preprocess(open_clip.get_pretrained_cfg(name, tag)) for tag in tags]
    if not published:
        return _preprocess({}), f"no published weights of {name} say how to preprocess: open_clip's default is used"
    differing = [tag for tag, other in zip(tags, published, strict=True) if other != published[0]]
    if differing:
        raise ConfigError(f"{name} was published with more than one preprocessing ({', '.join(differing)} differ from "
                          f"{tags[0]}), and a weight file does not say which is its own: add pretrained=<tag> beside "
                          "checkpoint=<file>, which then gives the preprocessing alone")
    return published[0], f"a weight file holds no preprocessing: that of {name}'s published weights is used"


def _preprocess(config: dict[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = open_clip.transform.merge_preprocess_dict(open_clip.transform.PreprocessCfg(), config)
    return {key: merged[key] for key in _PREPROCESS_KEYS}


def _from_config(model_name: str, config_path: Path, weights: Path) -> Source:
    try:
        config = json.loads(config_path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"cannot read the model description {config_path}: {error}") from error
    if not isinstance(config, dict) or "embed_dim" not in config.get("model_cfg", {}):
        raise WeightsError(f"{config_path} describes no open_clip model: it lacks model_cfg with embed_dim")
    return Source(model_name, None, weights, config["model_cfg"], _preprocess(config.get("preprocess_cfg", {})))


def _local_file(folder: Path, names: tuple[str, ...]) -> Path:
    if not folder.is_dir():
        raise WeightsError(f"there is no folder {folder}: {LOCAL_PREFIX} wants one with {CONFIG_NAME} and weights")
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise WeightsError(f"the folder {folder} lacks {' or '.join(names)}")


def _local_weights(folder: Path) -> Path:
    candidates = sorted(path for path in folder.glob("*") if path.suffix in _WEIGHT_SUFFIXES)
    if len(candidates) == 1:
        return candidates[0]
    return _local_file(folder, _WEIGHT_NAMES)


def _tag_file(name: str, tag: str) -> Path:
    config = open_clip.get_pretrained_cfg(name, tag)
    try:
        with quiet_root_log():
            folder = None if config.get("hf_hub") else str(cache_dir())  # None: the Hugging Face cache
            return Path(open_clip.download_pretrained(config, cache_dir=folder))
    except (OSError, RuntimeError) as error:
        raise _unreachable(f"pretrained={tag} of {name}", error) from error


def _hub_file(repository: str, file_name: str | None) -> Path:
    try:
        return Path(open_clip.pretrained.download_pretrained_from_hf(repository, filename=file_name))
    except (OSError, RuntimeError) as error:
        raise _unreachable(f"{file_name or 'the weights'} of {repository}", error) from error


def _unreachable(what: str, error: Exception) -> WeightsError:
    return WeightsError(
        f"cannot get {what}: {error}. Without a connection: files fetched before are found in the Hugging Face cache "
        "(HF_HOME says where) with HF_HUB_OFFLINE=1; or give checkpoint=<file>, or "
        f"model_name={LOCAL_PREFIX}<folder> with {CONFIG_NAME} and weights")
