"""One run of evaluation: a method and, at the same number of frames, everything that it has to beat."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..configs.retrieval_evaluate_schema import RetrievalEvaluateConfig
from ..errors import ConfigError
from ..extract.devices import resolve_devices
from ..extract.stage_files import prepare, write_json
from ..extract.stored import encoder_of
from ..extract.text_features import CaptionFeatures
from ..models.adaclip.checkpoint import Checkpoint, load_checkpoint
from ..models.base import Encoder, EncoderIdentity
from ..models.registry import LazyEncoder
from .annotations import CaptionedVideo, CaptionRule, read_annotations
from .baselines import MOST_VIDEOS, best_positions
from .evaluation_files import captions_file, training_file
from .frame_folders import encode_folders, policy_config
from .gallery import Gallery, chosen_before, load_gallery, stored_by_id
from .metrics import RetrievalMetrics, retrieval_metrics
from .queries import QueryFeatures, query_features
from .rivals import Line, Model, Operations, operations, rivals
from .text_tower import queries_encoder

log = logging.getLogger("clipreel")
RESULTS = "results.json"
NUM_FRM, MAX_TXT_LEN = 16, 77
ROUNDING = 1e-6  # of cosines in float32


@dataclass(frozen=True)
class Measured:
    """What a line of the table is and what came out of it."""

    line: Line
    metrics: RetrievalMetrics


@dataclass(frozen=True)
class RetrievalEvaluation:
    """`method` first, then what stands beside it. `notes` say what could not be measured, and why."""

    method: Measured
    baselines: tuple[Measured, ...]
    encoder: EncoderIdentity
    num_frm: int
    concat_captions: CaptionRule
    missing: tuple[str, ...]
    cut_texts: int
    notes: tuple[str, ...]
    operations: Operations
    seconds: float
    path: Path | None = None


@dataclass(frozen=True)
class _Settings:
    """What the config and the checkpoint come to together."""

    num_frm: int
    top_k: int
    rule: CaptionRule
    max_txt_len: int
    selection: str  # adaclip, uniform or kmedoids


def run(config: RetrievalEvaluateConfig, *, encoder: Encoder | None = None, quiet: bool = False) -> RetrievalEvaluation:
    """Evaluate, and write results.json into output_path. `quiet`: no bar.

    Raises InputError, ConfigError, StoredDataError, WeightsError before anything is measured.
    """
    began = time.monotonic()
    device = str(encoder.device) if encoder is not None else resolve_devices(None, config.device)[0]
    checkpoint = None if config.checkpoint is None else load_checkpoint(Path(config.checkpoint).expanduser(), device)
    settings = _settings(config, checkpoint)
    videos = read_annotations(captions_file(config))
    folder = Path(config.output_path).expanduser()
    prepare(folder)
    features, looks, encoder = _features(config, checkpoint, videos, settings.num_frm, folder, encoder, device, quiet)
    gallery = load_gallery(features, [video.video_id for video in videos], settings.num_frm, looks)
    _check(config, checkpoint, gallery, encoder)
    texts = _Texts(config, checkpoint, gallery.encoder, settings, encoder, device)
    queries = texts.of(videos)
    positions, notes = _fixed_positions(config, settings, features, texts)
    if gallery.selected_by is not None:
        notes += ("the features are of the frames that the checkpoint chose before they were encoded: every choice is from those",)
    model = Model(checkpoint, config.frame_agg, config.qscore_temp, device)
    measured = []
    for line, similarity in rivals(model, gallery, queries.features, settings.top_k, settings.selection, positions, config.seed):
        measured.append(Measured(line, retrieval_metrics(similarity, queries.video_of, available=gallery.available,
                                                         resamples=config.bootstrap, seed=config.seed, tolerance=ROUNDING)))
    done = RetrievalEvaluation(
        measured[0], tuple(measured[1:]), gallery.encoder, settings.num_frm, settings.rule, gallery.missing, queries.cut, notes,
        operations(model, gallery, settings.top_k, texts.encoder.loaded), time.monotonic() - began, folder / RESULTS)
    from .report import record

    write_json(folder / RESULTS, record(done, config))
    return done


class _Texts:
    """Query features of videos' captions, through the store."""

    def __init__(self, config: RetrievalEvaluateConfig, checkpoint: Checkpoint | None, made_by: EncoderIdentity,
                 settings: _Settings, encoder: Encoder | None, device: str):
        self._settings = settings
        self.encoder = LazyEncoder(lambda: encoder_of(made_by, config.encoder_checkpoint, device), encoder)
        identity, self._load = made_by, self.encoder
        if checkpoint is not None and checkpoint.clip_state:
            identity, self._load = queries_encoder(checkpoint, config.encoder_checkpoint, device)
        self._store = CaptionFeatures(Path(config.texts).expanduser() / "texts", identity)

    def of(self, videos: Sequence[CaptionedVideo]) -> QueryFeatures:
        try:
            return query_features(videos, self._settings.rule, self._store, self._load, self._settings.max_txt_len)
        except OSError as error:
            raise ConfigError(f"texts: {self._store.folder} cannot be written ({error.strerror}); give texts=, a folder that "
                              "can") from error


