"""From the config to what training needs: the model, the pairs it learns from, and what its checkpoints say of them."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ..configs.retrieval_train_schema import RetrievalTrainConfig
from ..configs.schema import EncoderConfig
from ..errors import ConfigError
from ..extract.stored import encoder_of
from ..extract.text_features import CaptionFeatures
from ..extract.texts import FOLDER as TEXTS_FOLDER
from ..models.adaclip.checkpoint import Checkpoint, TextRules
from ..models.adaclip.model import MAX_LOGIT_SCALE, AdaClip
from ..models.adaclip.options import AdaClipOptions
from ..models.base import EncoderIdentity
from ..models.registry import LazyEncoder
from .annotations import CaptionedVideo
from .distributed import Processes
from .gallery import Gallery, load_gallery
from .queries import query_features
from .text_tower import TextTowerPairs, text_layers
from .training_source import PairSource, StoredPairs
from .training_videos import TrainingVideos

log = logging.getLogger("clipreel")


@dataclass(frozen=True, eq=False)
class TrainingSetup:
    """`missing`: how many training videos have no features. `has_validation` is False where none of those has any."""

    model: AdaClip
    source: PairSource
    encoder: EncoderIdentity
    policy: EncoderIdentity | None
    texts: TextRules
    missing: int
    has_validation: bool

    def checkpoint(self, epochs: int) -> Checkpoint:
        """As it is now, after so many epochs."""
        trained = {} if self.source.clip is None else self.source.clip.state_dict()
        return Checkpoint(self.model, self.encoder, self.texts, self.policy,
                          {name: tensor.detach().cpu() for name, tensor in trained.items()}, epochs)


def set_up(config: RetrievalTrainConfig, videos: TrainingVideos, group: Processes) -> TrainingSetup:
    """On stored features, or from frames. Raises UsageError where features, texts or options do not go together."""
    if config.from_frames:
        from .frames_setup import set_up_from_frames

        return set_up_from_frames(config, videos, group)
    if config.freeze_cnn and config.policy_backbone == "features" and group.is_first:
        log.warning("freeze_cnn=true has nothing to freeze: with policy_backbone=features no network stands before the selector")
    train = _gallery(config, videos.train)
    validation = _gallery(config, videos.validation) if videos.validation else None
    if validation is not None and validation.encoder != train.encoder:
        raise ConfigError(f"features={config.features}: those of the validation are of another model than those of the training")
    _refuse_another_encoder(config, train.encoder)
    encoder = LazyEncoder(lambda: encoder_of(train.encoder, config.encoder.checkpoint, str(group.device)))
    options = adaclip_options(config, train.features.shape[2], None if train.policy is None else train.policy.shape[2])
    torch.manual_seed(config.seed)
    model = AdaClip(options).to(group.device)
    if model.head is not None:
        model.head.begin_as(text_layers(encoder()))
    at_once = config.val_batch_size
    source: PairSource
    if config.clip_is_frozen:
        store = CaptionFeatures(Path(config.texts).expanduser() / TEXTS_FOLDER, train.encoder)
        length = None if config.concat_captions == "mean" else config.max_txt_len
        texts = [query_features(some, config.concat_captions, store, encoder, length) for some in (videos.train, videos.validation)
                 if some]
        cut = sum(one.cut for one in texts)
        if cut and group.is_first:
            log.warning("%d texts are longer than max_txt_len=%d: of those only the beginning counts", cut, config.max_txt_len)
        source = StoredPairs(config.concat_captions, config.seed, group.device, train=train, train_texts=texts[0],
                             validation=validation, validation_texts=texts[1] if validation is not None else None,
                             texts_at_once=at_once)
        logit_scale = store.logit_scale
    else:
        source = TextTowerPairs(config.concat_captions, config.seed, group.device, encoder(), model, config.max_txt_len,
                                train=train, train_videos=videos.train, validation=validation, validation_videos=videos.validation,
                                texts_at_once=at_once)
        logit_scale = encoder().logit_scale
    with torch.no_grad():
        model.logit_scale.fill_(min(math.log(logit_scale or 100.0), MAX_LOGIT_SCALE))
    model.logit_scale.requires_grad_(not config.clip_is_frozen)  # it is one of the CLIP's parameters
    return TrainingSetup(model, source, train.encoder, train.policy_encoder, TextRules(config.concat_captions, config.max_txt_len),
                         len(train.missing), validation is not None and bool(validation.available.any()))


def adaclip_options(config: RetrievalTrainConfig, dim: int, policy_dim: int | None) -> AdaClipOptions:
    """The model that the config asks for, on features of so many dimensions. Raises ConfigError for options that cancel each
    other."""
    shared = {one.name for one in dataclasses.fields(AdaClipOptions)} & {one.name for one in dataclasses.fields(config)}
    values = {name: getattr(config, name) for name in shared}
    values |= {"frame_agg": config.frame_agg or "mean", "rnn": "none" if config.no_rnn else config.rnn}
    return AdaClipOptions(dim=dim, policy_dim=policy_dim, **{**values, "top_k": config.frames_chosen})


def _gallery(config: RetrievalTrainConfig, videos: Sequence[CaptionedVideo]) -> Gallery:
    assert config.features is not None
    return load_gallery(config.features, [video.video_id for video in videos], config.num_frm, config.policy_features)


def _refuse_another_encoder(config: RetrievalTrainConfig, identity: EncoderIdentity) -> None:
    """What the features say of their model holds; keys that say otherwise are a mistake."""
    plain = EncoderConfig()
    for name in ("feature_type", "model_name", "pretrained"):
        given, stored = getattr(config.encoder, name), getattr(identity, name)
        if given not in (getattr(plain, name), stored):
            raise ConfigError(f"{name}={given}: the features below {config.features} were made with {name}={stored}; leave it out")
