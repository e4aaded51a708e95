"""The networks that pictures and texts go through while they are trained: float32 copies, whatever precision computes."""

from __future__ import annotations

import copy

import torch
from torch import nn

from ...errors import ConfigError
from ..base import Encoder, PreprocessSpec
from ..policy.encoder import PolicyEncoder
from ..preprocess import normalize
from ..two_towers import TwoTowerEncoder
from .checkpoint import StateDict
from .heads import WordAggregator
from .text_tower import TextTower, text_features

# Of the CLIP, what is trained however many blocks are kept (CLIP4Clip, which AdaCLIP follows); what is before the blocks is
# not, unless everything is.
_AFTER_THE_BLOCKS = ("text.ln_final.", "text.text_projection", "visual.ln_post.", "visual.proj", "visual.attnpool.")
_BLOCKS = ("text.transformer.resblocks.", "visual.transformer.resblocks.")
_STAGE = "visual.layer"  # of a ResNet, which has four from 1 on in place of blocks


class FrameNetworks(nn.Module):
    """A CLIP's two towers, and the selector's own network where it has one.

    Args:
        encoder: of feature_type=clip, in float32. Raises ConfigError for another.
        policy: in float32; None where the selector sees the CLIP's features.
        freeze_clip, freeze_cnn: leave the one or the other as it is.
        freeze_layer_num: the CLIP's blocks below it stay, and what lies before the blocks; -1: nothing stays.
        precision: of the arithmetic (torch.autocast); weights, gradients and the optimizer's averages are float32.
    """

    def __init__(self, encoder: Encoder, policy: PolicyEncoder | None, *, freeze_clip: bool, freeze_cnn: bool,
                 freeze_layer_num: int, precision: torch.dtype):
        super().__init__()
        if not isinstance(encoder, TwoTowerEncoder) or encoder.identity.feature_type != "clip":
            raise ConfigError("training from frames changes a CLIP of feature_type=clip, and this is one of feature_type="
                              f"{encoder.identity.feature_type}: extract its features, and train on features=")
        clip: nn.Module = encoder.network  # pyright: ignore[reportAssignmentType]
        self.text = TextTower(encoder)
        self.visual: nn.Module = copy.deepcopy(clip.visual).float()  # pyright: ignore
        self.policy: nn.Module | None = None if policy is None else copy.deepcopy(policy.network)
        self._clip_spec: PreprocessSpec = encoder.preprocess
        self._policy_spec = None if policy is None else policy.preprocess
        self._precision, self._freeze_clip = precision, freeze_clip
        self._freeze_cnn = freeze_cnn or not any(True for _ in ([] if self.policy is None else self.policy.parameters()))
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(not self._freeze_cnn if name.startswith("policy.")
                                     else not freeze_clip and _is_trained(name, freeze_layer_num))
        self.training_mode(False)

    @property
    def trained_policy(self) -> nn.Module | None:
        """The selector's network, where it learns."""
        return None if self._freeze_cnn else self.policy

    def training_mode(self, on: bool) -> None:
        """BatchNorm learns statistics only in a policy that is not frozen; the CLIP's stay as they are."""
        self.eval()
        if on and self.trained_policy is not None:
            self.trained_policy.train()

    def images(self, crops: torch.Tensor) -> torch.Tensor:
        """uint8 RGB [b, N, 3, S, S] -> float32 [b, N, D]."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self._freeze_clip):
            return self._through(self.visual, crops, self._clip_spec)

    def looks(self, looks: torch.Tensor) -> torch.Tensor:
        """uint8 RGB [b, N, 3, s, s] -> float32 [b, N, d], what the selector sees."""
        assert self.policy is not None and self._policy_spec is not None
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self._freeze_cnn):
            return self._through(self.policy, looks, self._policy_spec)

    def texts(self, tokens: torch.Tensor, words: WordAggregator | None) -> torch.Tensor:
        """Token ids [b, L] -> float32 [b, D]."""
        frozen = self._freeze_clip and words is None
        with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen), self._autocast(tokens.device):
            return text_features(self.text, words, tokens).float()

    def _through(self, network: nn.Module, pixels: torch.Tensor, spec: PreprocessSpec) -> torch.Tensor:
        flat = normalize(pixels.flatten(0, 1), spec, torch.float32)  # [b * N, 3, S, S]
        with self._autocast(pixels.device):
            return network(flat).float().unflatten(0, pixels.shape[:2])

    def _autocast(self, device: torch.device) -> torch.autocast:
        return torch.autocast(device.type, self._precision, enabled=self._precision != torch.float32)


def clip_state_of(state: StateDict, logit_scale: torch.Tensor) -> StateDict:
    """From the state of `FrameNetworks` to that of an OpenAI CLIP, by its own names."""
    named = {name.removeprefix("text."): tensor for name, tensor in state.items() if name.startswith(("text.", "visual."))}
    return {**named, "logit_scale": logit_scale.detach().float()}


def policy_state_of(state: StateDict) -> StateDict:
    """From the state of `FrameNetworks` to that of the selector's own network; empty where there is none with weights."""
    return {name.removeprefix("policy."): tensor for name, tensor in state.items() if name.startswith("policy.")}


def _is_trained(name: str, freeze_layer_num: int) -> bool:
    if freeze_layer_num < 0 or name.startswith(_AFTER_THE_BLOCKS):
        return True
    for prefix in _BLOCKS:
        if name.startswith(prefix):
            return int(name.removeprefix(prefix).partition(".")[0]) >= freeze_layer_num
    if name.startswith(_STAGE):
        return int(name.removeprefix(_STAGE).partition(".")[0]) - 1 >= freeze_layer_num
    return False
