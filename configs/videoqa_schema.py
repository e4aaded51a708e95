"""The keys of `videoqa answer` and `videoqa evaluate`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from ..errors import ConfigError
from .schema import EncoderConfig, key

Pooling = Literal["mean", "max", "attention"]
TextForm = Literal["option", "question_option", "option_question"]
DURATIONS = ("short", "medium", "long")


@dataclass(frozen=True)
class VideoqaAnswerConfig:
    """`python main.py videoqa answer dataset=… video_root=…`: answers to multiple-choice questions about videos."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    dataset: str = key("", "the questions, a parquet, JSON or CSV file with the columns of Video-MME")
    video_root: str | None = key(
        None, "where <videoID>.mp4, data/<videoID>.mp4, video/<videoID>.mp4 or <videoID>/frames/*.jpg lie (frames: one a second)")
    features: str | None = key(None, "answer from the features stored in this folder, with the model that their provenance names")
    output_path: str = key("./output/videoqa", "where answers, run.json and the features go")
    window_seconds: float | None = key(None, "models of windows: one feature every so many seconds; null is one a video")
    stride_seconds: float | None = key(None, "seconds from one window's beginning to the next; null is window_seconds")
    extraction_fps: float | None = key(None, "frames per second to take")
    extraction_total: int | None = key(None, "frames a video; null: 8 for a frame-wise model, ViCLIP's recipe otherwise")
    pooling: Literal["mean", "max", "attention"] = key(
        "mean", "over a video's frames or windows: mean of the features, max of the scores, or attention (scores "
                "weighted by their softmax, for each text)")
    strip_letters: bool = key(True, "embed `Apples.` and not `A. Apples.`: the letter draws answers to itself")
    text: Literal["option", "question_option", "option_question"] = key(
        "option", "what is embedded; a question that does not fit is cut, its option never is")
    subtitle_weight: float = key(0.0, "add this much of the cosine between subtitles and option; 0 leaves subtitles unread")
    prior_correction: bool = key(False, "subtract each text's mean score over the other videos")
    ablation: bool = key(False, "print what each choice would give, from the texts that are cached, and write ablation.json")
    batch_size: int = key(8, "frames or windows a forward pass")
    device_ids: tuple[str, ...] | None = key(None, "CUDA devices, or cpu; null: every CUDA device, else the CPU")
    device: str | None = key(None, "the same for one device in torch's words: cuda:0, cpu")
    workers: int | None = key(None, "decode threads; null: one a core")
    reader: Literal["auto", "pyav", "decord", "images"] = key("auto", "what decodes")
    allow_truncated: bool = key(False, "keep what decodes of a video that ends early or breaks inside")
    overwrite: bool = key(False, "make features again, also in place of those with other settings")

    def __post_init__(self):
        if not self.dataset:
            raise ConfigError("videoqa answer needs dataset=, a parquet, JSON or CSV file of questions")
        if self.video_root is None and self.features is None:
            raise ConfigError("videoqa answer needs video_root=, a folder of videos, or features=, a folder of stored features")
        if not (math.isfinite(self.subtitle_weight) and self.subtitle_weight >= 0):
            raise ConfigError(f"subtitle_weight={self.subtitle_weight}: allowed is a number from 0 up")
        if self.subtitle_weight and self.video_root is None:
            raise ConfigError(f"subtitle_weight={self.subtitle_weight:g} needs video_root=, where the subtitles lie")
        made = [name for name in ("extraction_fps", "extraction_total", "window_seconds", "stride_seconds")
                if getattr(self, name) is not None]
        if self.features is not None and (made or self.overwrite):
            raise ConfigError(f"{', '.join(made) or 'overwrite'}: settled by the stored features={self.features}; leave it out, or "
                              "leave features= out to make features anew")


@dataclass(frozen=True)
class VideoqaEvaluateConfig:
    """`python main.py videoqa evaluate results_file=…`: accuracies of answers, by the benchmark's program or strictly."""

    results_file: str = key("", "answers in the benchmark's schema; scoring=strict also takes the flat viclip_predictions.json")
    video_duration_type: str = key("short,medium,long", "which durations, separated by commas")
    return_categories_accuracy: bool = key(False, "also for each domain")
    return_sub_categories_accuracy: bool = key(False, "also for each sub-category")
    return_task_types_accuracy: bool = key(False, "also for each task type")
    scoring: Literal["official", "strict"] = key(
        "official", "official: the benchmark's program line for line, where an answer without a letter does not count; "
                    "strict: joined to dataset= by question, what is missing or invalid is wrong")
    dataset: str | None = key(None, "scoring=strict: the questions with their answers")
    expect_videos: int | None = key(300, "scoring=official: how many videos each duration must have; null takes what is there")
    skip_missing: bool = key(False, "scoring=official: leave out the videos that are marked missing")
    gt_answer_key: str = key("answer", "scoring=official: the field with the right letter")
    your_answer_key: str = key("response", "the field with the given answer")
    output_path: str | None = key("./output/videoqa", "scores go here as JSON, Markdown and a chart; null only prints them")

    def __post_init__(self):
        if not self.results_file:
            raise ConfigError("videoqa evaluate needs results_file=, such as output/videoqa/viclip_output_test.json")
        unknown = [word for word in self.durations if word not in DURATIONS]
        if unknown or len(set(self.durations)) < len(self.durations):
            raise ConfigError(f"video_duration_type={self.video_duration_type}: allowed is {', '.join(DURATIONS)}, each at "
                              "most once and separated by commas")
        if self.scoring == "strict" and self.dataset is None:
            raise ConfigError("scoring=strict needs dataset=, the questions with their answers")
        if self.scoring == "official" and self.dataset is not None:
            raise ConfigError("dataset= goes with scoring=strict; the official program takes the answers from results_file")
        if self.scoring == "strict" and (self.skip_missing or self.gt_answer_key != "answer"):
            raise ConfigError("skip_missing and gt_answer_key go with scoring=official: strictly, what is missing is wrong and "
                              "the right answers are those of dataset=")
        if self.expect_videos is not None and self.expect_videos < 1:
            raise ConfigError(f"expect_videos={self.expect_videos}: allowed is a whole number above 0, or null")

    @property
    def durations(self) -> tuple[str, ...]:
        return tuple(word.strip() for word in self.video_duration_type.split(","))
