"""One run of differencing: pairs, proposals, features, frames, verdicts, files."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from .. import __version__
from ..configs.differencing_schema import DifferencingConfig
from ..errors import ClipreelError, ConfigError, InputError
from ..extract.decode.at import frames_at
from ..extract.devices import resolve_devices
from ..extract.stage_files import prepare, write_json, write_text
from ..extract.store.find import StoredVideo
from ..extract.stored import encoder_of, stored_of_one_model
from ..extract.text_features import TextFeatures
from ..models.base import Encoder
from ..models.registry import load_encoder
from .calls import LanguageClient
from .connect import client_of
from .dataset import read_pairs
from .judges.base import Judge
from .judges.registry import JUDGES
from .localize import LocalizationScore, linked_texts, localize, score_localization, stage_features_of, summarize
from .proposal_file import check_annotated, holds, proposals_record, read_proposals
from .propose import Proposer
from .records import Clip, Difference, Localization, Pair, Pictures, Proposal, Question, Track, Verdict
from .similarity import Tracks, encode_texts, sampling_fps, stored_tracks_of, tracks_of

log = logging.getLogger("clipreel")
PREDICTIONS, PROPOSALS, RUN = "predictions.json", "proposals.json", "run.json"


@dataclass(frozen=True)
class PairResult:
    """What came out for one pair. `reason`: why it failed; then there are no verdicts."""

    pair: Pair
    proposal: Proposal | None = None
    tracks: tuple[Track, Track] | None = None
    localizations: tuple[Localization, Localization] | None = None
    verdicts: tuple[Verdict, ...] = ()
    reason: str | None = None


@dataclass(frozen=True)
class DifferencingRun:
    """Results in the pairs' order; `run` is what run.json says, and `folder` where the files are."""

    results: list[PairResult]
    run: dict[str, Any]
    folder: Path
    localization: LocalizationScore = field(default_factory=lambda: summarize([]))

    @property
    def exit_code(self) -> int:
        return 1 if any(result.reason is not None for result in self.results) else 0


def run(config: DifferencingConfig, *, encoder: Encoder | None = None, quiet: bool = False) -> DifferencingRun:
    """All three stages for every pair. A pair that fails is a row of the result.

    Raises UsageError before anything is started: no pair, no way to propose, weights that cannot be had.
    """
    pairs = pairs_of(config)
    given = _given(config, pairs)
    if given is not None:  # videos of one's own may leave the action to the file
        pairs = [pair if pair.action_description else replace(pair, action=given[pair.key].action,
                                                              action_description=given[pair.key].action) for pair in pairs]
    with closing(client_of(config)) as client:
        stored, encoder = _stored_and_encoder(config, encoder)
        prepare(Path(config.output_path).expanduser() / config.name)
        return _run(config, pairs, given, client, stored, encoder, quiet=quiet)


def _run(config: DifferencingConfig, pairs: Sequence[Pair], given: Mapping[str, Proposal] | None, client: LanguageClient,
         stored: list[StoredVideo] | None, encoder: Encoder, *, quiet: bool) -> DifferencingRun:
    seconds: dict[str, float] = {}
    folder = Path(config.output_path).expanduser() / config.name
    began = time.perf_counter()
    proposed = dict(given) if given is not None else Proposer(
        client, config.proposer_model, config.seed, config.retrieval_strings).propose(pairs, is_open=config.eval_mode == "open")
    proposals = {key: proposal for key, proposal in proposed.items() if isinstance(proposal, Proposal)}
    _write_proposals(config, folder / PROPOSALS, proposals)
    seconds["propose"] = time.perf_counter() - began
    began = time.perf_counter()
    root = Path(config.output_path).expanduser() / "features"
    ready = [pair for pair in pairs if pair.key in proposals]
    found = (tracks_of(config, ready, encoder, root, quiet=quiet) if stored is None
             else stored_tracks_of(config, ready, stored))
    texts = TextFeatures(root / "texts", encoder.identity)
    unread = _encode(texts, proposals, encoder)
    seconds["features"] = time.perf_counter() - began
    began = time.perf_counter()
    results, errors = [], []
    for pair in pairs:
        proposal = proposed[pair.key]
        if not isinstance(proposal, Proposal):
            results.append(PairResult(pair, reason=proposal))
            continue
        result = (PairResult(pair, proposal, reason=unread[pair.key]) if pair.key in unread
                  else _localized(config, pair, proposal, found, texts))
        results.append(result)
        if result.tracks is not None and result.localizations is not None:
            times = [found.frame_seconds[clip] for clip in pair.clips]
            errors += score_localization(pair, result.tracks, result.localizations, times)
    seconds["localize"] = time.perf_counter() - began
    began = time.perf_counter()
    may_abstain = not (config.dataset and config.eval_mode == "closed")
    judge = JUDGES[config.judge](config, client, encoder, texts, may_abstain)
    results = _judged(config, results, judge)
    seconds["judge"] = time.perf_counter() - began
    localization = summarize(errors)
    account = _account(config, encoder, judge, results, client, localization, seconds)
    write_json(folder / PREDICTIONS, {result.pair.key: _prediction(result) for result in results if result.reason is None})
    write_json(folder / RUN, account)
    return DifferencingRun(results, account, folder, localization)


