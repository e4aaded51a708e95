"""The keys of `differencing` and `differencing evaluate`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from ..errors import ConfigError
from .schema import EncoderConfig, key

SPLITS = ("easy", "medium", "hard", "all")


@dataclass(frozen=True)
class DifferencingConfig:
    """`python main.py differencing videos="[a.mp4, b.mp4]" action=…` or `… dataset=PATH split=…`."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    videos: tuple[str, ...] = key((), "two videos of one's own: [a.mp4, b.mp4]")
    action: str | None = key(None, "what both videos show, such as 'a person does a squat'")
    dataset: str | None = key(None, "the benchmark: a parquet or JSON file, a folder that `datasets` saved, or org/name on the hub")
    video_root: str | None = key(None, "where the dataset's relative video paths start; null: where the dataset lies")
    split: Literal["easy", "medium", "hard", "all"] = key("easy", "which pairs of the dataset")
    subset_mode: str = key("0", "0: every pair; K_per_action: the first K of each action")
    eval_mode: Literal["closed", "open"] = key(
        "open", "closed: the dataset's differences (or those of proposals=) are judged; open: they are proposed too")
    name: str = key("differences", "results go to output_path/name")
    seed: int = key(0, "of the language model's requests; another one asks anew")
    proposals: str | None = key(None, "take stage 1's result from this file; a run writes one, to be edited and used again")
    base_url: str | None = key(None, "a server that speaks OpenAI's chat completions; its key is read from OPENAI_API_KEY")
    proposer_model: str = key("gpt-4o-mini-2024-07-18", "the language model of stage 1")
    judge: Literal["clip", "openai"] = key("clip", "stage 3: the encoder's own similarities, or a model that sees pictures")
    judge_model: str = key("gpt-4o-2024-08-06", "judge=openai: the model that sees pictures")
    swap: bool = key(False, "judge=openai: ask a second time with A and B swapped; disagreement is `undecided`")
    image_detail: Literal["low", "high", "auto"] = key("high", "judge=openai: how closely it looks at a picture")
    image_size: int = key(768, "judge=openai: the longer side of the pictures that are sent, at most")
    margin: float = key(0.01, "judge=clip: a smaller difference of cosines is no clear difference")
    segmentation: Literal["viterbi", "uniform", "window"] = key(
        "viterbi", "stage 2: stages in their order over all frames; even parts; or each by itself")
    frames: Literal["spaced", "reference", "uniform", "random"] = key(
        "spaced", "frames of a difference: the best matching at true distances; as published; or by no stage at all (baselines)")
    retrieval_strings: int = key(5, "stage 1: how many texts a stage shall have at least")
    features: str | None = key(None, "take stored features from this folder, and their model, in place of making them")
    extraction_fps: float | None = key(None, "frames a second to look at; null: 8, 5, 6, 1, 1 for the benchmark's domains, else 8")
    cache_path: str | None = key(None, "answers of language models; null: differencing.sqlite beside the cached weights")
    cache: Literal["use", "replay", "off"] = key("use", "replay: never ask a server, a missing answer is a failure")
    max_cost_usd: float | None = key(None, "stop before the language models cost more")
    prices: tuple[str, ...] = key((), "[IN, OUT]: dollars for a million tokens, where the model's are not known")
    concurrency: int = key(8, "requests under way at once")
    timeout_seconds: float = key(120.0, "to wait for a server, each time")
    retries: int = key(5, "how often a request is sent again that got 429 or 5xx, no answer in time, or a broken connection")
    output_path: str = key("./output/differencing", "results, and the features that were made")
    batch_size: int = key(16, "frames a forward pass")
    device_ids: tuple[str, ...] | None = key(None, "CUDA devices, or cpu; null: every CUDA device, else the CPU")
    device: str | None = key(None, "the same for one device in torch's words: cuda:0, cpu")
    workers: int | None = key(None, "decode threads; null: one a core")
    reader: Literal["auto", "pyav", "decord", "images"] = key("auto", "what decodes")
    fps: float | None = key(None, "videos= that are folders of pictures: how many a second")
    overwrite: bool = key(False, "make features again, also in place of those with other settings")

    def __post_init__(self):
        if bool(self.videos) == bool(self.dataset):
            raise ConfigError("differencing needs either videos=\"[a.mp4, b.mp4]\" or dataset=, a file of pairs")
        if self.videos and len(self.videos) != 2:
            raise ConfigError(f"videos={list(self.videos)}: allowed are two videos of one action")
        if self.videos and not self.action and self.proposals is None:
            raise ConfigError("action=: say what both videos show, such as 'a person does a squat'")
        if self.videos and self.eval_mode == "closed" and self.proposals is None:
            raise ConfigError("eval_mode=closed judges given differences: give proposals=FILE, or eval_mode=open to propose them")
        if not re.fullmatch(r"0|[1-9]\d*_per_action", self.subset_mode):
            raise ConfigError(f"subset_mode={self.subset_mode}: allowed is 0 (every pair) or K_per_action, such as 3_per_action")
        if not re.fullmatch(r"[^/\\\0]+", self.name) or self.name in (".", ".."):
            raise ConfigError(f"name={self.name}: allowed is the name of a folder")
        for name in ("extraction_fps", "fps"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ConfigError(f"{name}={value}: allowed is a number above 0")
        for name in ("retrieval_strings", "batch_size", "image_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)}: allowed is a whole number above 0")
        if self.swap and self.judge != "openai":
            raise ConfigError(f"swap=true asks a judge twice, and judge={self.judge} measures both videos alike: leave it out, or "
                              "give judge=openai")
        if not 0 <= self.margin < float("inf"):
            raise ConfigError(f"margin={self.margin}: allowed is a number from 0 up")
        _check_calls(self)

    @property
    def price_pair(self) -> tuple[float, float] | None:
        """Dollars for a million tokens, in and out."""
        return _price_pair(self.prices)


@dataclass(frozen=True)
class DifferencingEvaluateConfig:
    """`python main.py differencing evaluate predictions=… dataset=…`: scores of stored predictions."""

    predictions: str = key("", "predictions.json of a run, or the benchmark's form: a list, or a mapping by pair")
    dataset: str = key("", "the benchmark, as for differencing")
    split: Literal["easy", "medium", "hard", "all"] = key("easy", "which pairs of the dataset")
    subset_mode: str = key("0", "0: every pair; K_per_action: the first K of each action")
    eval_mode: Literal["closed", "open"] = key("closed", "open: proposed differences are matched with the annotated ones")
    scoring: Literal["strict", "compat"] = key(
        "strict", "compat: as the released program counts; strict: also the limit of differences, one use of each, opposites "
                  "turned")
    matcher: Literal["text", "openai"] = key("text", "open: by words in common, or by a language model")
    base_url: str | None = key(None, "matcher=openai: a server that speaks OpenAI's chat completions")
    matcher_model: str = key("gpt-4o-2024-08-06", "matcher=openai: the language model")
    cache_path: str | None = key(None, "answers of language models; null: differencing.sqlite beside the cached weights")
    cache: Literal["use", "replay", "off"] = key("use", "replay: never ask a server, a missing answer is an error")
    max_cost_usd: float | None = key(None, "stop before the language model costs more")
    prices: tuple[str, ...] = key((), "[IN, OUT]: dollars for a million tokens, where the model's are not known")
    concurrency: int = key(8, "requests under way at once")
    timeout_seconds: float = key(120.0, "to wait for a server, each time")
    retries: int = key(5, "how often a request is sent again that got 429 or 5xx, no answer in time, or a broken connection")
    seed: int = key(0, "of the language model's requests")
    output_path: str | None = key(None, "scores go here as JSON and CSV; null: beside the predictions")

    def __post_init__(self):
        for name in ("predictions", "dataset"):
            if not getattr(self, name):
                raise ConfigError(f"differencing evaluate needs {name}=")
        if not re.fullmatch(r"0|[1-9]\d*_per_action", self.subset_mode):
            raise ConfigError(f"subset_mode={self.subset_mode}: allowed is 0 (every pair) or K_per_action, such as 3_per_action")
        _check_calls(self)

    @property
    def price_pair(self) -> tuple[float, float] | None:
        """Dollars for a million tokens, in and out."""
        return _price_pair(self.prices)


def _check_calls(config: DifferencingConfig | DifferencingEvaluateConfig) -> None:
    if config.base_url is not None and not re.match(r"https?://[^/]", config.base_url):
        raise ConfigError(f"base_url={config.base_url}: allowed is an address such as http://127.0.0.1:8000/v1")
    if config.concurrency < 1 or config.retries < 0:
        raise ConfigError(f"concurrency={config.concurrency}, retries={config.retries}: allowed are a whole number above 0, and "
                          "one from 0 up")
    if not 0 < config.timeout_seconds < float("inf"):
        raise ConfigError(f"timeout_seconds={config.timeout_seconds}: allowed is a number above 0")
    if config.max_cost_usd is not None and not config.max_cost_usd >= 0:
        raise ConfigError(f"max_cost_usd={config.max_cost_usd}: allowed is a number from 0 up")
    _ = config.price_pair


def _price_pair(prices: tuple[str, ...]) -> tuple[float, float] | None:
    try:
        numbers = [float(word) for word in prices]
    except ValueError:
        numbers = [-1.0]
    if numbers and (len(numbers) != 2 or not all(0 <= number < float("inf") for number in numbers)):
        raise ConfigError(f"prices={list(prices)}: allowed is [IN, OUT], dollars for a million tokens")
    return (numbers[0], numbers[1]) if numbers else None
