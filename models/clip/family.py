"""The encoders of feature_type=clip: OpenAI's nine, the demonstration model `tiny`, and checkpoints of one's own."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from ...errors import ConfigError, WeightsError
from ..base import Crop, EncoderIdentity, Precision, PreprocessBackend, PreprocessSpec, RecipeName
from ..download import fetch
from ..names import did_you_mean
from ..precision import DTYPES, lower_precision, resolve_precision
from ..two_towers import TwoTowerEncoder
from ..weights import read_state_dict, sha256_of
from .architecture import ARCHITECTURES, Architecture, build, import_clip, infer, name_of
from .archives import ARCHIVES, Archive

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
TINY_PATH = Path(__file__).resolve().parents[2] / "sample" / "tiny.safetensors"
CUSTOM_PATH = Path(__file__).resolve().parent / "checkpoints" / "CLIP-custom.pth"
MODEL_NAMES = (*ARCHIVES, "tiny", "custom")


def identify(
    model_name: str, *, checkpoint: str | None, pretrained: str | None, precision: Precision, crop: Crop | None,
    preprocess: PreprocessBackend, recipe: RecipeName | None, device: str,
) -> EncoderIdentity:
    """See `base.EncoderFamily`. Downloads nothing: the published archives' hashes are known."""
    if pretrained is not None:
        raise ConfigError(f"pretrained={pretrained} does not go with feature_type=clip, where model_name names the "
                          "weights: leave it out, or use feature_type=open_clip")
    if recipe is not None:
        raise ConfigError(f"recipe={recipe} does not go with feature_type=clip, which encodes single frames: leave it out")
    weights = _weights(model_name, checkpoint)
    return EncoderIdentity(
        feature_type="clip", model_name=model_name, pretrained=None,
        weights_sha256=weights.sha256 if isinstance(weights, Archive) else sha256_of(weights),
        precision=resolve_precision(precision, device), crop=crop or "center", preprocess=preprocess)


def load(
    model_name: str, *, checkpoint: str | None, pretrained: str | None, precision: Precision, crop: Crop | None,
    preprocess: PreprocessBackend, recipe: RecipeName | None, device: str,
) -> TwoTowerEncoder:
    """See `base.EncoderFamily`."""
    identity = identify(model_name, checkpoint=checkpoint, pretrained=pretrained, precision=precision, crop=crop,
                        preprocess=preprocess, recipe=recipe, device=device)
    weights = _weights(model_name, checkpoint)
    path = fetch(weights.url, weights.sha256) if isinstance(weights, Archive) else weights
    state = read_state_dict(path)
    architecture = infer(state, path)
    _check_name(model_name, architecture, path)
    network = build(architecture, state, path)
    if identity.precision != "float32":
        lower_precision(network, DTYPES[identity.precision])
    spec = PreprocessSpec(architecture.image_size, MEAN, STD, crop=crop or "center", backend=preprocess)
    return TwoTowerEncoder(
        identity, spec, network.to(device), dim=architecture.embed_dim, device=torch.device(device),
        log_logit_scale=state["logit_scale"].item(),
        tokenize=lambda texts: tokenize(texts, architecture.context_length))


def tokenize(texts: list[str], context_length: int = 77) -> torch.Tensor:
    """Sentences -> token ids [m, context_length]. Raises ConfigError for one that is too long: nothing is cut off."""
    import_clip()
    from clip import clip

    for text in texts:
        try:
            clip.tokenize(text, context_length)
        except RuntimeError as error:
            raise ConfigError(f"the text {text!r} is longer than the {context_length} tokens that the model reads, "
                              "start and end marks included: shorten it") from error
    return clip.tokenize(texts, context_length)


def _weights(model_name: str, checkpoint: str | None) -> Path | Archive:
    if model_name not in MODEL_NAMES:
        raise ConfigError(f"feature_type=clip has no model_name {model_name!r}{did_you_mean(model_name, MODEL_NAMES)} "
                          f"(allowed: {', '.join(MODEL_NAMES)}; for others, feature_type=open_clip)")
    if checkpoint is not None:
        if model_name == "tiny":
            raise ConfigError("model_name=tiny is one fixed file: for a checkpoint of your own use model_name=custom")
        return Path(checkpoint).expanduser()
    if model_name == "custom":
        if not CUSTOM_PATH.is_file():
            raise WeightsError(f"model_name=custom: give checkpoint=<file>, or put the checkpoint at {CUSTOM_PATH}")
        return CUSTOM_PATH
    if model_name == "tiny":
        if not TINY_PATH.is_file():
            raise WeightsError(f"the demonstration model {TINY_PATH} is missing from this installation: install "
                               "clipreel again, or make it with `python -m clipreel.sample.train`")
        return TINY_PATH
    return ARCHIVES[model_name]


def _check_name(model_name: str, architecture: Architecture, path: Path) -> None:
    expected = ARCHITECTURES.get(model_name)
    if expected is None or expected == architecture:
        return
    found = name_of(architecture)
    described = f"a {found}" if found else ", ".join(
        f"{key} {value}" for key, value in dataclasses.asdict(architecture).items())
    raise WeightsError(f"the checkpoint {path} is no {model_name} but {described}: use model_name=custom"
                       f"{f' or model_name={found}' if found else ''}")
