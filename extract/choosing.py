"""`select=CHECKPOINT`: cheap looks at a video's candidate frames decide which of them the encoder sees at all.

Source: AdaCLIP (ACM MM 2023), whose published program runs the encoder on every candidate and selects after.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from ..configs.schema import ExtractConfig
from ..errors import ConfigError, WeightsError
from ..models.base import Encoder
from ..models.registry import identify, load_encoder
from .extractor import Units
from .flops import FlopCount
from .frames import DeviceFrameBatch, FrameBatch
from .framewise import FramewiseExtractor, prepared
from .job import Attempt, Candidates
from .registry import EXTRACTORS
from .report import SelectionUse
from .sampling import Samples, thinned

if TYPE_CHECKING:
    import torch

    from ..models.adaclip.checkpoint import Checkpoint
    from ..models.policy.encoder import PolicyEncoder


@dataclass(frozen=True, eq=False)
class Candidate:
    """A frame as the encoder would see it, and the cheap look at it."""

    crop: torch.Tensor  # uint8 [3, S, S]
    look: torch.Tensor  # uint8 [3, s, s]


class ChoosingExtractor:
    """As `FramewiseExtractor`, for the k frames of num_frm candidates that a trained selector takes.

    Candidates are `thinned` rows of the sampling, as in training; of them all there is a look, of the chosen ones a feature.
    """

    def __init__(self, encoder: Encoder, checkpoint: Checkpoint, policy: PolicyEncoder):
        self.encoder = encoder
        self.top_k, self._num_frm = checkpoint.options.top_k, checkpoint.options.num_frm
        self._framewise, self._policy = FramewiseExtractor(encoder), policy
        self._model = copy.deepcopy(checkpoint.model).to(encoder.device)
        self._encoder_flops, self._choosing_flops = FlopCount(), FlopCount()
        self._candidate_frames = self._encoded_frames = 0

    def units(self, samples: Samples) -> Units:
        """One for each candidate row."""
        rows = np.unique(thinned(len(samples), self._num_frm))
        chosen = Samples(samples.frames[rows], samples.timestamps_ms[rows], samples.begin_ms, samples.end_ms)
        return self._framewise.units(chosen)

    def prepare(self, batch: FrameBatch | DeviceFrameBatch) -> list[Candidate]:
        looks = prepared(batch, self._policy.preprocess)
        return [Candidate(crop, look) for crop, look in zip(self._framewise.prepare(batch), looks, strict=True)]

    def choose(self, candidates: Candidates) -> list[tuple[Attempt, int, torch.Tensor]]:
        """(attempt, unit, crop) of the chosen frames, in time order; the attempt forgets the other rows.

        One video at a time, so that what is chosen does not depend on which others are at hand.
        """
        import torch

        attempt, held = candidates.attempt, cast("dict[int, Candidate]", candidates.held)
        if attempt.given_up:
            return []
        units, rows = np.array(sorted(held)), attempt.units.rows
        there = np.isin(rows, units)  # [n]; not what did not decode
        slots = np.unique(thinned(len(rows), self._num_frm), return_index=True)[1]  # [n], each row's place among num_frm
        looks = torch.stack([held[unit].look for unit in units])
        features = self._choosing_flops.run(("looks", looks.shape), lambda: self._policy.encode(looks))  # [u, d]
        inputs = features.new_zeros(1, self._num_frm, features.shape[1])
        inputs[0, slots[there]] = features[np.searchsorted(units, rows[there])]
        mask = torch.zeros(1, self._num_frm, dtype=torch.bool, device=features.device)
        mask[0, slots[there]] = True
        with torch.inference_mode():
            indices = self._choosing_flops.run(
                ("scores", int(mask.sum())), lambda: self._model.select(inputs, mask, inputs))[0].cpu().numpy()  # [k]
        self._candidate_frames += len(units)
        chosen = attempt.choose(there & np.isin(slots, indices), there)
        return [(attempt, unit, held[unit].crop) for unit in chosen]

    def encode(self, crops: torch.Tensor) -> np.ndarray:
        features = self._encoder_flops.run(crops.shape, lambda: self._framewise.encode(crops))
        self._encoded_frames += len(crops)
        return features

    @property
    def use(self) -> SelectionUse:
        return SelectionUse(self._candidate_frames, self._encoded_frames, self._encoder_flops.total,
                            self._choosing_flops.total)


def read_selection(config: ExtractConfig, feature_type: str, device: str) -> Checkpoint | None:
    """The checkpoint of `select=`, looked at before anything is started; None where nothing is to be selected.

    Raises ConfigError where it cannot choose before the encoder, WeightsError where it or its policy's weights do not fit.
    """
    if config.select is None:
        if config.policy_checkpoint is not None:
            raise ConfigError(f"policy_checkpoint={config.policy_checkpoint} goes with select=CHECKPOINT: leave it out, or give "
                              "select= as well")
        return None
    if EXTRACTORS[feature_type] is not FramewiseExtractor or feature_type == "policy":
        raise ConfigError(f"select={config.select} chooses single frames for an expensive encoder, and feature_type={feature_type} "
                          f"{'is the cheap look itself' if feature_type == 'policy' else 'encodes windows'}: use "
                          "feature_type=clip or open_clip")
    from ..models.adaclip.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(config.select)
    options = checkpoint.options
    if options.no_policy:
        raise ConfigError(f"select={config.select}: was trained with no_policy=true and has no selector; its frames are uniform "
                          f"ones: use extraction_total={options.top_k}")
    if options.policy_backbone == "features" or checkpoint.policy is None:
        raise ConfigError(f"select={config.select}: was trained with policy_backbone=features, so it chooses by the encoder's own "
                          "features and nothing cheaper: encode every frame, or train with policy_backbone=raw, mobilenet_v2, "
                          "mobilenet_v3_large or resnet50")
    here = identify("policy", options.policy_backbone, checkpoint=config.policy_checkpoint, precision="float32", device=device)
    if here.weights_sha256 != checkpoint.policy.weights_sha256:
        raise WeightsError(f"select={config.select}: its policy {options.policy_backbone} had weights of SHA-256 "
                           f"{checkpoint.policy.weights_sha256}, and these are {here.weights_sha256}: give the file that it was "
                           "trained with as policy_checkpoint=")
    return checkpoint


def choosing_extractor(encoder: Encoder, checkpoint: Checkpoint, policy_checkpoint: str | None) -> ChoosingExtractor:
    """Encoder, policy and selector on the encoder's device; the policy always in float32."""
    assert checkpoint.policy is not None
    said = checkpoint.policy
    policy = load_encoder("policy", said.model_name, checkpoint=policy_checkpoint, precision="float32", device=str(encoder.device),
                          crop=said.crop, preprocess=said.preprocess)  # pyright: ignore[reportArgumentType]
    return ChoosingExtractor(encoder, checkpoint, cast("PolicyEncoder", policy))


def use_of(extractors: Iterable[object]) -> SelectionUse | None:
    """What the run's extractors spent and spared together; None where none of them chooses."""
    used = [extractor.use for extractor in extractors if isinstance(extractor, ChoosingExtractor)]
    return sum(used[1:], start=used[0]) if used else None
