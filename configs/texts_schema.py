"""The keys of `texts`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..errors import ConfigError
from .schema import EncoderConfig, key


@dataclass(frozen=True)
class TextsConfig:
    """`python main.py texts captions.csv feature_type=clip model_name=…`: text features into the store."""

    path: str = key("", "the texts: a .csv or .tsv, a .txt with one a line, or a .json of videos with their sentences",
                    positional=True)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    column: str | None = key(None, "of a CSV: the column of texts; null: caption, sentence or text")
    concat_captions: Literal["indep-all", "indep-one", "concat"] = key(
        "indep-all", "of a JSON: every sentence by itself (indep-all, indep-one), or a video's joined by blanks (concat)")
    output_path: str = key("./output", "text features go to output_path/texts, a folder a model")
    device: str | None = key(None, "cuda:0, cpu; null: the first CUDA device, else the CPU")

    def __post_init__(self):
        if not self.path:
            raise ConfigError("texts needs a file of texts: python main.py texts captions.csv model_name=ViT-B/32")
