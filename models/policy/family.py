"""The encoders of feature_type=policy: `raw` pixels, and torchvision's networks with ImageNet weights or one's own."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

from ...errors import ConfigError
from ..base import Crop, EncoderIdentity, Precision, PreprocessBackend, PreprocessSpec, RecipeName
from ..download import fetch
from ..names import did_you_mean
from ..precision import DTYPES, lower_precision, resolve_precision
from ..weights import read_state_dict, sha256_of
from .backbones import BACKBONES, Backbone, build_with_weights, build_without_weights
from .encoder import PolicyEncoder

_NO_WEIGHTS = hashlib.sha256().hexdigest()  # of nothing: what `raw` has


def identify(
    model_name: str, *, checkpoint: str | None, pretrained: str | None, precision: Precision, crop: Crop | None,
    preprocess: PreprocessBackend, recipe: RecipeName | None, device: str,
) -> EncoderIdentity:
    """See `base.EncoderFamily`. Downloads nothing: the published files' hashes are known."""
    backbone = _backbone(model_name)
    for key, value in (("pretrained", pretrained), ("recipe", recipe)):
        if value is not None:
            raise ConfigError(f"{key}={value} does not go with feature_type=policy, where model_name names the network: "
                              "leave it out")
    if backbone.published is None and checkpoint is not None:
        raise ConfigError(f"checkpoint={checkpoint} does not go with model_name={model_name}, which are pixels and has no "
                          "weights: leave it out")
    if checkpoint is not None:
        sha256 = sha256_of(Path(checkpoint).expanduser())
    else:
        sha256 = backbone.published.sha256 if backbone.published is not None else _NO_WEIGHTS
    return EncoderIdentity(
        feature_type="policy", model_name=model_name, pretrained=None, weights_sha256=sha256,
        precision=resolve_precision(precision, device), crop=crop or "center", preprocess=preprocess)


def load(
    model_name: str, *, checkpoint: str | None, pretrained: str | None, precision: Precision, crop: Crop | None,
    preprocess: PreprocessBackend, recipe: RecipeName | None, device: str,
) -> PolicyEncoder:
    """See `base.EncoderFamily`."""
    identity = identify(model_name, checkpoint=checkpoint, pretrained=pretrained, precision=precision, crop=crop,
                        preprocess=preprocess, recipe=recipe, device=device)
    backbone = BACKBONES[model_name]
    if backbone.published is None:
        network = build_without_weights(model_name)
    else:
        path = (Path(checkpoint).expanduser() if checkpoint is not None
                else fetch(backbone.published.url, backbone.published.sha256))
        network = build_with_weights(model_name, read_state_dict(path), path)
    if identity.precision != "float32":
        lower_precision(network, DTYPES[identity.precision])
    spec = PreprocessSpec(backbone.image_size, backbone.mean, backbone.std, crop=crop or "center", backend=preprocess,
                          resize_size=backbone.resize_size)
    return PolicyEncoder(identity, spec, network.to(device), dim=backbone.dim, device=torch.device(device))


def _backbone(model_name: str) -> Backbone:
    if model_name not in BACKBONES:
        raise ConfigError(f"feature_type=policy has no model_name {model_name!r}{did_you_mean(model_name, BACKBONES)} "
                          f"(allowed: {', '.join(BACKBONES)})")
    return BACKBONES[model_name]
