"""The text half of an OpenAI CLIP, to be trained while the stored features of its other half stay valid."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import nn

from ...errors import ConfigError
from ..base import Encoder
from ..clip.architecture import import_clip
from ..clip.family import tokenize
from ..two_towers import TwoTowerEncoder
from .aggregators import unit
from .checkpoint import Checkpoint
from .heads import WordAggregator

TEXTS_AT_ONCE = 128


class TextTower(nn.Module):
    """A float32 copy, with the names of the CLIP's own parameters.

    Args:
        encoder: of feature_type=clip. Raises ConfigError for another.
    """

    def __init__(self, encoder: Encoder):
        super().__init__()
        if not isinstance(encoder, TwoTowerEncoder) or encoder.identity.feature_type != "clip":
            raise ConfigError(f"freeze_clip=false trains the text tower of feature_type=clip, and these features are of "
                              f"feature_type={encoder.identity.feature_type}: leave it out, or train from features of a clip")
        network: nn.Module = encoder.network  # pyright: ignore[reportAssignmentType]
        self.token_embedding = _copied(network.token_embedding)
        self.transformer = _copied(network.transformer)
        self.ln_final = _copied(network.ln_final)
        self.positional_embedding = _parameter(network.positional_embedding)
        self.text_projection = _parameter(network.text_projection)
        self._causal = network.transformer.resblocks[0].attn_mask  # pyright: ignore # [context, context]
        self.to(encoder.device)

    def words(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids [b, L] -> projected states of the tokens [b, L, D], and where the text is, bool [b, L]."""
        ends = tokens.argmax(dim=-1, keepdim=True)  # the end mark is the largest id
        mask = torch.arange(tokens.shape[1], device=tokens.device) <= ends
        return self._states(tokens) @ self.text_projection, mask

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Token ids [b, L] -> [b, D], read off at the end mark."""
        ends = tokens.argmax(dim=-1)
        return self._states(tokens)[torch.arange(len(tokens), device=tokens.device), ends] @ self.text_projection

    def _states(self, tokens: torch.Tensor) -> torch.Tensor:
        length = tokens.shape[1]
        for block in self.transformer.resblocks:  # pyright: ignore[reportGeneralTypeIssues]
            block.attn_mask = self._causal[:length, :length]
        words = self.token_embedding(tokens) + self.positional_embedding[:length]  # [b, L, W]
        return self.ln_final(self.transformer(words.transpose(0, 1)).transpose(0, 1))


class TunedTextEncoder:
    """Fulfils `base.TextEncoder` with a text tower that was trained, and the words' aggregation if there is one."""

    def __init__(self, tower: TextTower, words: WordAggregator | None, logit_scale: float, context_length: int):
        self.logit_scale, self._tower, self._words, self._context_length = logit_scale, tower, words, context_length

    @torch.inference_mode()
    def encode_text(self, texts: Sequence[str]) -> torch.Tensor:
        """m sentences -> float32 unit rows [m, dim]. Raises ConfigError for one that is too long."""
        features = [torch.empty(0, self._tower.text_projection.shape[1], device=self._tower.text_projection.device)]
        for begin in range(0, len(texts), TEXTS_AT_ONCE):
            tokens = token_ids(texts[begin:begin + TEXTS_AT_ONCE], self._context_length).to(features[0].device)
            features.append(unit(text_features(self._tower, self._words, tokens)))
        return torch.cat(features)

    def fits(self, text: str) -> bool:
        """Whether `encode_text` takes the sentence."""
        try:
            tokenize([text], self._context_length)
        except ConfigError:
            return False
        return True


def text_features(tower: TextTower, words: WordAggregator | None, tokens: torch.Tensor) -> torch.Tensor:
    """Token ids [b, L] -> [b, D], of the words together or of the end mark."""
    return tower(tokens) if words is None else words(*tower.words(tokens))


def token_ids(texts: Sequence[str], context_length: int, *, cut: bool = False) -> torch.Tensor:
    """int64 [m, L], no longer than the longest text needs. A text of more than context_length tokens loses its last ones
    (the end mark stays), or raises ConfigError."""
    if cut:
        import_clip()
        from clip import clip

        tokens = clip.tokenize(list(texts), context_length, truncate=True).long()
    else:
        tokens = tokenize(list(texts), context_length).long()
    return tokens[:, :int(tokens.argmax(dim=-1).max()) + 1]


def tuned_text_encoder(checkpoint: Checkpoint, encoder: Encoder) -> TunedTextEncoder:
    """The text encoder of a checkpoint whose text tower was trained (`clip_state`). `encoder`: that of its features.

    Raises ConfigError where the tensors are not those of the encoder's text tower.
    """
    tower = TextTower(encoder)
    expected = {name: tensor.shape for name, tensor in tower.state_dict().items()}
    if expected != {name: tensor.shape for name, tensor in checkpoint.clip_state.items()}:
        raise ConfigError(f"the checkpoint's text tower does not fit {encoder.identity.model_name}")
    tower.load_state_dict(checkpoint.clip_state)
    return TunedTextEncoder(tower.eval().requires_grad_(False), checkpoint.model.words,
                            float(checkpoint.model.logit_scale.exp()), len(tower.positional_embedding))


def _copied(module: nn.Module | torch.Tensor) -> nn.Module:
    assert isinstance(module, nn.Module)
    return copy.deepcopy(module).float().requires_grad_(True)


def _parameter(tensor: nn.Module | torch.Tensor) -> nn.Parameter:
    assert isinstance(tensor, torch.Tensor)
    return nn.Parameter(tensor.detach().clone().float())
