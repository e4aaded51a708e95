"""The encoders of feature_type=remote: whatever the server at `url` has loaded (`python main.py serve`)."""

from __future__ import annotations

import json

from ...errors import ConfigError, EncoderServerError
from ..base import Crop, EncoderIdentity, Precision, PreprocessBackend, RecipeName
from ..viclip.recipes import RECIPES
from .client import Client
from .encoder import RemoteEncoder, RemoteWindowEncoder
from .protocol import INFO, ServerInfo

ANY = "any"  # model_name: take what is served


class RemoteFamily:
    """`base.EncoderFamily` of one server. What is asked of the model must be what the server has."""

    def __init__(self, url: str | None, token: str | None):
        if url is None:
            raise ConfigError("feature_type=remote needs url=, the address of an encoder server, such as http://127.0.0.1:8090 "
                              "(start one with: python main.py serve feature_type=clip model_name=tiny)")
        self._client = Client(url, token)

    def identify(
        self, model_name: str, *, checkpoint: str | None, pretrained: str | None, precision: Precision, crop: Crop | None,
        preprocess: PreprocessBackend, recipe: RecipeName | None, device: str,
    ) -> EncoderIdentity:
        """See `base.EncoderFamily`."""
        return self._info(model_name, checkpoint, pretrained, precision, crop, recipe).identity

    def load(
        self, model_name: str, *, checkpoint: str | None, pretrained: str | None, precision: Precision, crop: Crop | None,
        preprocess: PreprocessBackend, recipe: RecipeName | None, device: str,
    ) -> RemoteEncoder:
        """See `base.EncoderFamily`."""
        info = self._info(model_name, checkpoint, pretrained, precision, crop, recipe)
        if info.num_frames is None:
            return RemoteEncoder(self._client, info)
        return RemoteWindowEncoder(self._client, info, info.num_frames, info.context_length or 0)

    def _info(self, model_name: str, checkpoint: str | None, pretrained: str | None, precision: str, crop: str | None,
              recipe: str | None) -> ServerInfo:
        if checkpoint is not None:
            raise ConfigError(f"checkpoint={checkpoint} does not go with feature_type=remote, whose server has its weights: "
                              "leave it out")
        try:
            reply = self._client.request("GET", INFO, patience_seconds=0)
        except EncoderServerError as error:
            raise ConfigError(f"{error}; start one with `python main.py serve`, or correct url=") from error
        try:
            info = ServerInfo.from_json(json.loads(reply.body))
            _check_names(info)
        except ValueError as error:
            raise ConfigError(f"url={self._client.url}: answers, but is no encoder server that this version understands "
                              f"({error})") from error
        served = info.identity
        for name, wanted, there in (
            ("model_name", None if model_name == ANY else model_name, served.model_name), ("crop", crop, served.crop),
            ("pretrained", pretrained, served.pretrained), ("recipe", recipe, served.recipe),
            ("precision", None if precision == "auto" else precision, served.precision),
        ):
            if wanted is not None and wanted != there:
                raise ConfigError(f"{name}={wanted}: the server at {self._client.url} has {served.feature_type} "
                                  f"{served.model_name} with {name}={there}; leave it out to take that, or start another server")
        return info


def _check_names(info: ServerInfo) -> None:
    """Folders and recipes are found by these names, so a server does not choose them freely."""
    from ..registry import ENCODERS

    identity = info.identity
    if identity.feature_type not in ENCODERS or identity.feature_type == "remote":
        raise ValueError(f"its feature_type is {identity.feature_type!r}")
    if identity.model_name in ("", ".", "..") or "\0" in identity.model_name:
        raise ValueError(f"its model_name is {identity.model_name!r}")
    if info.num_frames is not None and (identity.recipe not in RECIPES or info.context_length is None):
        raise ValueError(f"its recipe is {identity.recipe!r}")
