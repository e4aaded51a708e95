"""The Python face of differencing."""

from __future__ import annotations

import logging
from contextlib import closing
from typing import Any

from ..configs.differencing_schema import DifferencingConfig, DifferencingEvaluateConfig
from ..configs.load import file_value, load_config
from ..configs.schema import EncoderConfig
from ..errors import ConfigError
from ..models.base import Encoder
from .connect import language_client
from .dataset import read_pairs
from .evaluate import Evaluation, evaluate
from .language_matcher import LanguageMatcher
from .matching import TextMatcher
from .run import DifferencingRun, run
from .scores import read_predictions

log = logging.getLogger("clipreel")


def compare_videos(*, encoder: Encoder | None = None, **keys: Any) -> DifferencingRun:
    """What `python main.py differencing` does, from Python, with its keys: videos=[a, b], action=…, proposals=… or dataset=….
    Prints nothing.

    Raises: UsageError before anything is started. A pair that fails is a row of the run.
    """
    if encoder is not None:
        named = sorted({*EncoderConfig.__dataclass_fields__, "device", "device_ids"} & keys.keys())
        if named:
            raise ConfigError(f"{', '.join(named)}: already settled by the encoder that is given; leave them out")
    shipped = str(file_value(keys, "feature_type") or "clip")
    return run(load_config(DifferencingConfig, keys, shipped=("differencing", shipped)), encoder=encoder, quiet=True)


def evaluate_differences(**keys: Any) -> Evaluation:
    """What `python main.py differencing evaluate` does, with its keys. Raises UsageError, AnswerError."""
    return evaluate_predictions(load_config(DifferencingEvaluateConfig, keys))


def evaluate_predictions(config: DifferencingEvaluateConfig) -> Evaluation:
    """Scores of stored predictions. Raises UsageError, and AnswerError where a language model gives no answer."""
    pairs = read_pairs(config.dataset, split=config.split, subset_mode=config.subset_mode)
    predictions = read_predictions(config.predictions, pairs, are_open=config.eval_mode == "open")
    if config.eval_mode == "closed":
        return evaluate(pairs, predictions, "closed", config.scoring)
    if config.matcher == "text":
        return evaluate(pairs, predictions, "open", config.scoring, TextMatcher())
    with closing(language_client(config, "matcher=openai", instead="matcher=text, ")) as client:
        matcher = LanguageMatcher(client, config.matcher_model, config.seed)
        try:
            return evaluate(pairs, predictions, "open", config.scoring, matcher)
        finally:
            log.info("%s", client.spending)
