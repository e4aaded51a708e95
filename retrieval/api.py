"""The Python face of retrieval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..configs.load import load_config
from ..configs.presets import preset_files
from ..configs.retrieval_train_schema import RetrievalTrainConfig
from ..errors import ConfigError

if TYPE_CHECKING:
    from .train import TrainingRun


def train_retrieval(**keys: Any) -> TrainingRun:
    """What `python main.py retrieval train` does, from Python, with its keys: features=…, annotations=…, frame_agg="mlp".
    Draws no bar.

    Raises: UsageError before anything is started; TrainingError where the loss is no number.
    """
    from .train import train

    config = load_config(RetrievalTrainConfig, keys, shipped=("retrieval", *preset_files(keys)))
    if config.do_inference:
        raise ConfigError("do_inference=true trains nothing: evaluate the checkpoint instead")
    return train(config, quiet=True)
