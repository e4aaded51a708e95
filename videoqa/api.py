"""The Python face of video questions."""

from __future__ import annotations

import os
from typing import Any

from ..configs.load import file_value, load_config
from ..configs.schema import EncoderConfig
from ..configs.videoqa_schema import VideoqaAnswerConfig, VideoqaEvaluateConfig
from ..errors import ConfigError
from ..models.base import Encoder
from .answer import AnswerRun
from .answer import run as answer
from .evaluate import Evaluation
from .evaluate import run as evaluate


def answer_questions(dataset: str | os.PathLike[str], *, encoder: Encoder | None = None, **keys: Any) -> AnswerRun:
    """Answers to multiple-choice questions, as `python main.py videoqa answer` gives them. Prints nothing.

    Args:
        dataset: the questions (parquet, JSON or CSV in Video-MME's columns).
        encoder: a loaded model to use; then no key of the encoder may be given.
        keys: the command line's keys, such as video_root="Video-MME/output", feature_type="viclip", pooling="max".

    Raises: UsageError before anything is started. Videos that are missing or fail are rows of the run.
    """
    if encoder is not None:
        named = sorted({*EncoderConfig.__dataclass_fields__, "device", "device_ids"} & keys.keys())
        if named:
            raise ConfigError(f"{', '.join(named)}: already settled by the encoder that is given; leave them out")
    keys["dataset"] = dataset
    shipped = str(file_value(keys, "feature_type") or "viclip")
    return answer(load_config(VideoqaAnswerConfig, keys, shipped=("videoqa", shipped)), encoder=encoder, quiet=True)


def evaluate_answers(results_file: str | os.PathLike[str], **keys: Any) -> Evaluation:
    """The scores of answers, as `python main.py videoqa evaluate` gives them. Prints nothing, writes to `output_path`.

    Raises: UsageError for a file that is missing or malformed (it names the record) or a wrong key.
    """
    return evaluate(load_config(VideoqaEvaluateConfig, {**keys, "results_file": results_file}))
