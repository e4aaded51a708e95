"""The encoders of feature_type=viclip: ViCLIP-L, ViCLIP-B, and others of the kind."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from ...errors import ConfigError, WeightsError
from ..base import Crop, EncoderIdentity, Precision, PreprocessBackend, PreprocessSpec, RecipeName
from ..names import did_you_mean
from ..precision import DTYPES, resolve_precision
from ..weights import read_state_dict, sha256_of
from .architecture import ARCHITECTURES, Architecture, build, infer, name_of, with_context_length
from .encoder import ViCLIPEncoder
from .recipes import DEFAULT, MEAN, RECIPES, STD
from .source import find_weights

MODEL_NAMES = (*ARCHITECTURES, "custom")


def identify(
    model_name: str, *, checkpoint: str | None, pretrained: str | None, precision: Precision, crop: Crop | None,
    preprocess: PreprocessBackend, recipe: RecipeName | None, device: str,
) -> EncoderIdentity:
    """See `base.EncoderFamily`. Fetches the weights if need be, for their hash is known from the file alone."""
    _check(model_name, pretrained, crop, preprocess, recipe)
    return _identity(find_weights(model_name, checkpoint), model_name, precision, crop, preprocess, recipe, device)


def load(
    model_name: str, *, checkpoint: str | None, pretrained: str | None, precision: Precision, crop: Crop | None,
    preprocess: PreprocessBackend, recipe: RecipeName | None, device: str, context_length: int | None = None,
    untrained_context: bool = False,
) -> ViCLIPEncoder:
    """See `base.EncoderFamily`. `context_length`: read texts of so many tokens (None: as trained); more than were
    trained only with `untrained_context`."""
    _check(model_name, pretrained, crop, preprocess, recipe)
    path = find_weights(model_name, checkpoint)
    identity = _identity(path, model_name, precision, crop, preprocess, recipe, device)
    state = read_state_dict(path)
    architecture = infer(state, path)
    _check_name(model_name, architecture, path)
    if context_length is not None:
        state = with_context_length(state, context_length, untrained=untrained_context)
        architecture = infer(state, path)
    network = build(architecture, state, path)
    if identity.precision != "float32":
        network.lower_precision(DTYPES[identity.precision])
    chosen = RECIPES[recipe or DEFAULT]
    spec = PreprocessSpec(architecture.image_size, MEAN, STD, interpolation=chosen.interpolation, crop=crop or "squash",
                          backend=preprocess)
    return ViCLIPEncoder(identity, spec, chosen, architecture, network.to(device), torch.device(device))


def _identity(
    path: Path, model_name: str, precision: str, crop: str | None, preprocess: str, recipe: str | None, device: str
) -> EncoderIdentity:
    return EncoderIdentity(
        feature_type="viclip", model_name=model_name, pretrained=None, weights_sha256=sha256_of(path),
        precision=resolve_precision(precision, device), crop=crop or "squash", preprocess=preprocess,
        recipe=recipe or DEFAULT)


def _check(model_name: str, pretrained: str | None, crop: str | None, preprocess: str, recipe: str | None) -> None:
    if model_name not in MODEL_NAMES:
        raise ConfigError(f"feature_type=viclip has no model_name {model_name!r}{did_you_mean(model_name, MODEL_NAMES)} "
                          f"(allowed: {', '.join(MODEL_NAMES)})")
    if pretrained is not None:
        raise ConfigError(f"pretrained={pretrained} does not go with feature_type=viclip: give checkpoint=<file>")
    if RECIPES[recipe or DEFAULT].fixed:
        for key, value, only in (("crop", crop, "squash"), ("preprocess", preprocess, "tensor")):
            if value not in (None, only):
                raise ConfigError(f"{key}={value} does not go with recipe={recipe}, which makes pictures in one way only: "
                                  f"leave {key} out, or use recipe={DEFAULT}")


def _check_name(model_name: str, architecture: Architecture, path: Path) -> None:
    expected = ARCHITECTURES.get(model_name)
    if expected is None or expected == architecture:
        return
    found = name_of(architecture)
    described = f"a {found}" if found else ", ".join(
        f"{key} {value}" for key, value in dataclasses.asdict(architecture).items())
    raise WeightsError(f"the checkpoint {path} is no {model_name} but {described}: use model_name=custom"
                       f"{f' or model_name={found}' if found else ''}")