def _settings(config: RetrievalEvaluateConfig, checkpoint: Checkpoint | None) -> _Settings:
    """Raises ConfigError where what is given is not what the checkpoint was trained with."""
    if checkpoint is None:
        num_frm = config.num_frm or config.top_k or NUM_FRM
        if config.frame_agg in ("mlp", "transformer"):
            log.warning("frame_agg=%s is trained, and there is no checkpoint: the mean is taken", config.frame_agg)
        return _Settings(num_frm, config.top_k or num_frm, config.concat_captions or "concat",
                         config.max_txt_len or MAX_TXT_LEN, config.selection or "uniform")
    options, texts = checkpoint.options, checkpoint.texts
    for name in ("num_frm", "top_k", "frame_agg"):
        given, trained = getattr(config, name), getattr(options, name)
        if given is not None and given != trained:
            raise ConfigError(f"{name}={given}: the checkpoint {config.checkpoint} was trained with {name}={trained}, and with "
                              "another it is another model; leave it out")
    for name in ("concat_captions", "max_txt_len"):
        given, trained = getattr(config, name), getattr(texts, name)
        if given is not None and given != trained:
            log.warning("%s=%s: the checkpoint was trained with %s", name, given, trained)
    if config.selection is not None and options.no_policy and config.selection == "adaclip":
        raise ConfigError(f"selection=adaclip: the checkpoint {config.checkpoint} was trained with no_policy=true and has no "
                          "selector; leave it out")
    return _Settings(options.num_frm, options.top_k, config.concat_captions or texts.concat_captions,
                     config.max_txt_len or texts.max_txt_len,
                     config.selection or ("uniform" if options.no_policy else "adaclip"))


def _features(config: RetrievalEvaluateConfig, checkpoint: Checkpoint | None, videos: Sequence[CaptionedVideo], num_frm: int,
              folder: Path, encoder: Encoder | None, device: str, quiet: bool) -> tuple[str, str | None, Encoder | None]:
    """Where the features lie and what the selector sees, and the encoder if one was loaded for them."""
    if config.frames_dir is None:
        assert config.features is not None
        return config.features, config.policy_features, encoder
    if encoder is None and checkpoint is not None:
        encoder = encoder_of(checkpoint.encoder, config.encoder_checkpoint, device)
    policy = None if checkpoint is None or checkpoint.policy is None else policy_config(
        checkpoint.policy, config.policy_checkpoint, device)
    listed = [video.video_id for video in videos]
    features = encode_folders(config.frames_dir, listed, num_frm, folder, encoder=encoder, encoder_config=config.frames_encoder,
                              batch_size=config.batch_size, device=device, quiet=quiet)
    if policy is None:
        return features, config.policy_features, encoder
    return features, encode_folders(config.frames_dir, listed, num_frm, folder, encoder=None, encoder_config=policy,
                                    batch_size=config.batch_size, device=device, quiet=quiet), encoder


def _check(config: RetrievalEvaluateConfig, checkpoint: Checkpoint | None, gallery: Gallery, encoder: Encoder | None) -> None:
    """Raises ConfigError where the checkpoint knows other features than these, or texts would come from another model."""
    if encoder is not None and encoder.identity != gallery.encoder:
        raise ConfigError(f"the features were made by {gallery.encoder}, and the encoder that is given is {encoder.identity}: give "
                          "that one")
    if checkpoint is None:
        return
    if gallery.encoder != checkpoint.encoder:
        raise ConfigError(f"the features were made by {gallery.encoder}, and the checkpoint {config.checkpoint} knows those of "
                          f"{checkpoint.encoder}: give features= of that model")
    assert config.checkpoint is not None
    if not chosen_before(gallery.selected_by, checkpoint, config.checkpoint) and checkpoint.policy != gallery.policy_encoder:
        wanted = "none" if checkpoint.policy is None else f"those of {checkpoint.policy}"
        raise ConfigError(f"policy_features={config.policy_features}: the checkpoint's selector (policy_backbone="
                          f"{checkpoint.options.policy_backbone}) needs {wanted}")


def _fixed_positions(config: RetrievalEvaluateConfig, settings: _Settings, features: str,
                     texts: _Texts) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """The best fixed positions on the training videos, or why there are none."""
    path = training_file(config)
    if path is None:
        return None, ("best fixed positions: not measured, there is no train_annot to learn them from",)
    stored, _ = stored_by_id("features", features, None)
    videos = tuple(video for video in read_annotations(path) if video.video_id in stored)
    if not videos:
        return None, (f"best fixed positions: not measured, no video of {path} has features in {features}",)
    if len(videos) > MOST_VIDEOS:
        drawn = np.random.default_rng(config.seed).permutation(len(videos))[:MOST_VIDEOS]
        videos = tuple(videos[place] for place in np.sort(drawn))
    gallery = load_gallery(features, [video.video_id for video in videos], settings.num_frm)
    queries = texts.of(videos)
    sums = np.zeros((len(videos), queries.features.shape[1]), dtype=np.float32)
    np.add.at(sums, queries.video_of, queries.features)
    unit = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    return best_positions(unit, gallery.features, gallery.mask, settings.top_k), ()
