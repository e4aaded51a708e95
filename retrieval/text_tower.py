"""Training the CLIP's text tower on stored features of videos, and texts' features of what came out of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import torch

from ..errors import ConfigError
from ..extract.stored import encoder_of
from ..models.adaclip.checkpoint import Checkpoint
from ..models.adaclip.model import AdaClip
from ..models.adaclip.text_tower import TextTower, text_features, token_ids, tuned_text_encoder
from ..models.base import Encoder, EncoderIdentity, TextEncoder
from .annotations import CaptionedVideo, CaptionRule, texts_of
from .gallery import Gallery
from .queries import cut_to_tokens
from .training_source import Batch, TextRows, VideoTensors

CONTEXT_LENGTH = 77  # of every CLIP of OpenAI's architecture


class TextTowerPairs:
    """Stored features of videos, and texts that go through the tower that is trained. Fulfils `PairSource`."""

    def __init__(self, rule: CaptionRule, seed: int, device: torch.device, encoder: Encoder, model: AdaClip, max_txt_len: int, *,
                 train: Gallery, train_videos: Sequence[CaptionedVideo], validation: Gallery | None,
                 validation_videos: Sequence[CaptionedVideo], texts_at_once: int):
        self._tower, self._model, self._device, self._texts_at_once = TextTower(encoder).to(device), model, device, texts_at_once
        self.clip: torch.nn.Module | None = self._tower
        self.policy: torch.nn.Module | None = None
        self._tokens, video_of = tokens_of(train_videos, rule, max_txt_len)  # [Q, L]
        self._rows = TextRows(rule, seed, video_of, train.available)
        self.pairs = len(self._rows)
        self._videos = VideoTensors(train, device)
        self._validation = None if validation is None else VideoTensors(validation, device)
        self._validation_tokens, self._validation_of = tokens_of(validation_videos, rule, max_txt_len)

    def batch(self, places: np.ndarray, epoch: int) -> Batch:
        """See `PairSource`."""
        rows, of = self._rows.of(places, epoch)
        videos = torch.from_numpy(of).to(self._device)
        texts = self._features(self._tokens[torch.from_numpy(rows)])
        policy = None if self._videos.policy is None else self._videos.policy[videos]
        return Batch(self._videos.features[videos], self._videos.mask[videos], texts, videos, policy)

    def expect(self, places: np.ndarray, epoch: int) -> None:
        """See `PairSource`."""

    def similarity(self, model: AdaClip) -> tuple[np.ndarray, np.ndarray]:
        """See `PairSource`."""
        assert self._validation is not None
        rows = [self._features(some) for some in self._validation_tokens.split(self._texts_at_once)]
        return self._validation.similarity(model, model.encode_texts(torch.cat(rows)), self._texts_at_once), self._validation_of

    def _features(self, tokens: torch.Tensor) -> torch.Tensor:
        longest = int(tokens.argmax(dim=-1).max()) + 1
        return text_features(self._tower, self._model.words, tokens[:, :longest].to(self._device))


def queries_encoder(checkpoint: Checkpoint, encoder_checkpoint: str | None, device: str,
                    ) -> tuple[EncoderIdentity, Callable[[], TextEncoder]]:
    """Who encodes texts for a checkpoint, and how to load it: the encoder of its features, or its own trained text tower.

    The identity of a trained one has the checkpoint's fingerprint for its weights, so that stores of text features keep
    them apart. Loading raises ConfigError where the encoder's weights are not those of the features.
    """
    def load() -> Encoder:
        return encoder_of(checkpoint.encoder, encoder_checkpoint, device)

    if not checkpoint.clip_state:
        return checkpoint.encoder, load
    identity = dataclasses.replace(checkpoint.encoder, weights_sha256=checkpoint.fingerprint, precision="float32")
    return identity, lambda: tuned_text_encoder(checkpoint, load())


def text_layers(encoder: Encoder) -> dict[str, torch.Tensor]:
    """The float32 tensors of a CLIP by name, its text tower's among them; none where its kind is built otherwise."""
    network = getattr(encoder, "network", None)
    return {name: tensor.float() for name, tensor in network.state_dict().items()} if isinstance(network, torch.nn.Module) else {}


def tokens_of(videos: Sequence[CaptionedVideo], rule: CaptionRule, max_txt_len: int) -> tuple[torch.Tensor, np.ndarray]:
    """Token ids [Q, L] of the queries, each cut to max_txt_len tokens, and the video of each [Q]. Raises ConfigError for
    concat_captions=mean, which has no text of its own."""
    if rule == "mean":
        raise ConfigError("concat_captions=mean averages stored text features, and the text tower is to be trained: give concat, "
                          "indep-one or indep-all")
    queries = texts_of(videos, rule)
    if not queries.texts:
        return torch.zeros(0, 1, dtype=torch.long), queries.video_of
    return token_ids([cut_to_tokens(text, max_txt_len) for text in queries.texts], CONTEXT_LENGTH, cut=True), queries.video_of
