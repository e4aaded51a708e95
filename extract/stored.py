"""Features that an earlier run stored, for the stages that read them, and the one model that made them."""

from __future__ import annotations

from pathlib import Path

from ..errors import ConfigError, StoredDataError
from ..models.base import Encoder, EncoderIdentity
from ..models.registry import load_encoder
from .remote import is_url
from .store.find import StoredVideo
from .store.object_store import find_stored_anywhere


def stored_of_one_model(folder: str) -> tuple[list[StoredVideo], EncoderIdentity]:
    """The features stored below `features=folder`, in order of names, each yet to be read, and the model that made them all.

    Raises StoredDataError when there is none, when they are of several models, or what is there is half written or damaged.
    """
    if not is_url(folder) and not Path(folder).expanduser().exists():
        raise StoredDataError(f"features={folder}: there is no such folder")
    videos, identity = [], None
    for video in find_stored_anywhere(folder):
        model = (video.mark.provenance if video.mark is not None else video.read(False).provenance).settings.encoder
        if identity is not None and model != identity:
            raise StoredDataError(f"features={folder}: holds features of several models, {identity} and {model}; name the "
                                  "folder of one")
        identity = model
        videos.append(video)
    if identity is None:
        raise StoredDataError(f"features={folder}: holds no stored features")
    return videos, identity


def encoder_of(identity: EncoderIdentity, checkpoint: str | None, device: str) -> Encoder:
    """The model that made stored features. Raises ConfigError where the weights found are not those."""
    encoder = load_encoder(identity.feature_type, identity.model_name, checkpoint=checkpoint, pretrained=identity.pretrained,
                           precision=identity.precision, device=device)  # pyright: ignore[reportArgumentType]
    if encoder.identity.weights_sha256 != identity.weights_sha256:
        raise ConfigError(f"the stored features were made with weights of SHA-256 {identity.weights_sha256}, and "
                          f"{identity.model_name}{f' from {checkpoint}' if checkpoint else ''} here has "
                          f"{encoder.identity.weights_sha256}: give the checkpoint= that made them")
    return encoder
