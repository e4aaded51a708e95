"""What a model of AdaCLIP is made of; kept in its checkpoints, so that none is ever loaded as another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...errors import ConfigError

PolicyBackbone = Literal["features", "raw", "mobilenet_v2", "mobilenet_v3_large", "resnet50"]


@dataclass(frozen=True)
class AdaClipOptions:
    """Names as on the command line. Raises ConfigError for values out of bounds and for options that cancel each other."""

    dim: int  # of the frames' features, and of the texts'
    num_frm: int = 16
    top_k: int = 12
    frame_agg: Literal["mean", "mlp", "transformer", "qscore"] = "mlp"
    frame_agg_temp: float = 1.0
    no_policy: bool = False
    policy_backbone: PolicyBackbone = "features"
    policy_dim: int | None = None  # of what the selector sees; None: the frames' features themselves
    rnn: Literal["transformer", "lstm", "bilstm", "none"] = "transformer"
    hidden_dim: int = 512
    mlp_type: Literal["mlp", "fc"] = "mlp"
    mlp_hidden_dim: int = 1024
    reuse_scores: bool = False
    sim_header: Literal["meanP", "seqTransf", "transformer"] = "meanP"
    word_agg: Literal["none", "mlp", "transformer"] = "none"
    word_agg_temp: float = 1.0
    adapter_dim: int = 0

    def __post_init__(self):
        for name in ("dim", "num_frm", "hidden_dim", "mlp_hidden_dim"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)}: allowed is a whole number above 0")
        if not 1 <= self.top_k <= self.num_frm:
            raise ConfigError(f"top_k={self.top_k}: allowed is from 1 to num_frm={self.num_frm}, the frames to choose from")
        for name in ("frame_agg_temp", "word_agg_temp"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ConfigError(f"{name}={getattr(self, name)}: allowed is a number above 0")
        if self.adapter_dim < 0:
            raise ConfigError(f"adapter_dim={self.adapter_dim}: allowed is 0 (no adapters) or the width of their hidden layer")
        self._check_policy()
        self._check_aggregation()

    def _check_policy(self) -> None:
        if self.no_policy and self.policy_backbone != "features":
            raise ConfigError(f"no_policy=true leaves nothing for policy_backbone={self.policy_backbone} to do: leave one out")
        if self.no_policy and self.reuse_scores:
            raise ConfigError("no_policy=true has no selector whose scores reuse_scores=true could use: leave one out")
        if (self.policy_backbone == "features") != (self.policy_dim is None):
            raise ConfigError(f"policy_dim={self.policy_dim}: goes with a policy_backbone of its own, and is needed there; "
                              f"policy_backbone is {self.policy_backbone}")

    def _check_aggregation(self) -> None:
        if self.reuse_scores and (self.frame_agg != "mean" or self.word_agg != "none"):
            raise ConfigError(f"reuse_scores=true weighs frames by the selector's scores, and frame_agg={self.frame_agg}, "
                              f"word_agg={self.word_agg} weigh them anew: leave them out, or reuse_scores")
        if self.word_agg != "none" and self.frame_agg != "mean":
            raise ConfigError(f"word_agg={self.word_agg} goes with frame_agg=mean, as in the original: leave out one of word_agg "
                              f"and frame_agg={self.frame_agg}")
        if self.adapter_dim and self.frame_agg == "qscore":
            raise ConfigError("adapter_dim adapts a video's vector, and frame_agg=qscore gives it none of its own: leave one out")
        # A block has heads 64 wide.
        if self.frame_agg == "transformer" or self.sim_header != "meanP" or self.word_agg == "transformer":
            self._check_width("the features' dimension", self.dim)
        if self.rnn == "transformer" and not self.no_policy:
            self._check_width("hidden_dim", self.hidden_dim)

    def _check_width(self, name: str, width: int) -> None:
        if width >= 128 and width % (width // 64):
            raise ConfigError(f"{name} {width} does not divide into heads of a transformer: allowed is a multiple of 64, or less "
                              "than 128")

    @property
    def query_dependent(self) -> bool:
        """Whether a video has no vector of its own."""
        return self.frame_agg == "qscore"

    @property
    def needs_words(self) -> bool:
        """Whether a text's features alone are too little."""
        return self.word_agg != "none"
