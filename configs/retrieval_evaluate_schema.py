"""The keys of `retrieval prepare` and `retrieval evaluate`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..errors import ConfigError
from .schema import EncoderConfig, key


@dataclass(frozen=True)
class RetrievalPrepareConfig:
    """`python main.py retrieval prepare dataset=msrvtt annotations=… videos=… output_path=…`."""

    dataset: Literal["msrvtt", "didemo", "activitynet", "csv", "json"] = key(
        "json", "whose files they are; csv and json: any, with a row or an entry a caption or a video")
    annotations: str = key("", "the folder with the published files as they are; csv, json: the file")
    videos: str | None = key(None, "where the videos (or folders of their frames) lie, searched to its bottom")
    output_path: str | None = key(None, "<split>.json, videos.csv and missing.txt go here; null: ./output/retrieval/<dataset>")

    def __post_init__(self):
        if not self.annotations:
            raise ConfigError("retrieval prepare needs annotations=, the folder with the published files, or a CSV or JSON file")

    @property
    def folder(self) -> str:
        return self.output_path or f"./output/retrieval/{self.dataset}"


@dataclass(frozen=True)
class RetrievalEvaluateConfig:
    """`python main.py retrieval evaluate checkpoint=… annotations=… features=…`: how well texts find their videos."""

    checkpoint: str | None = key(None, "a model that `retrieval train` made; what is not given below is as in its training")
    no_policy: bool = key(False, "without a checkpoint: evenly spread frames and their mean")
    selection: Literal["adaclip", "uniform", "kmedoids"] | None = key(
        None, "which frames stand for a video: a checkpoint's own choice, evenly spread ones, or medoids of its frames; null: the "
              "checkpoint's, or uniform with no_policy")
    dataset: str | None = key(None, "its preset is taken (msrvtt, didemo, activitynet) unless there is a checkpoint, and "
                                    "annotations= is ./output/retrieval/<dataset> where it is not given")
    preset: str | None = key(None, "msrvtt-jsfusion, didemo or activitynet; null: dataset's")
    annotations: str | None = key(None, "videos and captions: a JSON file, or a folder with test_annot")
    test_annot: str | None = key(None, "in the folder annotations=, or a path: the videos to test on; null: test.json, or val.json "
                                       "where there is no such (MSR-VTT, ActivityNet)")
    train_annot: str = key("train.json", "likewise; where it is there, the best fixed positions are learnt from its videos")
    features: str | None = key(None, "stored features of one model, such as output/clip/ViT-B_32")
    policy_features: str | None = key(None, "the selector's own features, where the checkpoint's policy_backbone has some")
    frames_dir: str | None = key(None, "in place of features: folders of JPEGs, <video id>/image_00001.jpg …; num_frm of each are "
                                       "encoded into the store, below output_path")
    texts: str = key("./output", "text features are kept below it, in texts/, as `texts output_path=` does")
    num_frm: int | None = key(None, "frames a video to choose from: the first of each of so many equal parts; null: the "
                                    "checkpoint's, or 16")
    top_k: int | None = key(None, "frames that stand for a video; null: the checkpoint's, or all of num_frm")
    frame_agg: Literal["mean", "mlp", "transformer", "qscore"] | None = key(
        None, "the checkpoint's, and refused where it is another; without a checkpoint: mean or qscore; null: mean")
    qscore_temp: float = key(0.1, "temperature of Q-Score's softmax over frames' cosines, where no checkpoint was trained with one")
    concat_captions: Literal["concat", "indep-one", "indep-all", "mean"] | None = key(
        None, "a video's captions as one text, each by itself (indep-one and indep-all), or the mean of their features; null: the "
              "checkpoint's, or concat")
    max_txt_len: int | None = key(None, "tokens of a text that count, its two marks included; null: the checkpoint's, or 77")
    bootstrap: int = key(1000, "resamples of the videos, for 95 % intervals; 0: none")
    seed: int = key(0, "of what is drawn: resamples, and the random baseline")
    encoder_checkpoint: str | None = key(None, "the encoder's own weights file, where its features were made with one")
    policy_checkpoint: str | None = key(None, "frames_dir: weights of the selector's own network, where the checkpoint has one; "
                                              "null: torchvision's published")
    feature_type: str = key("clip", "frames_dir: which family of models encodes the pictures")
    model_name: str = key("ViT-B/32", "frames_dir: which of its models")
    pretrained: str | None = key(None, "frames_dir: open_clip's tag")
    batch_size: int = key(64, "frames_dir: pictures a forward pass")
    device: str | None = key(None, "cuda:0, cpu; null: the first CUDA device, else the CPU")
    output_path: str = key("./output/retrieval/evaluate", "results.json goes here")

    def __post_init__(self):
        if self.checkpoint is None and not self.no_policy and self.selection is None and self.frame_agg is None:
            raise ConfigError("retrieval evaluate needs checkpoint=, a trained model, or no_policy=true: evenly spread frames and "
                              "their mean (or selection=uniform, selection=kmedoids)")
        if self.checkpoint is not None and self.no_policy:
            raise ConfigError("no_policy=true and checkpoint= exclude each other: a checkpoint knows whether it has a selector; "
                              "selection=uniform keeps its aggregation and leaves the choice of frames out")
        if self.checkpoint is None and self.selection == "adaclip":
            raise ConfigError("selection=adaclip needs checkpoint=, the trained model that selects")
        if self.no_policy and self.selection == "kmedoids":
            raise ConfigError("no_policy=true chooses evenly spread frames, and selection=kmedoids others: leave one out")
        if self.checkpoint is None and self.frame_agg in ("mlp", "transformer") and not (self.dataset or self.preset):
            raise ConfigError(f"frame_agg={self.frame_agg} is trained: give checkpoint=, or frame_agg=mean or qscore")
        if self.checkpoint is None and self.policy_features is not None:
            raise ConfigError("policy_features= is what a checkpoint's selector sees: give checkpoint=, or leave it out")
        if (self.features is None) == (self.frames_dir is None):
            raise ConfigError("retrieval evaluate needs features=, a folder of stored features, or frames_dir=, folders of JPEGs: "
                              "one of them")
        if self.policy_checkpoint is not None and (self.checkpoint is None or self.frames_dir is None):
            raise ConfigError("policy_checkpoint= is what a checkpoint's selector sees the pictures of frames_dir= with: give both "
                              "beside it, or leave it out")
        if self.annotations is None and self.dataset is None:
            raise ConfigError("retrieval evaluate needs annotations=, a JSON file of videos and captions or a folder with one (or "
                              "dataset=, whose annotations `retrieval prepare` wrote)")
        self._check_numbers()

    def _check_numbers(self) -> None:
        for name in ("num_frm", "top_k", "batch_size"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ConfigError(f"{name}={value}: allowed is a whole number above 0")
        if self.num_frm is not None and self.top_k is not None and self.top_k > self.num_frm:
            raise ConfigError(f"top_k={self.top_k}: allowed is from 1 to num_frm={self.num_frm}, the frames to choose from")
        if self.max_txt_len is not None and not 3 <= self.max_txt_len <= 77:
            raise ConfigError(f"max_txt_len={self.max_txt_len}: allowed is from 3 to 77, all that CLIP reads")
        if not 0 < self.qscore_temp < float("inf"):
            raise ConfigError(f"qscore_temp={self.qscore_temp}: allowed is a number above 0")
        for name in ("bootstrap", "seed"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name}={getattr(self, name)}: allowed is a whole number from 0 up")

    @property
    def frames_encoder(self) -> EncoderConfig:
        """What encodes the pictures of frames_dir."""
        return EncoderConfig(feature_type=self.feature_type, model_name=self.model_name, pretrained=self.pretrained,
                             checkpoint=self.encoder_checkpoint)
