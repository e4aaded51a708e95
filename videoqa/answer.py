"""One run of answering: questions, features, texts, scores, files."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..configs.videoqa_schema import VideoqaAnswerConfig
from ..errors import ConfigError, InputError
from ..extract.devices import resolve_devices
from ..extract.features import Features
from ..extract.stage_files import prepare, write_json
from ..extract.store.files import digest_of_file
from ..extract.stored import encoder_of
from ..extract.text_features import TextUse
from ..models.base import Encoder
from ..models.registry import LazyEncoder, identify, load_encoder
from .ablation import AblationRow, ablate, records
from .answers import Answer, VideoAnswers, accuracy, answer, by_status, unanswered
from .dataset import QaVideo, read_dataset
from .results import ABLATION, FLAT, GROUPED, RUN, flat_records, grouped_records
from .scoring import Evidence, Recipe, score_options
from .sources import VideoRoot, VideoSource
from .subtitles import lines_at, read_subtitles
from .text_features import TextFeatures
from .texts import phrases_of
from .video_features import VideoFeatures, extract, read

log = logging.getLogger("clipreel")


@dataclass(frozen=True)
class AnswerRun:
    """Every video of the dataset with its answers, and what `run.json` says of the run."""

    videos: list[VideoAnswers]
    run: dict[str, Any]
    folder: Path
    ablation: list[AblationRow] = field(default_factory=list)

    @property
    def answers(self) -> list[Answer]:
        return [one for video in self.videos for one in video.answers]

    @property
    def accuracy(self) -> float | None:
        """Percent right of all questions whose answer the dataset says; without an answer counts as wrong."""
        return accuracy(self.answers)

    @property
    def exit_code(self) -> int:
        return 1 if any(video.is_missing for video in self.videos) else 0


class _Clock:
    """Seconds of each part."""

    def __init__(self):
        self.seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began


def run(config: VideoqaAnswerConfig, *, encoder: Encoder | None = None, quiet: bool = False) -> AnswerRun:
    """Answer all questions and write the files. A video that is missing or fails is a row of the result.

    Raises UsageError before anything is started: no question, no video, weights that cannot be had.
    """
    clock, folder = _Clock(), Path(config.output_path).expanduser()
    with clock.part("dataset"):
        videos = read_dataset(config.dataset)
        root = VideoRoot(config.video_root) if config.video_root is not None else None
        sources = {video.name: root.find(video.name) for video in videos} if root is not None else {}
    prepare(folder)
    devices = [str(encoder.device)] if encoder is not None else resolve_devices(config.device_ids, config.device)
    with clock.part("features"):
        if config.features is not None:
            found, identity = read(config.features)
            stored = identity
            if encoder is not None and encoder.identity.weights_sha256 != identity.weights_sha256:
                raise ConfigError(f"features={config.features}: were made by {identity.model_name} with weights of SHA-256 "
                                  f"{identity.weights_sha256}, not by the encoder that is given")
            model = LazyEncoder(lambda: encoder_of(stored, config.encoder.checkpoint, devices[0]), encoder)
        else:
            identity = encoder.identity if encoder is not None else identify(**asdict(config.encoder), device=devices[0])
            model = LazyEncoder(lambda: load_encoder(**asdict(config.encoder), device=devices[0]), encoder)
            paths = {name: source.video for name, source in sources.items() if source.video is not None}
            if not paths:
                raise InputError(f"video_root={config.video_root}: has none of the {len(videos)} videos; "
                                 f"{sources[videos[0].name].problem}")
            found = extract(config, paths, identity, model, devices=devices, quiet=quiet)
        found = _finite(found)
        features = {name: found.features[name] for name in (video.name for video in videos) if name in found.features}
        if not features and config.features is not None:
            raise InputError(f"features={config.features}: holds none of the {len(videos)} videos, the first being "
                             f"{videos[0].name!r}; it holds {', '.join(sorted(found.features)[:5])}")
    recipe = Recipe.of(config)
    with clock.part("texts"):
        subtitles = _subtitles(features, sources) if config.subtitle_weight else {}
        evidence = Evidence.of(videos, {name: one.features for name, one in features.items()}, subtitles)
        texts = TextFeatures(folder / "texts", identity)
        try:
            use = texts.fill(evidence.phrases(recipe), model)
        except OSError as error:
            raise ConfigError(f"{texts.folder}: text features cannot be written ({error.strerror}); give another "
                              "output_path") from error
    with clock.part("scores"):
        scores = score_options(evidence, texts, recipe)
        answered = _answers(videos, scores, texts, recipe, sources, found)
    with clock.part("ablation"):
        rows = ablate(evidence, texts, recipe, scores) if config.ablation else []
    with clock.part("write"):
        write_json(folder / FLAT, flat_records(answered))
        write_json(folder / GROUPED, grouped_records(answered))
        if rows:
            write_json(folder / ABLATION, records(rows))
    said = _account(config, recipe, found, answered, use, clock.seconds)
    write_json(folder / RUN, said)
    return AnswerRun(answered, said, folder, rows)


def _finite(found: VideoFeatures) -> VideoFeatures:
    """With the videos whose features hold infinities or NaNs (float16 that overflowed) among the failed."""
    broken = {name: f"its features hold numbers that are not finite ({one.provenance.settings.encoder.precision}); try "
                    "precision=float32" for name, one in found.features.items() if not np.isfinite(one.features).all()}
    whole = {name: one for name, one in found.features.items() if name not in broken}
    return VideoFeatures(whole, {**found.failed, **broken}, found.report)


def _subtitles(features: Mapping[str, Features], sources: Mapping[str, VideoSource]) -> dict[str, list[str]]:
    """By videoID, the lines on screen while the features' frames or windows were."""
    found = {}
    for name, one in features.items():
        path = sources[name].subtitles if name in sources else None
        if path is not None:
            times = one.timestamps_ms
            spans = one.intervals_ms if one.intervals_ms is not None else np.stack([times, times], axis=1)
            lines = lines_at(read_subtitles(path), spans)
            if lines:
                found[name] = lines
    return found


