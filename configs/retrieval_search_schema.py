"""The keys of `retrieval index` and `retrieval search`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..errors import ConfigError
from .schema import key


@dataclass(frozen=True)
class RetrievalIndexConfig:
    """`python main.py retrieval index features=… output_path=videos.index`: a vector a video, to be searched by text."""

    features: str | None = key(None, "stored features of one model, such as output/clip/ViT-B_32; null: only delete= is done")
    output_path: str = key("./output/videos.index", "the index, a folder; where there is one, what is new or changed is put in")
    checkpoint: str | None = key(None, "a model that `retrieval train` made: it chooses the frames and makes the vector")
    selection: Literal["all", "uniform", "kmedoids"] | None = key(
        None, "without a checkpoint: which frames' mean is the vector; null: all")
    top_k: int | None = key(None, "selection=uniform, kmedoids: how many frames; null: 12")
    policy_features: str | None = key(None, "the selector's own features, where the checkpoint's policy_backbone has some")
    dtype: Literal["float32", "float16", "int8", "binary"] = key(
        "float16", "of the vectors; int8 and binary: small codes find candidates, which their float16 vectors rank")
    structure: Literal["auto", "exact", "hnsw", "ivf"] = key(
        "auto", "exact looks at every vector; hnsw and ivf are FAISS's; auto: exact up to a million videos, then ivf")
    delete: tuple[str, ...] = key((), "ids of videos to take out of the index")
    prune: bool = key(False, "take out the videos of features= that are not stored there any more")
    overwrite: bool = key(False, "make the index anew, whatever was there")
    batch_size: int = key(256, "videos that a checkpoint looks at at once")
    device: str | None = key(None, "for the checkpoint: cuda:0, cpu; null: the first CUDA device, else the CPU")

    def __post_init__(self):
        if self.features is None and not self.delete:
            raise ConfigError("retrieval index needs features=, a folder of stored features, or delete=, ids of videos to take out")
        if self.features is None and (self.prune or self.overwrite or self.checkpoint or self.selection):
            raise ConfigError("prune, overwrite, checkpoint and selection go with features=, a folder of stored features")
        if self.checkpoint is not None and (self.selection is not None or self.top_k is not None):
            raise ConfigError("selection= and top_k= are for an index without checkpoint=: a checkpoint chooses as it was trained")
        if self.top_k is not None and (self.top_k < 1 or self.selection in (None, "all")):
            raise ConfigError(f"top_k={self.top_k}: allowed is a whole number above 0, with selection=uniform or kmedoids")
        if self.policy_features is not None and self.checkpoint is None:
            raise ConfigError("policy_features= goes with checkpoint=, a model whose selector looks at them")
        if self.batch_size < 1:
            raise ConfigError(f"batch_size={self.batch_size}: allowed is a whole number above 0")


@dataclass(frozen=True)
class RetrievalSearchConfig:
    """`python main.py retrieval search index=videos.index query="a man is lifting weights"`: the videos that a text finds."""

    index: str = key("", "what `retrieval index` made")
    query: tuple[str, ...] = key((), "a text, or a […] list of them")
    query_file: str | None = key(None, "a .txt with a text a line, or a .csv, .tsv or .json as `texts` takes them")
    top: int | None = key(None, "how many videos; null: 10, or all of fewer")
    rerank: Literal["none", "qscore", "maxsim"] = key(
        "none", "look again at the best: by their stored frames, weighted anew for each query (qscore), or by the best frame "
                "(maxsim); also says when in the video")
    rerank_top: int = key(100, "how many of the best are looked at again")
    rerank_temp: float = key(0.1, "rerank=qscore: temperature of the softmax over frames' cosines")
    features: str | None = key(None, "rerank: where the stored features lie now, if they were moved")
    json: bool = key(False, "print JSON in place of a table")
    verify: bool = key(False, "compare every file of the index with its digest (those up to 256 MB always are)")
    feature_type: str | None = key(None, "the model of the queries; null: the one that made the index, and another is refused")
    model_name: str | None = key(None, "likewise")
    encoder_checkpoint: str | None = key(None, "the encoder's own weights file, where its features were made with one")
    device: str | None = key(None, "cuda:0, cpu; null: the first CUDA device, else the CPU")

    def __post_init__(self):
        if not self.index:
            raise ConfigError("retrieval search needs index=, which `retrieval index` makes")
        if self.query and self.query_file is not None:
            raise ConfigError("query= and query_file= are both given: give a text, or a file of texts")
        if any(not text.strip() for text in self.query):
            raise ConfigError("query= holds an empty text")
        if self.top is not None and self.top < 1:
            raise ConfigError(f"top={self.top}: allowed is a whole number above 0")
        if self.rerank_top < 1:
            raise ConfigError(f"rerank_top={self.rerank_top}: allowed is a whole number above 0")
        if not 0 < self.rerank_temp < float("inf"):
            raise ConfigError(f"rerank_temp={self.rerank_temp}: allowed is a number above 0")
        if self.rerank == "none" and self.features is not None:
            raise ConfigError("features= goes with rerank=qscore or maxsim, which look at stored frames")
