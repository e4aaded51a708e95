"""The language models that a config means: server, cache, and limits."""

from __future__ import annotations

import os
from pathlib import Path

from ..configs.differencing_schema import DifferencingConfig, DifferencingEvaluateConfig
from ..errors import ConfigError
from ..models.download import cache_dir
from .cache import AnswerCache
from .calls import LanguageClient
from .prices import needed_price


def client_of(config: DifferencingConfig) -> LanguageClient:
    """What a run asks. Raises ConfigError that says what is lacking, before anything is started."""
    asks_for_proposals, asks_to_judge = config.proposals is None, config.judge == "openai"
    if not asks_for_proposals and not asks_to_judge:
        return LanguageClient(None, cache_mode="off")  # never asked
    if config.max_cost_usd is not None and config.cache != "replay":
        for model in [config.proposer_model] * asks_for_proposals + [config.judge_model] * asks_to_judge:
            needed_price(model, config.price_pair)
    if asks_for_proposals:
        return language_client(config, "stage 1 (the proposals)", instead="proposals=FILE, which needs none, or ")
    return language_client(config, "judge=openai", instead="judge=clip, which needs none, or ")


def language_client(config: DifferencingConfig | DifferencingEvaluateConfig, purpose: str, *, instead: str) -> LanguageClient:
    """Raises ConfigError that says what is lacking, where neither a server nor a key is known."""
    if config.cache != "replay" and config.base_url is None and not os.environ.get("OPENAI_API_KEY"):
        raise ConfigError(f"{purpose} asks a language model: give {instead}base_url= of a server, or set OPENAI_API_KEY "
                          "(cache=replay takes stored answers alone)")
    path = Path(config.cache_path).expanduser() if config.cache_path else cache_dir() / "differencing.sqlite"
    cache = AnswerCache(path, read_only=config.cache == "replay") if config.cache != "off" else None
    return LanguageClient(cache, base_url=config.base_url, cache_mode=config.cache, concurrency=config.concurrency,
                          timeout_seconds=config.timeout_seconds, retries=config.retries, max_cost_usd=config.max_cost_usd,
                          prices=config.price_pair)
