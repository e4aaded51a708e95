"""The encoders by feature type. Their modules, and torch with them, are imported when one is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

from ..errors import ConfigError
from .base import Crop, Encoder, EncoderFamily, EncoderIdentity, Precision, PreprocessBackend, RecipeName
from .names import did_you_mean


class LazyEncoder:
    """A model that is loaded at most once, and only when asked for."""

    def __init__(self, load: Callable[[], Encoder], loaded: Encoder | None = None):
        self._load, self.loaded = load, loaded

    def __call__(self) -> Encoder:
        if self.loaded is None:
            self.loaded = self._load()
        return self.loaded


def load_encoder(
    feature_type: str, model_name: str, *, checkpoint: str | None = None, pretrained: str | None = None,
    precision: Precision = "auto", crop: Crop | None = None, preprocess: PreprocessBackend = "tensor",
    recipe: RecipeName | None = None, device: str | None = None, url: str | None = None, token: str | None = None,
) -> Encoder:
    """A network with its weights, preprocessing, precision and device.

    Args:
        feature_type: a key of ENCODERS.
        model_name: the family's name of the network.
        checkpoint: a weight file to take in place of the published one.
        pretrained: open_clip's tag of a set of published weights.
        precision: "auto" is float16 on CUDA, float32 elsewhere.
        crop: None is the model's own.
        preprocess: "tensor" is fast and within one grey level of "pil".
        recipe: viclip's way from a video to frames and pixels; None is the family's default.
        device: None is the first CUDA device, or the CPU where there is none.
        url: feature_type=remote: where the server is; `token` is what it asks for (None: $CLIPREEL_TOKEN).

    Raises:
        ConfigError: an argument is unknown or does not go with the others.
        WeightsError: the weights cannot be had, read, or do not fit.
    """
    family = _family(feature_type, url, token)
    _check_choices(precision, crop, preprocess, recipe)
    return family.load(model_name, checkpoint=checkpoint, pretrained=pretrained, precision=precision, crop=crop,
                       preprocess=preprocess, recipe=recipe, device=_present_device(device))


def identify(
    feature_type: str, model_name: str, *, checkpoint: str | None = None, pretrained: str | None = None,
    precision: Precision = "auto", crop: Crop | None = None, preprocess: PreprocessBackend = "tensor",
    recipe: RecipeName | None = None, device: str | None = None, url: str | None = None, token: str | None = None,
) -> EncoderIdentity:
    """What `load_encoder` with the same arguments will call itself; loads no network, but may hash or fetch weights."""
    family = _family(feature_type, url, token)
    _check_choices(precision, crop, preprocess, recipe)
    return family.identify(model_name, checkpoint=checkpoint, pretrained=pretrained, precision=precision, crop=crop,
                           preprocess=preprocess, recipe=recipe, device=_present_device(device))


def _family(feature_type: str, url: str | None, token: str | None) -> EncoderFamily:
    if feature_type not in ENCODERS:
        raise ConfigError(f"there is no feature_type {feature_type!r}{did_you_mean(feature_type, ENCODERS)} "
                          f"(allowed: {', '.join(ENCODERS)})")
    if feature_type == "remote":
        return _remote(url, token)
    if url is not None or token is not None:
        raise ConfigError(f"url= and token= go with feature_type=remote, whose encoder is elsewhere, and not with {feature_type}")
    return ENCODERS[feature_type]()


def _check_choices(precision: str, crop: str | None, preprocess: str, recipe: str | None) -> None:
    for key, value, allowed in (
        ("precision", precision, get_args(Precision)),
        ("crop", crop, (*get_args(Crop), None)),
        ("preprocess", preprocess, get_args(PreprocessBackend)),
        ("recipe", recipe, (*get_args(RecipeName), None)),
    ):
        if value not in allowed:
            raise ConfigError(f"{key}={value} is unknown{did_you_mean(str(value), filter(None, allowed))} "
                              f"(allowed: {', '.join('null' if choice is None else choice for choice in allowed)})")


def _present_device(device: str | None) -> str:
    import torch

    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        wanted = torch.device(device)
    except RuntimeError as error:
        raise ConfigError(f"device={device} is no device (allowed: cpu, cuda, cuda:0, cuda:1, …)") from error
    # Counted, not touched: touching a device takes memory on it, and identify() needs none.
    if wanted.type == "cuda" and (wanted.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"device={device} is not present: {torch.cuda.device_count()} CUDA devices are; "
                          "use one of them or device=cpu")
    if wanted.type not in ("cpu", "cuda"):
        raise ConfigError(f"device={device} is not supported (allowed: cpu, cuda, cuda:0, cuda:1, …)")
    return device


def _clip() -> EncoderFamily:
    from .clip import family

    return family


def _open_clip() -> EncoderFamily:
    from .open_clip import family

    return family


def _viclip() -> EncoderFamily:
    from .viclip import family

    return family


def _policy() -> EncoderFamily:
    from .policy import family

    return family


def _remote(url: str | None = None, token: str | None = None) -> EncoderFamily:
    from .remote.family import RemoteFamily

    return RemoteFamily(url, token)


ENCODERS: dict[str, Callable[[], EncoderFamily]] = {
    "clip": _clip,
    "open_clip": _open_clip,
    "viclip": _viclip,
    "policy": _policy,
    "remote": _remote,
}
