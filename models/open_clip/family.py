"""The encoders of feature_type=open_clip: every architecture and every weights tag that the package open_clip knows."""

from __future__ import annotations

import logging
from functools import cached_property
from typing import Any, cast

import open_clip
import open_clip.convert
import torch

from ...errors import ConfigError
from ..base import Crop, EncoderIdentity, Precision, PreprocessBackend, PreprocessSpec, RecipeName
from ..precision import resolve_precision
from ..two_towers import TwoTowerEncoder, TwoTowers
from ..weights import StateDict, fill, read_state_dict, sha256_of
from .source import Source, find_source, quiet_root_log

_CROPS: dict[str, Crop] = {"shortest": "center", "squash": "squash", "longest": "pad"}
_OPEN_CLIP_PRECISIONS = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}

logger = logging.getLogger(__name__)


def identify(
    model_name: str, *, checkpoint: str | None, pretrained: str | None, precision: Precision, crop: Crop | None,
    preprocess: PreprocessBackend, recipe: RecipeName | None, device: str,
) -> EncoderIdentity:
    """See `base.EncoderFamily`. Fetches the weights if need be, for their hash is known from the file alone."""
    _refuse_recipe(recipe)
    source = find_source(model_name, checkpoint=checkpoint, pretrained=pretrained)
    return _identity(source, precision, crop, preprocess, device)


def load(
    model_name: str, *, checkpoint: str | None, pretrained: str | None, precision: Precision, crop: Crop | None,
    preprocess: PreprocessBackend, recipe: RecipeName | None, device: str,
) -> TwoTowerEncoder:
    """See `base.EncoderFamily`."""
    _refuse_recipe(recipe)
    source = find_source(model_name, checkpoint=checkpoint, pretrained=pretrained)
    identity = _identity(source, precision, crop, preprocess, device)
    if source.note:
        logger.info("%s: %s (%s)", source.weights, source.note, source.preprocess_config)
    state = read_state_dict(source.weights)
    network = _untrained(source, identity.precision, device)
    state = _adapt(state, network)
    fill(network, state, path=source.weights, name=source.model_name)
    network.eval().requires_grad_(False)
    spec = _spec(source, network, identity.crop, preprocess)
    return TwoTowerEncoder(
        identity, spec, cast(TwoTowers, network), dim=source.model_config["embed_dim"], device=torch.device(device),
        log_logit_scale=state["logit_scale"].item(),  # from the file: open_clip casts timm networks whole
        tokenize=Tokenizer(source.model_name))


class Tokenizer:
    """The model's own tokenizer, made at first use: SigLIP's needs a package and a download that frames do not."""

    def __init__(self, model_name: str):
        self._model_name = model_name

    def __call__(self, texts: list[str]) -> torch.Tensor:
        """Sentences -> token ids [m, context_length]. Raises ConfigError where open_clip would silently cut one off."""
        tokenizer = self._tokenizer
        if isinstance(tokenizer, open_clip.SimpleTokenizer):
            context_length = tokenizer.context_length or 0
            for text in texts:
                if len(tokenizer.encode(text)) + 2 > context_length:
                    raise ConfigError(f"the text {text!r} is longer than the {context_length} tokens that "
                                      f"{self._model_name} reads, start and end marks included: shorten it")
        return tokenizer(texts)

    @cached_property
    def _tokenizer(self) -> Any:
        try:
            with quiet_root_log():
                return open_clip.get_tokenizer(self._model_name)
        except ImportError as error:
            raise ConfigError(f"the tokenizer of {self._model_name} needs the package {error.name}, which is not "
                              f"installed: pip install {error.name}") from error
        except (OSError, RuntimeError) as error:
            raise ConfigError(f"the tokenizer of {self._model_name} cannot be had: {error}") from error


def _refuse_recipe(recipe: str | None) -> None:
    if recipe is not None:
        raise ConfigError(f"recipe={recipe} does not go with feature_type=open_clip, which encodes single frames: "
                          "leave it out")


def _identity(
    source: Source, precision: Precision, crop: Crop | None, preprocess: PreprocessBackend, device: str
) -> EncoderIdentity:
    resize_mode = source.preprocess_config["resize_mode"]
    if resize_mode not in _CROPS:
        raise ConfigError(f"{source.model_name} resizes by {resize_mode!r}; supported are {', '.join(_CROPS)}")
    return EncoderIdentity(
        feature_type="open_clip", model_name=source.model_name, pretrained=source.pretrained,
        weights_sha256=sha256_of(source.weights), precision=resolve_precision(precision, device),
        crop=crop or _CROPS[resize_mode], preprocess=preprocess)


def _untrained(source: Source, precision: str, device: str) -> torch.nn.Module:
    """The network with random weights, in its precision on its device."""
    try:
        with quiet_root_log():
            return open_clip.create_model(source.model_name, load_weights=False, pretrained_text=False, device=device,
                                          precision=_OPEN_CLIP_PRECISIONS[precision])
    except (RuntimeError, ImportError, OSError, ValueError, TypeError) as error:
        raise ConfigError(f"open_clip cannot build {source.model_name}: {error}") from error


def _adapt(state: StateDict, network: Any) -> StateDict:
    """Renames what older and foreign versions of one network named otherwise, as open_clip does; no sizes change."""
    state = open_clip.convert.convert_state_dict(network, state)
    if "positional_embedding" in state and not hasattr(network, "positional_embedding"):
        state = open_clip.model.convert_to_custom_text_state_dict(state)
    for key in ("logit_scale", "logit_bias"):
        parameter = getattr(network, key, None)
        if key in state and parameter is not None and state[key].numel() == parameter.numel():
            state[key] = state[key].reshape(parameter.shape)
    # A buffer that Hugging Face's text towers no longer hold.
    position_ids = "text.transformer.embeddings.position_ids"
    return {key: value for key, value in state.items() if key != position_ids}


def _spec(source: Source, network: Any, crop: str, preprocess: PreprocessBackend) -> PreprocessSpec:
    config = source.preprocess_config
    height, width = _pair(network.visual.image_size)
    if height != width:
        raise ConfigError(f"{source.model_name} takes frames of {height}x{width}; only square ones are supported")
    if config["interpolation"] not in ("bicubic", "bilinear"):
        raise ConfigError(f"{source.model_name} resizes with {config['interpolation']!r}; "
                          "supported are bicubic and bilinear")
    if config["fill_color"] != 0 and crop == "pad":
        raise ConfigError(f"{source.model_name} pads with {config['fill_color']}; only 0 is supported (or crop=center)")
    return PreprocessSpec(
        height, _triple(config["mean"]), _triple(config["std"]), interpolation=config["interpolation"],
        crop=crop,  # pyright: ignore[reportArgumentType]
        backend=preprocess)


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def _triple(value: float | tuple[float, ...]) -> tuple[float, float, float]:
    red, green, blue = value if isinstance(value, list | tuple) else (value,) * 3
    return float(red), float(green), float(blue)
