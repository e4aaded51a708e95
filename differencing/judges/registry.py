"""The judges by name."""

from __future__ import annotations

from collections.abc import Callable

from ...configs.differencing_schema import DifferencingConfig
from ...extract.text_features import TextFeatures
from ...models.base import Encoder
from ..calls import LanguageClient
from .base import Judge
from .clip import ClipJudge
from .openai import OpenaiJudge


def _clip(config: DifferencingConfig, client: LanguageClient, encoder: Encoder, texts: TextFeatures, may_abstain: bool) -> Judge:
    return ClipJudge(encoder, texts, margin=config.margin if may_abstain else 0.0)


def _openai(config: DifferencingConfig, client: LanguageClient, encoder: Encoder, texts: TextFeatures, may_abstain: bool) -> Judge:
    return OpenaiJudge(client, config.judge_model, detail=config.image_detail, size=config.image_size, swap=config.swap,
                       may_abstain=may_abstain, seed=config.seed)


JUDGES: dict[str, Callable[[DifferencingConfig, LanguageClient, Encoder, TextFeatures, bool], Judge]] = {
    "clip": _clip, "openai": _openai,
}
