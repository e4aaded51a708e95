"""One frozen dataclass per command: every key with its type, default, meaning and bounds.

A key's type says how a word of the command line is read (see `values.py`); a nested dataclass's keys are given flat.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from ..errors import ConfigError


def key(default: Any, meaning: str, *, positional: bool = False, texts_file: bool = False, may_be_empty: bool = False) -> Any:
    """A field with its line for `--help`. `texts_file`: a word that is no […] list names a file of lines. `may_be_empty`: an
    empty word means the default."""
    return field(default=default, metadata=key_metadata(meaning, positional=positional, texts_file=texts_file,
                                                        may_be_empty=may_be_empty))


def key_metadata(meaning: str, *, positional: bool = False, texts_file: bool = False, may_be_empty: bool = False) -> dict[str, Any]:
    """What `load.keys_of` reads of a field."""
    return {"meaning": meaning, "positional": positional, "texts_file": texts_file, "may_be_empty": may_be_empty}


@dataclass(frozen=True)
class EncoderConfig:
    """What makes an encoder; everything here changes the numbers that come out."""

    feature_type: str = key("clip", "which family of models: clip (OpenAI's), open_clip, viclip, policy, or remote (a server)")
    model_name: str = key("ViT-B/32", "clip: RN50 … ViT-L/14@336px, tiny (the demonstration model) or custom; "
                                      "open_clip: an architecture, hf-hub:org/repo or local-dir:/path; "
                                      "viclip: ViCLIP-L, ViCLIP-B or custom; "
                                      "policy: raw, mobilenet_v2, mobilenet_v3_large or resnet50")
    checkpoint: str | None = key(None, "weights from this file (clip: with model_name=custom; viclip: also hf-hub:org/repo)")
    pretrained: str | None = key(None, "open_clip's tag, such as laion2b_s34b_b79k, or a weight file")
    precision: Literal["auto", "float32", "float16", "bfloat16"] = key(
        "auto", "arithmetic of the network; auto is float32 on the CPU, float16 on CUDA")
    crop: Literal["center", "squash", "pad"] | None = key(
        None, "how a frame becomes a square; null is the way the model was trained (clip: center)")
    preprocess: Literal["tensor", "pil"] = key(
        "tensor", "tensor: at most one grey level from PIL (today its own kernel); pil: PIL itself")
    recipe: Literal["demo", "train"] | None = key(
        None, "viclip: which frames it sees and how they are resized; train: the middles of equal parts, bicubic; demo: as "
              "the original demonstration, every so many from the first, OpenCV's bilinear; null: train")
    url: str | None = key(None, "feature_type=remote: where `python main.py serve` runs, such as http://127.0.0.1:8090")
    token: str | None = field(default=None, repr=False, metadata=key_metadata(
        "what `serve` asks of clients, and feature_type=remote says; null: $CLIPREEL_TOKEN (which no list of processes shows)"))


@dataclass(frozen=True)
class ExtractConfig:
    """`python main.py feature_type=… …`: features of videos, printed or stored."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    video_paths: tuple[str, ...] = key(
        (), "videos: a path, a folder (searched to its bottom), a glob, a URL (s3://, https://, …), or a […] list of them")
    file_with_video_paths: str | None = key(
        None, "a text file (one path a line, # comments) or a CSV with a path column and optional id, start, end")
    encoders: str | None = key(
        None, "several models, each video decoded once for all: a […] list of {…} with each one's keys of model and frames, "
              "such as [{model_name: ViT-B/32}, {feature_type: open_clip, model_name: ViT-L-14, pretrained: openai}]")
    extraction_fps: float | None = key(None, "frames per second to take; null takes every frame")
    extraction_total: int | None = key(None, "take exactly this many frames, at the middles of equal parts")
    sampling: Literal["played_at", "video_features"] = key(
        "played_at", "played_at: the frame on screen at each instant; video_features: what ffmpeg's fps filter picks")
    window_seconds: float | None = key(
        None, "viclip: a feature for every so many seconds; null: one for the whole video")
    stride_seconds: float | None = key(None, "viclip: seconds from one window's start to the next; null: window_seconds")
    select: str | None = key(
        None, "encode only the frames that this checkpoint of `retrieval train` chooses by cheap looks at them (clip, open_clip)")
    policy_checkpoint: str | None = key(
        None, "select: weights of its policy network, where it was trained with a file of one's own; null: torchvision's")
    start: float | None = key(None, "seconds: take frames from here (inclusive)")
    end: float | None = key(None, "seconds: take frames up to here (exclusive)")
    batch_size: int | Literal["auto"] = key(
        1, "frames (viclip: windows) a forward pass, filled across videos; auto: measured, as many as make it fast and fit")
    compile: bool = key(
        False, "torch.compile the network for this batch_size, and on GPUs use CUDA graphs: up to minutes of warm-up, then faster")
    deterministic: bool = key(
        False, "features equal to the bit whatever the order, other videos, workers or interruptions: batches of one video each, "
               "padded (needs one batch_size, kind of device and number of threads)")
    device_ids: tuple[str, ...] | None = key(
        None, "CUDA devices such as 0 or [0, 2], or cpu, or [cpu, cpu]; null: every CUDA device, else the CPU")
    device: str | None = key(None, "the same for one device in torch's words: cuda:0, cpu")
    workers: int | None = key(None, "decode threads (launcher=ray: of each worker); null: one a core")
    launcher: Literal["local", "ray"] = key("local", "ray: the work is done on all machines of a Ray cluster (extra ray)")
    address: str | None = key(None, "launcher=ray: host:port of the cluster; null or auto: the one that this machine is in")
    devices_per_node: int | None = key(None, "launcher=ray: workers on each machine; null: one a GPU, or one without GPUs")
    reader: Literal["auto", "pyav", "decord", "images", "torchcodec"] = key(
        "auto", "what decodes; auto: images for a folder of pictures, else pyav, and beside it the GPU's own decoder (NVDEC) where "
                "there is one; torchcodec: on GPUs that alone")
    fps: float | None = key(None, "for a folder of pictures: how many a second (no file says it)")
    on_extraction: Literal["print", "save_numpy", "save_pickle", "save_hdf5", "save_h5", "save_webdataset"] = key(
        "print", "what becomes of the features (save_h5 is save_hdf5; save_webdataset: tars of many videos)")
    videos_per_file: int | None = key(
        None, "save_hdf5, save_webdataset: so many videos in a file, which is written when they are done (or have 256 MiB of "
              "features); null: a file a video, for save_webdataset 1000")
    output_path: str = key(
        "./output", "a folder, or a URL such as s3://bucket/prefix: features go to output_path/feature_type/model_name")
    dtype: Literal["float32", "float16"] = key("float32", "of the stored features")
    normalize: bool = key(False, "divide each feature by its L2 norm")
    show_pred: bool = key(False, "print each frame's probabilities over pred_texts")
    pred_texts: tuple[str, ...] | None = key(
        None, "sentences, as a […] list or a file with one a line", texts_file=True)
    shard: str | None = key(None, "of many machines' work this one's part: 3/16 is the fourth of sixteen (0/16 to 15/16)")
    overwrite: bool = key(False, "replace features that were made with other settings, and redo those that are there")
    isolate: bool = key(
        False, "decode in processes of their own: a video that crashes or hangs its decoder fails alone; after two such deaths it "
               "is in quarantine, left out until retry_failed=true")
    decode_seconds_limit: float | None = key(
        None, "isolate: seconds that a video's decoding may take, all threads together, before its process is killed; null: 600 "
              "and twice its length")
    retry_failed: bool = key(False, "only the videos that the last run's failures.jsonl names")
    allow_truncated: bool = key(False, "keep what decodes of a video that ends early or breaks inside")
    dry_run: bool = key(False, "say how many videos, hours and bytes it would be, and stop")
    tmp_path: str | None = key(
        None, "where videos at URLs are fetched to, each until it is decoded; null: the system's folder for temporary files")
    keep_tmp_files: bool = key(False, "accepted, not needed")

    def __post_init__(self):
        _positive("extraction_fps", self.extraction_fps, "a number above 0, or null for every frame")
        _positive("extraction_total", self.extraction_total, "a whole number above 0, or null")
        _positive("window_seconds", self.window_seconds, "a number of seconds above 0, or null for the whole video")
        _positive("stride_seconds", self.stride_seconds, "a number of seconds above 0, or null for window_seconds")
        if self.stride_seconds is not None and self.window_seconds is None:
            raise ConfigError(f"stride_seconds={self.stride_seconds:g} needs window_seconds: how long each window is")
        if self.batch_size != "auto":
            _positive("batch_size", self.batch_size, "a whole number above 0, or auto")
        elif self.deterministic:
            raise ConfigError("batch_size=auto finds another size on another day, and deterministic=true fixes it: give a number")
        if self.compile and self.deterministic:
            raise ConfigError("compile=true may pick its kernels by timing them, so deterministic=true cannot be promised: leave "
                              "one out")
        if self.compile and self.select is not None:
            raise ConfigError(f"compile=true does not go with select={self.select}, which counts the operations one by one: leave "
                              "one out")
        _positive("workers", self.workers, "a whole number above 0, or null for one a core")
        _positive("decode_seconds_limit", self.decode_seconds_limit, "a number of seconds above 0, or null")
        _positive("fps", self.fps, "a number above 0")
        if self.extraction_fps is not None and self.extraction_total is not None:
            raise ConfigError(f"extraction_fps={self.extraction_fps:g} and extraction_total={self.extraction_total} "
                              "exclude each other: give one of them")
        for name in ("start", "end"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ConfigError(f"{name}={value}: allowed is a number of seconds from 0 up")
        if self.start is not None and self.end is not None and self.end <= self.start:
            raise ConfigError(f"end={self.end:g} is not after start={self.start:g}: give end > start, in seconds")
        if self.show_pred and not self.pred_texts:
            raise ConfigError("show_pred=true needs pred_texts: a list such as pred_texts=\"['a dog', 'a cat']\" "
                              "or a file with one sentence a line")
        if self.pred_texts is not None and any(not text.strip() for text in self.pred_texts):
            raise ConfigError("pred_texts holds an empty sentence: give each text at least one word")
        if self.device is not None and self.device_ids is not None:
            raise ConfigError(f"device={self.device} and device_ids={list(self.device_ids)} say the same: give one")
        if self.deterministic and self.encoder.feature_type == "remote":
            raise ConfigError("deterministic=true cannot be promised with feature_type=remote: the server fills batches across its "
                              "clients; leave it out, or run the model here")
        _ = self.shard_of
        _positive("devices_per_node", self.devices_per_node, "a whole number above 0, or null")
        if self.launcher == "ray":
            self._check_cluster()
        elif self.address is not None or self.devices_per_node is not None:
            raise ConfigError("address and devices_per_node go with launcher=ray: give that too, or leave them out")
        if self.videos_per_file is not None:
            if not 1 <= self.videos_per_file <= 100_000:
                raise ConfigError(f"videos_per_file={self.videos_per_file}: allowed is a whole number from 1 to 100000, or null")
            if self.on_extraction not in ("save_hdf5", "save_h5", "save_webdataset"):
                raise ConfigError(f"videos_per_file={self.videos_per_file} is for on_extraction=save_hdf5 or save_webdataset, not "
                                  f"{self.on_extraction}")
        if self.video_paths and self.file_with_video_paths:
            raise ConfigError("video_paths and file_with_video_paths are both given: give one of them")


    def _check_cluster(self) -> None:
        if self.on_extraction == "print" or self.show_pred:
            raise ConfigError("launcher=ray stores features, and prints none: give on_extraction=save_numpy (or another save_…), "
                              "and leave show_pred out")
        if self.device_ids is not None or self.device not in (None, "cpu", "cuda"):
            raise ConfigError("launcher=ray: the cluster names the devices: give devices_per_node=, and device=cpu or cuda at most")
        if self.reader == "torchcodec":
            raise ConfigError("launcher=ray decodes on processors: give reader=auto or pyav")

    @property
    def shard_of(self) -> tuple[int, int] | None:
        """(which, of how many)."""
        if self.shard is None:
            return None
        words = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", self.shard)
        if not words or not int(words[1]) < int(words[2]):
            raise ConfigError(f"shard={self.shard}: allowed is I/N with I from 0 to N-1, such as 3/16")
        return int(words[1]), int(words[2])


@dataclass(frozen=True)
class InspectConfig:
    """`python main.py inspect PATH`: what is stored, and whether it is whole."""

    path: str = key("", "a file of stored features, or a folder of them", positional=True)

    def __post_init__(self):
        if not self.path:
            raise ConfigError("inspect needs a path: python main.py inspect output/clip/ViT-B_32")


@dataclass(frozen=True)
class PackConfig:
    """`python main.py pack FOLDER out.h5`: per-video files of any format into one HDF5, a group a video."""

    folder: str = key("", "where the per-video files lie", positional=True)
    output: str = key("", "the HDF5 file to make", positional=True)
    overwrite: bool = key(False, "replace the output when it is there")

    def __post_init__(self):
        if not self.folder or not self.output:
            raise ConfigError("pack needs a folder and an output: python main.py pack output/clip/ViT-B_32 features.h5")


def _positive(name: str, value: float | None, allowed: str) -> None:
    if value is not None and not (math.isfinite(value) and value > 0):
        raise ConfigError(f"{name}={value}: allowed is {allowed}")
