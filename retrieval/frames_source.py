"""Training from frames: pictures and texts go through the networks that are trained, in every step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..models.adaclip.end_to_end import FrameNetworks
from ..models.adaclip.model import AdaClip
from .annotations import CaptionedVideo, CaptionRule
from .frames_data import FrameFolder, FrameRule, Pictures
from .text_tower import tokens_of
from .training_source import Batch, TextRows

_DRAWN_FRAMES = 4  # among the things that are drawn: with the seed, the epoch and the video it gives the frames


class FramePairs:
    """Fulfils `PairSource`. `clip` has all networks that stand before the model; of them `policy` learns as the model does."""

    def __init__(self, rule: CaptionRule, seed: int, device: torch.device, networks: FrameNetworks, model: AdaClip,
                 folder: FrameFolder, frames: FrameRule, max_txt_len: int, *, train: Sequence[CaptionedVideo],
                 validation: Sequence[CaptionedVideo], videos_at_once: int, texts_at_once: int):
        self._networks, self._model, self._device = networks.to(device), model, device
        self._folder, self._frames, self._seed = folder, frames, seed
        self.clip: torch.nn.Module | None = networks
        self.policy = networks.trained_policy
        self._train, self._validation = ([video.video_id for video in some] for some in (train, validation))
        self._tokens, video_of = tokens_of(train, rule, max_txt_len)  # [Q, L]
        self.available = folder.available(self._train)
        self.validation_available = folder.available(self._validation)
        self._rows = TextRows(rule, seed, video_of, self.available)
        self.pairs = len(self._rows)
        self._validation_tokens, self._validation_of = tokens_of(validation, rule, max_txt_len)
        self._videos_at_once, self._texts_at_once = videos_at_once, texts_at_once

    def batch(self, places: np.ndarray, epoch: int) -> Batch:
        """See `PairSource`."""
        rows, of = self._rows.of(places, epoch)
        pictures = self._folder.take(self._drawn(of, epoch), self._frames)
        self._networks.training_mode(True)
        features, mask, policy = self._seen(pictures)
        texts = self._texts(self._tokens[torch.from_numpy(rows)])
        return Batch(features, mask, texts, torch.from_numpy(of).to(self._device), policy)

    def expect(self, places: np.ndarray, epoch: int) -> None:
        """See `PairSource`."""
        for video_id, drawn in self._drawn(self._rows.of(places, epoch)[1], epoch):
            self._folder.ask(video_id, self._frames, drawn)

    def similarity(self, model: AdaClip) -> tuple[np.ndarray, np.ndarray]:
        """See `PairSource`."""
        self._networks.training_mode(False)
        tokens = self._validation_tokens.split(self._texts_at_once)
        texts = [model.encode_texts(self._texts(some)) for some in tokens]
        cosines = np.full((len(self._validation_tokens), len(self._validation)), -np.inf, dtype=np.float32)
        there = np.flatnonzero(self.validation_available)
        blocks = [there[begin:begin + self._videos_at_once] for begin in range(0, len(there), self._videos_at_once)]
        asked = [[(self._validation[place], ()) for place in block] for block in blocks]
        for number, block in enumerate(blocks):
            for video_id, drawn in asked[number + 1] if number + 1 < len(asked) else ():
                self._folder.ask(video_id, self._frames, drawn)
            chosen = model.choose(*self._seen(self._folder.take(asked[number], self._frames)))
            cosines[:, block] = torch.cat([model.compare(rows, chosen) for rows in texts]).cpu().numpy()
        return cosines, self._validation_of

    def _drawn(self, of: np.ndarray, epoch: int) -> list[tuple[str, Sequence[int]]]:
        """Video ids, with the seeds of what is drawn of each."""
        if self._frames.sampling != "random":
            return [(self._train[place], ()) for place in of.tolist()]
        return [(self._train[place], (self._seed, _DRAWN_FRAMES, epoch, place)) for place in of.tolist()]

    def _seen(self, pictures: Pictures) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Features [b, N, D], mask [b, N], and what the selector sees [b, N, d]."""
        policy = None if pictures.looks is None else self._networks.looks(pictures.looks.to(self._device))
        return self._networks.images(pictures.crops.to(self._device)), pictures.mask.to(self._device), policy

    def _texts(self, tokens: torch.Tensor) -> torch.Tensor:
        longest = int(tokens.argmax(dim=-1).max()) + 1
        return self._networks.texts(tokens[:, :longest].to(self._device), self._model.words)
