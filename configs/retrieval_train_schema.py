"""The keys of `retrieval train`: the original's flags under their names, and where things lie."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from ..errors import ConfigError
from .schema import EncoderConfig, key

TOP_K = 8  # the original's default


@dataclass(frozen=True)
class RetrievalTrainConfig:
    """`python main.py retrieval train features=… annotations=…`: a model that finds videos by texts, on stored features."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    # what it learns from
    dataset: str | None = key(None, "its preset is taken (msrvtt, didemo, activitynet), and annotations= is "
                                    "./output/retrieval/<dataset> where it is not given")
    preset: str | None = key(None, "frames, k, text length and epochs of msrvtt-jsfusion, didemo or activitynet; null: dataset's")
    annotations: str | None = key(None, "a folder with train.json, and val.json and test.json where there are such; or one JSON "
                                        "file; `retrieval prepare` makes them")
    train_annot: str | None = key(None, "in annotations=, or a path: the videos to train on; null: train.json")
    val_annot: str | None = key(None, "likewise, the videos by which the epoch is chosen; null: val.json")
    test_annot: str | None = key(None, "likewise; read only to keep its videos out of that choice; null: test.json")
    validation_fraction: float = key(0.1, "of the training videos, set apart to choose the epoch by where there is no val_annot, "
                                          "or it holds videos of the test; 0: no choice, the last epoch is kept")
    features: str | None = key(None, "stored features of one model, such as output/clip/ViT-B_32")
    policy_features: str | None = key(None, "policy_backbone other than features: the selector's own, stored beside them")
    frames_dir: str | None = key(None, "where there are no features: folders of JPEGs, and the CLIP is trained too (for GPUs)")
    texts: str = key("./output", "text features are kept below it, in texts/, as `texts output_path=` does")
    concat_captions: Literal["concat", "indep-one", "indep-all", "mean"] = key(
        "concat", "a video's captions as one text; one of them drawn in each epoch; each by itself; or the mean of their features")
    max_txt_len: int = key(77, "tokens of a text that count, its two marks included")
    num_frm: int = key(16, "frames a video to choose from: the first of each of so many equal parts")
    num_workers: int = key(2, "frames_dir: threads that read pictures")
    # the model
    top_k: int | None = key(None, f"frames to choose; null: {TOP_K}, or every one with no_policy")
    frame_agg: Literal["mean", "mlp", "transformer", "qscore"] | None = key(
        None, "chosen frames to one vector: mean, MLP-Score, scores of a transformer; qscore depends on the query; null: mean")
    frame_agg_temp: float = key(1.0, "temperature of that aggregation's softmax")
    reuse_scores: bool = key(False, "frame_agg=mean: weigh frames by the selector's scores")
    no_policy: bool = key(False, "no selector: evenly spread frames")
    policy_backbone: Literal["features", "raw", "mobilenet_v2", "mobilenet_v3_large", "resnet50"] = key(
        "features", "what the selector sees: the stored features, or cheap ones, so that it can choose before the encoder runs")
    policy_checkpoint: str | None = key(None, "frames_dir: weights of the selector's own network; null: torchvision's published")
    rnn: Literal["transformer", "lstm", "bilstm", "none"] = key("transformer", "over the frames, inside the selector")
    no_rnn: bool = key(False, "the same as rnn=none")
    hidden_dim: int = key(512, "width of the selector's rnn")
    mlp_type: Literal["mlp", "fc"] = key("mlp", "what scores a frame: two layers or one")
    mlp_hidden_dim: int = key(1024, "between those two layers")
    sim_header: Literal["meanP", "seqTransf", "transformer"] = key(
        "meanP", "over the chosen frames: nothing, CLIP4Clip's four blocks, or one; they begin as layers of the CLIP's text tower")
    word_agg: Literal["none", "mlp", "transformer"] = key(
        "none", "a text as the weighted mean of its words; needs freeze_clip=false, since stored text features hold no words")
    word_agg_temp: float = key(1.0, "temperature of that mean's softmax")
    adapter_dim: int = key(0, "width of residual adapters on the videos' and texts' vectors; 0: none, as in the original. With a "
                              "frozen CLIP they are what can move texts and videos closer")
    freeze_clip: bool | None = key(None, "features: false trains the CLIP's text tower too, the stored features stay valid; "
                                         "null: true with features=, false with frames_dir=")
    freeze_cnn: bool = key(False, "the selector's own network stays as it is (nothing to freeze where it sees stored features)")
    freeze_layer_num: int = key(0, "frames_dir: blocks of the CLIP below this one stay; -1 trains everything")
    rescale_size: int = key(56, "policy_backbone=raw: side of the grey pictures")
    max_img_size: int = key(224, "frames_dir: side of the pictures, which the CLIP itself settles")
    sampling: Literal["uniform", "random"] = key("uniform", "frames_dir: random draws the frames anew in each epoch")
    segment_sampling: bool = key(False, "frames_dir: the middle of each part in place of its first")
    img_tmpl: str = key("image_{:05d}.jpg", "frames_dir: names of the pictures")
    # learning
    num_epochs: int = key(30, "times through the training videos")
    batch_size: int = key(32, "pairs of text and video a process and step; the losses of several processes are over all of theirs")
    gradient_accumulation_steps: int = key(1, "steps whose gradients are averaged into one")
    learning_rate: float = key(1e-4, "of everything but the CLIP")
    coef_lr: float = key(1e-3, "the CLIP's learning rate is learning_rate times this")
    optim: Literal["bertadam", "adamw"] = key("bertadam", "bertadam: without bias correction, each tensor's gradient clipped at 1")
    betas: tuple[float, ...] = key((0.9, 0.98), "of the optimizer's two averages")
    weight_decay: float = key(0.2, "of matrices, not of biases and norms")
    grad_norm: float = key(1.0, "longer gradients are cut to it; -1: never")
    no_warmup: bool = key(False, "begin with the full learning rate")
    warmup_proportion: float = key(0.1, "of all steps, in which the learning rate grows; afterwards it falls as a cosine")
    warmup_epochs: int = key(0, "in these k falls from num_frm - 1 to top_k")
    init_tau: float = key(5.0, "temperature of the choice in the first epoch")
    min_tau: float = key(0.5, "and the least it falls to")
    exp_decay_factor: float = key(0.045, "tau in epoch e is init_tau * exp(-e * this)")
    # running
    seed: int = key(0, "of everything that is drawn")
    device: str | None = key(None, "cuda:0, cpu; null: CUDA devices, one a process, else the CPU")
    output_path: str = key("./output/retrieval/train", "the model, its log and what to resume from go here")
    overwrite: bool = key(False, "replace what an earlier training left in output_path")
    resume: str | None = key(None, "a last.safetensors: go on from its epoch; with do_inference, the model to evaluate")
    do_inference: bool = key(False, "train nothing: the same as `retrieval evaluate checkpoint=<resume>`")
    save_last: bool = key(True, "keep last.safetensors, from which resume goes on")
    val_batch_size: int = key(500, "texts compared with the videos at a time")
    n_display: int = key(0, "a log line every so many steps; 0: one an epoch")
    tensorboard_dir: str | None = key(None, "also write logs for TensorBoard here (the extra `retrieval`)")

    def __post_init__(self):
        if not self.do_inference:
            self._check_sources()
        self._check_numbers()
        if self.no_rnn and self.rnn not in ("transformer", "none"):
            raise ConfigError(f"no_rnn=true and rnn={self.rnn} contradict each other: leave one out")
        if self.do_inference and self.resume is None:
            raise ConfigError("do_inference=true needs resume=, the trained model")
        if self.word_agg != "none" and self.clip_is_frozen:
            raise ConfigError(f"word_agg={self.word_agg} needs the state of every word, and stored text features hold only the "
                              "text's: give freeze_clip=false, which runs the text tower, or leave word_agg out")
        if self.concat_captions == "mean" and not self.clip_is_frozen:
            raise ConfigError("concat_captions=mean averages stored text features, and the text tower is to be trained: give "
                              "concat, indep-one or indep-all")
        self._check_dead()

    def _check_dead(self) -> None:
        """Keys that would change nothing beside others are a mistake."""
        if not self.from_frames:
            self._refuse(("freeze_layer_num", "max_img_size", "rescale_size", "sampling", "segment_sampling", "img_tmpl",
                          "policy_checkpoint"), "is about the pictures of frames_dir=, and training is on features= here")
        if self.no_policy:
            self._refuse(("policy_backbone", "policy_features", "policy_checkpoint", "rnn", "no_rnn", "mlp_type", "warmup_epochs"),
                         "is about the selector, and no_policy=true has none")
        if self.policy_backbone != "raw":
            self._refuse(("rescale_size",), f"is about policy_backbone=raw, and it is {self.policy_backbone} here")
        if self.frame_agg in (None, "mean") and not self.reuse_scores:
            self._refuse(("frame_agg_temp",), "is about scores of frames, and frame_agg=mean has none")
        if self.word_agg == "none":
            self._refuse(("word_agg_temp",), "is about scores of words, and word_agg=none has none")
        if self.clip_is_frozen:
            self._refuse(("freeze_layer_num",), "is about training the CLIP, and it is frozen here (freeze_clip=)")
        if self.no_warmup:
            self._refuse(("warmup_proportion",), "is about a warm-up, and no_warmup=true leaves it out")

    def _refuse(self, names: tuple[str, ...], why: str) -> None:
        if given := [name for name in names if getattr(self, name) != getattr(type(self), name)]:
            raise ConfigError(f"{given[0]}={getattr(self, given[0])} {why}: leave one out")

    def _check_sources(self) -> None:
        if self.features is None and self.frames_dir is None:
            raise ConfigError("retrieval train needs features=, a folder of stored features, or frames_dir=, folders of JPEGs")
        if self.annotations is None and self.train_annot is None and self.dataset is None:
            raise ConfigError("retrieval train needs annotations=, a folder with train.json, or a JSON file (or dataset=, whose "
                              "annotations `retrieval prepare` wrote)")
        if (self.policy_backbone == "features") != (self.policy_features is None) and not self.from_frames:
            raise ConfigError(f"policy_backbone={self.policy_backbone} and policy_features={self.policy_features}: the selector's "
                              "own features go with a policy_backbone of their own; give both or neither")

    def _check_numbers(self) -> None:
        for name in ("num_frm", "num_epochs", "batch_size", "gradient_accumulation_steps", "val_batch_size", "rescale_size",
                     "num_workers"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)}: allowed is a whole number above 0")
        if self.max_txt_len < 3 or self.max_txt_len > 77:
            raise ConfigError(f"max_txt_len={self.max_txt_len}: allowed is from 3 to 77, all that CLIP reads")
        for name in ("learning_rate", "init_tau", "min_tau"):
            if not (math.isfinite(value := getattr(self, name)) and value > 0):
                raise ConfigError(f"{name}={value}: allowed is a number above 0")
        for name in ("coef_lr", "weight_decay", "exp_decay_factor", "warmup_epochs", "n_display", "seed"):
            if not (math.isfinite(value := getattr(self, name)) and value >= 0):
                raise ConfigError(f"{name}={value}: allowed is a number from 0 up")
        for name, below in (("validation_fraction", 1), ("warmup_proportion", 1)):
            if not 0 <= getattr(self, name) < below:
                raise ConfigError(f"{name}={getattr(self, name)}: allowed is from 0 to below {below}")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ConfigError(f"betas={list(self.betas)}: allowed are two numbers from 0 to below 1, such as [0.9, 0.98]")
        if not (self.grad_norm > 0 or self.grad_norm == -1):
            raise ConfigError(f"grad_norm={self.grad_norm}: allowed is a number above 0, or -1 for no clipping")

    @property
    def from_frames(self) -> bool:
        """The original's files name frames_dir; features=, where it is given too, is meant instead."""
        return self.features is None and self.frames_dir is not None

    @property
    def clip_is_frozen(self) -> bool:
        return not self.from_frames if self.freeze_clip is None else self.freeze_clip

    @property
    def frames_chosen(self) -> int:
        if self.top_k is not None:
            return self.top_k
        return self.num_frm if self.no_policy else TOP_K
