"""The commands: what each is called, its keys, the function that does it, and a line for `--help`."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from .configs.differencing_schema import DifferencingConfig, DifferencingEvaluateConfig
from .configs.doctor_schema import DoctorConfig
from .configs.frames_schema import FramesConfig
from .configs.investigator_schema import InvestigatorConfig
from .configs.retrieval_evaluate_schema import RetrievalEvaluateConfig, RetrievalPrepareConfig
from .configs.retrieval_search_schema import RetrievalIndexConfig, RetrievalSearchConfig
from .configs.retrieval_train_schema import RetrievalTrainConfig
from .configs.schema import ExtractConfig, InspectConfig, PackConfig
from .configs.serving_schema import ServeConfig
from .configs.texts_schema import TextsConfig
from .configs.videoqa_schema import VideoqaAnswerConfig, VideoqaEvaluateConfig


@dataclass(frozen=True)
class Command:
    """`target`: "module:function" of a config of `schema`, imported when the command is called; returns an exit code."""

    schema: type
    target: str
    summary: str

    def run(self, config: Any) -> int:
        module, _, function = self.target.partition(":")
        return getattr(importlib.import_module(f".{module}", __package__), function)(config)


COMMANDS: dict[str, Command] = {
    "extract": Command(ExtractConfig, "extract.command:run", "features of videos, printed or stored (the default command)"),
    "inspect": Command(InspectConfig, "extract.store.inspect:run",
                       "what is stored: shapes, fps, times, provenance; verifies digests"),
    "pack": Command(PackConfig, "extract.store.pack:run", "per-video files of any format into one HDF5, a group a video"),
    "doctor": Command(DoctorConfig, "extract.doctor:run", "what is installed and present, what is wrong with it, what to do"),
    "frames": Command(FramesConfig, "extract.pictures:run", "the frames of videos as pictures, a folder a video"),
    "texts": Command(TextsConfig, "extract.texts:run", "features of texts (captions, queries), stored once a model"),
    "videoqa answer": Command(VideoqaAnswerConfig, "videoqa.command:answer", "answers to questions about videos (Video-MME)"),
    "videoqa evaluate": Command(VideoqaEvaluateConfig, "videoqa.command:evaluate", "accuracies of such answers"),
    "differencing": Command(DifferencingConfig, "differencing.command:run",
                            "what differs between two videos of one action (VidDiff)"),
    "differencing evaluate": Command(DifferencingEvaluateConfig, "differencing.command:evaluate", "scores of such differences"),
    "retrieval train": Command(RetrievalTrainConfig, "retrieval.command_train:train",
                               "a model that finds videos by texts (AdaCLIP)"),
    "retrieval prepare": Command(RetrievalPrepareConfig, "retrieval.command_evaluate:prepare",
                                 "published captions of videos (MSR-VTT, DiDeMo, ActivityNet, any CSV or JSON) as ours"),
    "retrieval evaluate": Command(RetrievalEvaluateConfig, "retrieval.command_evaluate:evaluate",
                                  "how well texts find videos, beside baselines"),
    "retrieval index": Command(RetrievalIndexConfig, "retrieval.command_search:index", "a vector a video, to be searched by text"),
    "retrieval search": Command(RetrievalSearchConfig, "retrieval.command_search:search",
                                "the videos that a text finds, and when in them"),
    "serve": Command(ServeConfig, "serving.command:run",
                     "an encoder, loaded once, for other programs over HTTP (feature_type=remote)"),
    "investigator": Command(InvestigatorConfig, "investigator.command:run", "where in a video sentences match, in the browser"),
}
# The family of models when none is named; its own defaults are in configs/<feature_type>.yml.
FEATURE_TYPES = {"extract": "clip", "texts": "clip", "videoqa answer": "viclip", "differencing": "clip", "serve": "clip",
                 "investigator": "clip"}
# Those that take the published settings of a dataset: configs/<preset>.yml.
WITH_PRESETS = {"retrieval train", "retrieval evaluate"}
