"""A method's similarities, and those of what it has to beat: other choices of as many frames, all frames, Q-Score."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from ..extract.flops import FlopCount
from ..models.adaclip.aggregators import QScore
from ..models.adaclip.checkpoint import Checkpoint
from ..models.adaclip.model import ChosenFrames
from ..models.base import Encoder
from .baselines import NO_FRAME, at_positions, centre, drawn, every_frame, mean_vectors, medoids, uniform
from .gallery import Gallery

_BLOCK_VALUES = 1 << 24
_TEXTS_AT_ONCE = 500
_VIDEOS_AT_ONCE = 512


@dataclass(frozen=True)
class Line:
    """`choice` of `frames` frames a video, aggregated by `aggregation`; query_dependent: a video has no vector of its own."""

    choice: str
    aggregation: str
    frames: int
    query_dependent: bool = False


@dataclass(frozen=True)
class Operations:
    """What the arithmetic of one video comes to, counted as it ran: two for a multiplication with its addition. None where the
    network was not loaded."""

    encoder_flops_a_frame: int | None
    frames_encoded: int
    choosing_and_aggregating_flops: int | None


class Model:
    """A checkpoint, or no more than the mean or Q-Score of frames."""

    def __init__(self, checkpoint: Checkpoint | None, frame_agg: str | None, qscore_temp: float, device: str):
        self.checkpoint, self.device, self.qscore_temp = checkpoint, device, qscore_temp
        self.frame_agg = checkpoint.options.frame_agg if checkpoint is not None else "qscore" if frame_agg == "qscore" else "mean"
        if checkpoint is not None:
            self.qscore_temp = checkpoint.options.frame_agg_temp if checkpoint.options.query_dependent else qscore_temp

    @property
    def is_plain(self) -> bool:
        """Whether frames and texts are compared as they come from the encoder."""
        if self.checkpoint is None:
            return True
        options = self.checkpoint.options
        return (options.frame_agg == "mean" and options.sim_header == "meanP" and not options.adapter_dim
                and not options.reuse_scores)

    def own_similarity(self, gallery: Gallery, texts: np.ndarray) -> np.ndarray:
        """[Q, V], with the frames that the checkpoint chooses."""
        return self._compare(gallery, texts, None)

    def similarity(self, gallery: Gallery, texts: np.ndarray, choice: np.ndarray) -> np.ndarray:
        """[Q, V], with frames chosen by another (int64 [V, k])."""
        if self.checkpoint is None:
            return q_score(gallery, texts, choice, self.qscore_temp) if self.frame_agg == "qscore" else (
                texts @ mean_vectors(gallery.features, choice).T)
        return self._compare(gallery, texts, choice)

    @torch.inference_mode()
    def _compare(self, gallery: Gallery, texts: np.ndarray, choice: np.ndarray | None) -> np.ndarray:
        assert self.checkpoint is not None
        model = self.checkpoint.model
        rows = model.encode_texts(torch.from_numpy(texts).to(self.device))
        columns = []
        for begin in range(0, len(gallery), _VIDEOS_AT_ONCE):
            some = slice(begin, begin + _VIDEOS_AT_ONCE)
            chosen = self.chosen(gallery, some) if choice is None else _taken(gallery.features[some], choice[some], self.device)
            columns.append(torch.cat([model.compare(part, chosen) for part in rows.split(_TEXTS_AT_ONCE)]).cpu())
        return torch.cat(columns, dim=1).numpy()

    def chosen(self, gallery: Gallery, some: slice) -> ChosenFrames:
        assert self.checkpoint is not None
        policy = None if gallery.policy is None else torch.from_numpy(gallery.policy[some]).to(self.device)
        return self.checkpoint.model.choose(torch.from_numpy(gallery.features[some]).to(self.device),
                                            torch.from_numpy(gallery.mask[some]).to(self.device), policy)


def rivals(model: Model, gallery: Gallery, texts: np.ndarray, k: int, selection: str, positions: np.ndarray | None,
           seed: int) -> Iterator[tuple[Line, np.ndarray]]:
    """(line, similarity [Q, V]): the method, then the others. `positions`: the best fixed ones [k], if they are known."""
    mask = gallery.mask
    choices = {"uniform": uniform(mask, k), "random": drawn(mask, k, seed), "centre": centre(mask, k)}
    if positions is not None:
        choices["best fixed"] = at_positions(mask, positions)
    choices["k-medoids"] = medoids(gallery.features, mask, k)
    name, every = _aggregation(model), every_frame(mask)
    theirs = {"uniform": "uniform", "kmedoids": "k-medoids"}.get(selection)
    own = Line(theirs or selection, name, k, model.frame_agg == "qscore")
    yield own, model.own_similarity(gallery, texts) if theirs is None else model.similarity(gallery, texts, choices[theirs])
    others = [(choice, name) for choice in (*choices, "all")] if name != "mean" else []
    others += [(choice, "mean") for choice in (*choices, "all")] + [("uniform", "q-score"), ("all", "q-score")]
    for choice, aggregation in dict.fromkeys(others):
        places = every if choice == "all" else choices[choice]
        line = Line(choice, aggregation, places.shape[1], aggregation == "q-score" or (aggregation == name and own.query_dependent))
        if line == own:
            continue
        if aggregation == "mean":
            yield line, texts @ mean_vectors(gallery.features, places).T
        elif aggregation == "q-score":
            yield line, q_score(gallery, texts, places, model.qscore_temp)
        else:
            yield line, model.similarity(gallery, texts, places)


@torch.inference_mode()
def q_score(gallery: Gallery, texts: np.ndarray, choice: np.ndarray, temperature: float) -> np.ndarray:
    """Cosines [Q, V] of unit texts with frames weighted anew for each text. See `QScore`."""
    aggregator, rows = QScore(texts.shape[1], temperature), torch.from_numpy(texts)
    at_once = max(1, _BLOCK_VALUES // (len(texts) * choice.shape[1]))
    columns = []
    for begin in range(0, len(choice), at_once):
        taken = _taken(gallery.features[begin:begin + at_once], choice[begin:begin + at_once], "cpu")
        columns.append(aggregator.similarity(rows, taken.frames, taken.mask))
    return torch.cat(columns, dim=1).numpy()


@torch.inference_mode()
def operations(model: Model, gallery: Gallery, k: int, encoder: Encoder | None) -> Operations:
    """Counted on one video and one picture."""
    encoding, choosing = None, None
    if encoder is not None:
        size = encoder.preprocess.image_size
        count = FlopCount()
        count.run("frame", lambda: encoder.encode(torch.zeros(1, 3, size, size, dtype=torch.uint8)))
        encoding = count.total
    is_cheap = model.checkpoint is not None and model.checkpoint.policy is not None
    if model.checkpoint is not None and not model.checkpoint.options.query_dependent:
        first, network, count = int(gallery.available.argmax()), model.checkpoint.model, FlopCount()
        count.run("video", lambda: network.aggregate(model.chosen(gallery, slice(first, first + 1))))
        choosing = count.total
    return Operations(encoding, k if is_cheap or model.checkpoint is None else gallery.mask.shape[1], choosing)


def _aggregation(model: Model) -> str:
    """In words: what is done beside choosing, if it is more than the mean."""
    if model.is_plain:
        return "q-score" if model.frame_agg == "qscore" else "mean"
    return f"trained {model.frame_agg}"


def _taken(features: np.ndarray, choice: np.ndarray, device: str) -> ChosenFrames:
    there = choice != NO_FRAME
    frames = np.take_along_axis(features, choice.clip(0)[..., None], axis=1) * there[..., None]
    return ChosenFrames(torch.from_numpy(frames).to(device), torch.from_numpy(there).to(device),
                        torch.from_numpy(choice).to(device))