def pairs_of(config: DifferencingConfig) -> list[Pair]:
    """The dataset's, or the one of `videos=`."""
    if config.dataset:
        return read_pairs(config.dataset, split=config.split, subset_mode=config.subset_mode, video_root=config.video_root)
    paths = [Path(video).expanduser() for video in config.videos]
    absent = next((path for path in paths if not path.exists()), None)
    if absent is not None:
        raise InputError(f"videos: {absent} is not there")
    if paths[0].samefile(paths[1]):
        raise InputError(f"videos: both are {paths[0]}; give two videos")
    pictures = next((path for path in paths if path.is_dir()), None)
    if pictures is not None and config.fps is None:
        raise ConfigError(f"videos: {pictures} is a folder of pictures, and nothing says how many a second: give fps=, such as "
                          "fps=25")
    first, second = (Clip(path, config.fps if path.is_dir() else None) for path in paths)
    action = config.action or ""
    return [Pair(f"{paths[0].stem}-{paths[1].stem}", action, action, (first, second))]


def _given(config: DifferencingConfig, pairs: Sequence[Pair]) -> dict[str, Proposal] | None:
    """What proposals= holds. Raises InputError where it does not fit the pairs."""
    if config.proposals is None:
        return None
    given = read_proposals(config.proposals, pairs)
    if config.dataset and config.eval_mode == "closed":
        for pair in pairs:
            check_annotated(config.proposals, pair, given[pair.key])
    return given


def _write_proposals(config: DifferencingConfig, path: Path, proposals: Mapping[str, Proposal]) -> None:
    """The file that was read stays as it is; another one that was there, perhaps edited, is kept beside."""
    if config.proposals is not None and path.exists() and path.samefile(Path(config.proposals).expanduser()):
        return
    record = proposals_record(proposals)
    if path.is_file() and not holds(path, record):
        kept = path.with_name(f"{path.stem}.before{path.suffix}")
        write_text(kept, path.read_text(encoding="utf-8", errors="replace"))
        log.info("%s was another one: kept as %s", path, kept.name)
    write_json(path, record)


def _stored_and_encoder(config: DifferencingConfig, encoder: Encoder | None) -> tuple[list[StoredVideo] | None, Encoder]:
    """What features= holds, if it is given, and the model: the one that is given, that made those, or that is configured."""
    if config.features is None:
        if encoder is None:
            encoder = load_encoder(**asdict(config.encoder), device=resolve_devices(config.device_ids, config.device)[0])
        return None, encoder
    stored, identity = stored_of_one_model(config.features)
    if encoder is None:
        encoder = encoder_of(identity, config.encoder.checkpoint, resolve_devices(config.device_ids, config.device)[0])
    if encoder.identity.weights_sha256 != identity.weights_sha256:
        raise ConfigError(f"features={config.features}: were made by {identity.model_name} with weights of SHA-256 "
                          f"{identity.weights_sha256}, not by the encoder that is given")
    return stored, encoder


def _encode(texts: TextFeatures, proposals: Mapping[str, Proposal], encoder: Encoder) -> dict[str, str]:
    """All retrieval strings at once; where one is refused, pair by pair. Returns why which pairs fail."""
    try:
        encode_texts(texts, [text for proposal in proposals.values() for text in linked_texts(proposal)], encoder)
        return {}
    except ConfigError:
        failed = {}
    for key, proposal in proposals.items():
        try:
            encode_texts(texts, linked_texts(proposal), encoder)
        except ConfigError as error:
            failed[key] = f"stage 2: {error}"
    return failed


