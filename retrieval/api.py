"""The Python face of retrieval."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..configs.load import file_value, load_config
from ..configs.presets import preset_files
from ..configs.retrieval_evaluate_schema import RetrievalEvaluateConfig, RetrievalPrepareConfig
from ..configs.retrieval_search_schema import RetrievalIndexConfig, RetrievalSearchConfig
from ..configs.retrieval_train_schema import RetrievalTrainConfig
from ..errors import ConfigError
from ..models.base import Encoder

if TYPE_CHECKING:
    from .build_index import IndexRun
    from .evaluate import RetrievalEvaluation
    from .prepare import Prepared
    from .search import Searcher, SearchRun
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


def index_videos(features: str | os.PathLike[str] | None, output_path: str | os.PathLike[str], **keys: Any) -> IndexRun:
    """A vector a video into an index, as `python main.py retrieval index` does it, with its keys: checkpoint=…, delete=[…].
    Prints nothing.

    Raises: UsageError before anything is written. A video whose features are damaged is a row of the run.
    """
    from .build_index import run

    return run(load_config(RetrievalIndexConfig, {**keys, "features": features, "output_path": output_path}), quiet=True)


def search_videos(index: str | os.PathLike[str], query: str | Sequence[str], *, encoder: Encoder | None = None,
                  **keys: Any) -> SearchRun:
    """The videos that a text, or each of several, finds, as `python main.py retrieval search` does it. Prints nothing.

    Args:
        encoder: a loaded model to use, the one that made the index.
        keys: the command line's keys, such as top=5, rerank="maxsim".

    Raises: UsageError.
    """
    texts = [query] if isinstance(query, str) else list(query)
    return open_search(index, encoder=encoder, **keys).search(texts)


def open_search(index: str | os.PathLike[str], *, encoder: Encoder | None = None, **keys: Any) -> Searcher:
    """An index that stays open, with its model, for many calls of `search(texts)`. Sees the index as it is now.

    Args: as of `search_videos`.

    Raises: UsageError.
    """
    from .search import Searcher

    return Searcher(load_config(RetrievalSearchConfig, {**keys, "index": index}), encoder)


def evaluate_retrieval(*, encoder: Encoder | None = None, **keys: Any) -> RetrievalEvaluation:
    """What `python main.py retrieval evaluate` does, from Python, with its keys: checkpoint=… or no_policy=True, annotations=…,
    features=…. Prints nothing.

    Args:
        encoder: the loaded model that made the features (or is to make them, of frames_dir), to encode texts with.

    Raises: UsageError before anything is measured.
    """
    from .evaluate import run

    settled = {"feature_type", "model_name", "pretrained", "encoder_checkpoint", "device"}
    if encoder is not None and (named := sorted(settled & keys.keys())):
        raise ConfigError(f"{', '.join(named)}: already settled by the encoder that is given; leave them out")
    preset = () if file_value(keys, "checkpoint") else preset_files(keys)  # a checkpoint has its own settings
    return run(load_config(RetrievalEvaluateConfig, keys, shipped=("retrieval", *preset)), encoder=encoder, quiet=True)


def prepare_annotations(**keys: Any) -> Prepared:
    """What `python main.py retrieval prepare` does, from Python, with its keys: dataset="msrvtt", annotations=…, videos=….
    Raises: UsageError."""
    from .prepare import run

    return run(load_config(RetrievalPrepareConfig, keys))
