"""`retrieval index …`: a vector a video into an index; what is there already and has not changed is left alone."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..configs.retrieval_search_schema import RetrievalIndexConfig
from ..errors import ClipreelError, ConfigError, StoredDataError
from ..extract.devices import resolve_devices
from ..extract.features import Features
from ..extract.report import Failure
from ..extract.store.find import StoredVideo
from ..models.adaclip.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from .gallery import stored_by_id
from .index import VectorIndex
from .index_files import MANIFEST, Approximate, IndexedVideo, Manifest, NewVideos, read_manifest
from .index_update import Change, refuse_other_vectors, update_index
from .video_vectors import FeaturesIdentity, LearnedVectors, MeanVectors, VideoVectors, place_of


@dataclass(frozen=True)
class IndexRun:
    """What became of an index. `gone`: videos of it whose features are not stored any more (`prune` takes them out);
    `unknown`: ids of delete= that it did not hold."""

    folder: Path
    change: Change
    unchanged: int
    gone: int = 0
    failed: list[Failure] = field(default_factory=list)
    approximate: Approximate | None = None
    seconds: float = 0.0
    unknown: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        return 1 if self.failed else 0


def run(config: RetrievalIndexConfig, *, quiet: bool = False,
        among: Callable[[list[StoredVideo]], list[StoredVideo]] | None = None) -> IndexRun:
    """Raises UsageError before anything is written; a video whose features are damaged is a row of the run. `among`: chooses which
    stored features count."""
    began, folder = time.perf_counter(), Path(config.output_path).expanduser()
    if config.features is None:
        index = VectorIndex.open(folder)
        held = index.rows_of(config.delete)
        nothing = NewVideos((), np.empty((0, index.manifest.dim), dtype=np.float32))
        change = update_index(folder, index.manifest, nothing, held)
        return _run(folder, change, began, unknown=tuple(one for one in config.delete if one not in held))
    root = Path(config.features).expanduser()
    stored, encoder = stored_by_id("features", config.features, None, among=among)
    if encoder.feature_type == "policy":
        raise ConfigError(f"features={config.features}: feature_type=policy looks at pictures only, so that no text could find "
                          "them: give features of a clip, open_clip or viclip")
    features = FeaturesIdentity.of(config.features, stored, encoder)
    checkpoint = None
    if config.checkpoint is not None:
        device = resolve_devices(None, config.device)[0]
        checkpoint = load_checkpoint(Path(config.checkpoint).expanduser(), device)
        maker: VideoVectors = LearnedVectors(features, checkpoint, config.checkpoint, config.policy_features, set(stored), device)
    else:
        if features.selected_by is not None:
            raise ConfigError(f"features={config.features}: their frames were chosen by a checkpoint before they were encoded: "
                              "give it with checkpoint=, or features of all frames")
        maker = MeanVectors(features, config.selection or "all", config.top_k)
    first = next(iter(stored.values())).mark
    assert first is not None  # stored_by_id reads what has none, which raises
    empty = Manifest(maker.identity, first.shape[1], config.dtype, config.structure, (os.path.abspath(root),))
    places = {video_id: place_of(video_id, video, root) for video_id, video in stored.items()}
    there = _there(folder, empty, config)
    todo = [video_id for video_id, place in places.items() if there.get(video_id) != place]
    gone = {video_id for video_id, place in there.items() if place.root == 0 and video_id not in places}
    made, failed = _vectors(maker, {video_id: stored[video_id] for video_id in todo}, config.batch_size, first.shape[1], quiet)
    delete = {*config.delete, *(gone if config.prune else ())}
    if delete & places.keys():
        raise StoredDataError(f"delete={sorted(delete & places.keys())}: are stored below features={config.features}, and would be "
                              "put in again; remove their features, or leave features= out")
    vectors = np.stack(list(made.values())) if made else np.empty((0, first.shape[1]), dtype=np.float32)
    new = NewVideos([places[video_id] for video_id in made], vectors)
    if not new.videos and there and not delete & there.keys() and not config.overwrite:
        change = Change(0, 0, 0, read_manifest(folder).alive)  # nothing to commit
    else:
        change = update_index(folder, empty, new, delete, overwrite=config.overwrite, checkpoint=_writer(checkpoint))
    return _run(folder, change, began, unchanged=len(places) - len(todo), gone=0 if config.prune else len(gone), failed=failed,
                unknown=tuple(one for one in config.delete if one not in there))


def _run(folder: Path, change: Change, began: float, *, unchanged: int = 0, gone: int = 0,
         failed: list[Failure] | None = None, unknown: tuple[str, ...] = ()) -> IndexRun:
    return IndexRun(folder, change, unchanged, gone, failed or [], read_manifest(folder).approximate, time.perf_counter() - began,
                    unknown)


def _there(folder: Path, empty: Manifest, config: RetrievalIndexConfig) -> Mapping[str, IndexedVideo]:
    """The videos of the index as it is, by id; the root of these features is number 0. Raises StoreConflictError."""
    if config.overwrite or not (folder / MANIFEST).exists():
        return {}
    index = VectorIndex.open(folder)
    refuse_other_vectors(folder, index.manifest, empty)
    number = index.manifest.roots.index(empty.roots[0]) if empty.roots[0] in index.manifest.roots else -1
    return {video.video_id: IndexedVideo(**{**vars(video), "root": 0 if video.root == number else -1}) for video in index.videos()}


def _vectors(maker: VideoVectors, videos: Mapping[str, StoredVideo], batch_size: int, dim: int,
             quiet: bool) -> tuple[dict[str, np.ndarray], list[Failure]]:
    """Unit vectors by id, and the videos whose features cannot be used."""
    from tqdm import tqdm

    made, failed = dict[str, np.ndarray](), list[Failure]()
    with tqdm(total=len(videos), unit="video", file=sys.stderr, disable=True if quiet or not videos else None) as bar:
        for batch in _batches(videos, batch_size, dim, failed):
            for video_id, vector in zip(batch, maker.of(batch), strict=True):
                if np.isfinite(vector).all() and vector.any():
                    made[video_id] = vector
                else:
                    failed.append(_failure(video_id, videos[video_id], StoredDataError(
                        f"{videos[video_id].place}: its features are zero or not finite, so it has no direction")))
            bar.update(len(batch))
    return made, failed


def _batches(videos: Mapping[str, StoredVideo], size: int, dim: int, failed: list[Failure]) -> Iterator[dict[str, Features]]:
    batch: dict[str, Features] = {}
    for video_id, video in videos.items():
        try:
            features = video.read(True)
            if features.features.shape[1] != dim:
                raise StoredDataError(f"{video.place}: has features of {features.features.shape[1]} numbers, others have {dim}")
            batch[video_id] = features
        except (StoredDataError, OSError) as error:
            failed.append(_failure(video_id, video, error))
        if len(batch) == size:
            yield batch
            batch = {}
    if batch:
        yield batch


def _failure(video_id: str, video: StoredVideo, error: Exception) -> Failure:
    reason = str(error) if isinstance(error, ClipreelError) else f"{video.place}: {error}"
    return Failure(str(video.file), video.key, type(error).__name__, reason, name=video_id)


def _writer(checkpoint: Checkpoint | None):
    return None if checkpoint is None else lambda path: save_checkpoint(path, checkpoint)
