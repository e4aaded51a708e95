"""What a training loop is fed: pairs of video and text, as features of one space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from ..models.adaclip.model import AdaClip
from .annotations import CaptionRule
from .gallery import Gallery
from .queries import QueryFeatures

VIDEOS_AT_ONCE = 512


@dataclass(frozen=True, eq=False)
class Batch:
    """b pairs on the training's device; features may carry gradients of the networks that made them."""

    features: torch.Tensor  # float32 [b, N, D]
    mask: torch.Tensor  # bool [b, N], True where there is a frame
    texts: torch.Tensor  # float32 [b, D]
    videos: torch.Tensor  # int64 [b], which video each is of
    policy: torch.Tensor | None = None  # float32 [b, N, d], what the selector sees where those are not the features


class PairSource(Protocol):
    """Pairs numbered from 0. What a batch holds depends on its arguments and the seed alone, so that a resumed training
    goes on as if it had not stopped, and several processes draw what one would.

    `clip` has the CLIP's parameters that are trained, which a checkpoint then holds, and `policy`, a part of it, those of a
    network of the selector's own. `expect`: which batch is next, should that be worth knowing.
    """

    pairs: int
    clip: torch.nn.Module | None
    policy: torch.nn.Module | None

    def batch(self, places: np.ndarray, epoch: int) -> Batch: ...

    def expect(self, places: np.ndarray, epoch: int) -> None: ...

    def similarity(self, model: AdaClip) -> tuple[np.ndarray, np.ndarray]: ...  # validation: [Q, V], and the video of each [Q]


class VideoTensors:
    """A gallery on a device."""

    def __init__(self, gallery: Gallery, device: torch.device):
        self.features, self.mask = torch.from_numpy(gallery.features).to(device), torch.from_numpy(gallery.mask).to(device)
        self.policy = None if gallery.policy is None else torch.from_numpy(gallery.policy).to(device)
        self.available = gallery.available  # bool [V]

    def similarity(self, model: AdaClip, texts: torch.Tensor, at_once: int) -> np.ndarray:
        """Cosines float32 [Q, V] of unit texts [Q, D], block by block."""
        columns = []
        for begin in range(0, len(self.features), VIDEOS_AT_ONCE):
            some = slice(begin, begin + VIDEOS_AT_ONCE)
            chosen = model.choose(self.features[some], self.mask[some], None if self.policy is None else self.policy[some])
            columns.append(torch.cat([model.compare(rows, chosen) for rows in texts.split(at_once)]).cpu())
        return torch.cat(columns, dim=1).masked_fill(~self.mask.any(dim=-1).cpu(), -torch.inf).numpy()


class StoredPairs:
    """Stored features of videos and of their texts. Fulfils `PairSource`; nothing of the CLIP is trained."""

    def __init__(self, rule: CaptionRule, seed: int, device: torch.device, *, train: Gallery, train_texts: QueryFeatures,
                 validation: Gallery | None, validation_texts: QueryFeatures | None, texts_at_once: int):
        self.clip: torch.nn.Module | None = None
        self.policy: torch.nn.Module | None = None
        self._videos = VideoTensors(train, device)
        self._texts = torch.from_numpy(train_texts.features).to(device)  # [Q, D]
        self._rows = TextRows(rule, seed, train_texts.video_of, train.available)
        self.pairs = len(self._rows)
        self._validation = None if validation is None else VideoTensors(validation, device)
        self._validation_texts, self._device, self._texts_at_once = validation_texts, device, texts_at_once

    def batch(self, places: np.ndarray, epoch: int) -> Batch:
        """See `PairSource`."""
        rows, videos = (torch.from_numpy(array).to(self._device) for array in self._rows.of(places, epoch))
        policy = None if self._videos.policy is None else self._videos.policy[videos]
        return Batch(self._videos.features[videos], self._videos.mask[videos], self._texts[rows], videos, policy)

    def expect(self, places: np.ndarray, epoch: int) -> None:
        """See `PairSource`."""

    def similarity(self, model: AdaClip) -> tuple[np.ndarray, np.ndarray]:
        """See `PairSource`."""
        assert self._validation is not None and self._validation_texts is not None
        texts = model.encode_texts(torch.from_numpy(self._validation_texts.features).to(self._device))
        return self._validation.similarity(model, texts, self._texts_at_once), self._validation_texts.video_of


class TextRows:
    """Which text and which video each pair of an epoch is: a pair a video, or (indep-all) a text. Videos without features
    are in none."""

    def __init__(self, rule: CaptionRule, seed: int, video_of: np.ndarray, available: np.ndarray):
        self._rule, self._seed, self._video_of = rule, seed, video_of  # video_of ascends
        self._pairs = np.flatnonzero(available[video_of] if rule == "indep-all" else available)
        self._first = np.searchsorted(video_of, np.arange(len(available)))
        self._count = np.bincount(video_of, minlength=len(available))

    def __len__(self) -> int:
        return len(self._pairs)

    def of(self, places: np.ndarray, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows of texts int64 [b] and videos int64 [b]."""
        pairs = self._pairs[places]
        if self._rule == "indep-all":
            return pairs, self._video_of[pairs]
        nth = np.zeros(len(self._first), dtype=np.int64)
        if self._rule == "indep-one":  # drawn for all videos at once, so that it does not matter who asks for which
            nth = (np.random.default_rng([self._seed, 1, epoch]).random(len(nth)) * self._count).astype(np.int64)
        return (self._first + nth)[pairs], pairs