def _answers(videos: list[QaVideo], scores: Mapping[str, np.ndarray], texts: TextFeatures, recipe: Recipe,
             sources: Mapping[str, VideoSource], found: VideoFeatures) -> list[VideoAnswers]:
    answered = []
    for video in videos:
        if video.name in found.features:
            given = []
            for question in video.questions:
                cut = any(texts.is_cut(phrase) for phrase in phrases_of(question, recipe.text, recipe.strip_letters))
                given.append(answer(question, scores[question.question_id], texts.logit_scale or 1.0, is_cut=cut))
            answered.append(VideoAnswers(video, tuple(given)))
        elif video.name in found.failed:
            answered.append(unanswered(video, "failed", found.failed[video.name]))
        else:
            source = sources.get(video.name)
            reason = source.problem if source is not None else None
            answered.append(unanswered(video, "missing", reason or f"no features of {video.name!r} are stored"))
    return answered


def _account(config: VideoqaAnswerConfig, recipe: Recipe, found: VideoFeatures, answered: list[VideoAnswers], use: TextUse,
             seconds: dict[str, float]) -> dict[str, Any]:
    """run.json: versions, recipe, weights, coverage, seconds."""
    import torch

    answers = [one for video in answered for one in video.answers]
    settings = next((one.provenance.settings for one in found.features.values()), None)
    parts = {name: round(value, 3) for name, value in seconds.items()}
    if found.report is not None:  # of these decode and encode run side by side
        parts |= {"features_decode_cpu": round(found.report.decode_seconds, 3),
                  "features_encode": round(found.report.encode_seconds, 3),
                  "features_write": round(found.report.write_seconds, 3)}
    right = accuracy(answers)
    return {
        "versions": {"clipreel": __version__, "python": platform.python_version(), "torch": torch.__version__,
                     "numpy": np.__version__},
        "dataset": {"path": config.dataset, "sha256": digest_of_file(Path(config.dataset).expanduser())},
        "recipe": asdict(recipe),
        "features": settings.flat() if settings is not None else None,
        "weights_sha256": settings.encoder.weights_sha256 if settings is not None else None,
        "coverage": {
            "videos": len(answered), "videos_answered": sum(not video.is_missing for video in answered),
            "questions": len(answers), **by_status(answers), "cut": sum(one.is_cut for one in answers),
            "features_made": len(found.report.done) if found.report is not None else 0,
            "by_duration": {name: {"videos": sum(one.video.duration == name for one in answered),
                                   "answered": sum(one.video.duration == name and not one.is_missing for one in answered)}
                            for name in dict.fromkeys(one.video.duration for one in answered)},
            "reasons": {one.video.name: one.reason for one in answered if one.is_missing}},
        "texts": {"distinct": use.asked, "encoded": use.encoded},
        "accuracy_percent": None if right is None else round(right, 2),
        "seconds": parts,
    }