def _localized(config: DifferencingConfig, pair: Pair, proposal: Proposal, found: Tracks, texts: TextFeatures) -> PairResult:
    fps = sampling_fps(config, pair)
    for clip in pair.clips:
        if (clip, fps) in found.failed:
            return PairResult(pair, proposal, reason=f"stage 2: {found.failed[clip, fps]}")
    a, b = (found.tracks[clip, fps] for clip in pair.clips)
    known = {text: texts.matrix[row] for text, row in zip(linked_texts(proposal), texts.rows(linked_texts(proposal)), strict=True)}
    stages = stage_features_of(proposal, known)
    first, second = (localize(proposal, track, stages, segmentation=config.segmentation, frames=config.frames,
                              key=f"{config.seed}/{pair.key}/{side}") for side, track in (("a", a), ("b", b)))
    return PairResult(pair, proposal, (a, b), (first, second))


def _judged(config: DifferencingConfig, results: Sequence[PairResult], judge: Judge) -> list[PairResult]:
    """Pictures are read pair by pair, when the judge comes to them."""
    failed: dict[str, str] = {}
    asked: list[str] = []

    def questions() -> Iterator[list[Question]]:
        for result in results:
            if result.reason is not None:
                continue
            try:
                some = list(_questions(config, result))
            except ClipreelError as error:
                failed[result.pair.key] = f"stage 3: {error}"
                continue
            asked.append(result.pair.key)
            yield some

    judged = judge.judge(questions())
    verdicts = dict(zip(asked, judged, strict=True))
    failed |= {key: reason for key, reason in verdicts.items() if isinstance(reason, str)}
    return [replace(result, reason=failed.get(result.pair.key, result.reason),
                    verdicts=() if result.pair.key in failed else tuple(verdicts.get(result.pair.key, ()))) for result in results]


def _questions(config: DifferencingConfig, result: PairResult) -> Iterator[Question]:
    """In closed benchmark runs what has no label of a or b is not scored, and not asked."""
    assert result.proposal is not None
    assert result.tracks is not None
    assert result.localizations is not None
    pair = result.pair
    scored = {name for name, label in pair.truth.items() if label in ("a", "b")}
    only = scored if config.dataset and config.eval_mode == "closed" else None
    wanted = [one for one in result.proposal.differences if only is None or one.id in only]
    sides = [_pictures(clip, track, localization, wanted)
             for clip, track, localization in zip(pair.clips, result.tracks, result.localizations, strict=True)]
    for difference in wanted:
        yield Question(f"{pair.key}/{difference.id}", pair.action_description, difference,
                       sides[0][difference.id], sides[1][difference.id])


def _pictures(clip: Clip, track: Track, localization: Localization, wanted: Sequence[Difference]) -> Mapping[str, Pictures]:
    """Each frame is decoded once, whatever the number of differences that it shows."""
    chosen = {one.id: localization.chosen[one.id].frames for one in wanted}
    frames = sorted({frame for some in chosen.values() for frame in some})
    if not frames:
        return {}
    batch = frames_at(clip.path, track.file_timestamps_ms[frames], fps=clip.fps if clip.path.is_dir() else None)
    row = {frame: number for number, frame in enumerate(frames)}
    return {name: Pictures(batch.pixels[[row[frame] for frame in some]], track.timestamps_seconds[list(some)])
            for name, some in chosen.items()}


def _prediction(result: PairResult) -> dict[str, Any]:
    """The benchmark's form (description, prediction), and what else is known. "c" is its word for no clear difference."""
    assert result.proposal is not None
    statements = {one.id: one.statement for one in result.proposal.differences}
    return {verdict.difference_id: {
        "description": statements[verdict.difference_id], "prediction": "c" if verdict.answer == "none" else verdict.answer,
        "confidence": verdict.confidence, "explanation": verdict.explanation} for verdict in result.verdicts}


def _account(config: DifferencingConfig, encoder: Encoder, judge: Judge, results: Sequence[PairResult], client: LanguageClient,
             localization: LocalizationScore, seconds: Mapping[str, float]) -> dict[str, Any]:
    verdicts = [verdict for result in results for verdict in result.verdicts]
    return {
        "version": __version__, "eval_mode": config.eval_mode, "dataset": config.dataset, "split": config.split,
        "subset_mode": config.subset_mode, "seed": config.seed, "segmentation": config.segmentation, "frames": config.frames,
        "encoder": asdict(encoder.identity), "judge": judge.identity, "proposals": config.proposals or config.proposer_model,
        "pairs": len(results), "failed": {result.pair.key: result.reason for result in results if result.reason is not None},
        "answers": {answer: sum(verdict.answer == answer for verdict in verdicts)
                    for answer in ("a", "b", "none", "undecided", "invalid")},
        "localization": asdict(localization), "calls": asdict(client.spending),
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
    }
