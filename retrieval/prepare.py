"""From published annotations and a folder of videos to our annotation files and a list of the videos that are there."""

from __future__ import annotations

import csv
import io
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..configs.retrieval_evaluate_schema import RetrievalPrepareConfig
from ..errors import InputError
from ..extract.decode.images import PICTURE_SUFFIXES
from ..extract.stage_files import prepare, write_json, write_text
from ..extract.videos import VIDEO_SUFFIXES
from .converters import CONVERTERS, Annotated, Splits
from .gallery import ID_COLUMN

log = logging.getLogger("clipreel")
VIDEO_LIST, MISSING_LIST = "videos.csv", "missing.txt"


@dataclass(frozen=True)
class Prepared:
    """`splits`: split -> its annotation file; counts by split."""

    splits: Mapping[str, Path]
    videos: Mapping[str, int]
    captions: Mapping[str, int]
    missing: tuple[str, ...]
    video_list: Path | None
    missing_list: Path | None


def run(config: RetrievalPrepareConfig) -> Prepared:
    """Write <split>.json, videos.csv and missing.txt. Raises InputError, ConfigError."""
    source = Path(config.annotations).expanduser()
    if not source.exists():
        raise InputError(f"annotations={config.annotations}: there is no such file or folder")
    splits = _checked(config, CONVERTERS[config.dataset](source))
    found = None if config.videos is None else _found(Path(config.videos).expanduser())
    folder = Path(config.folder).expanduser()
    prepare(folder)
    paths: dict[str, Path] = {}
    missing: dict[str, None] = {}
    written = {}
    for split, videos in splits.items():
        lacking = []
        for name, said in videos.items():
            if found is None:
                continue
            path = _path_of(name, found)
            if path is None:
                lacking.append(name)
            else:
                paths[name] = path
                said.said["extension"] = path.suffix.removeprefix(".")
        missing |= dict.fromkeys(lacking)
        if lacking:
            log.warning("%s: %d of %d videos are not in %s; they stay in the gallery and count as misses (%s%s)", split,
                        len(lacking), len(videos), config.videos, ", ".join(lacking[:3]), ", …" if len(lacking) > 3 else "")
        written[split] = folder / f"{split}.json"
        write_json(written[split], {name: {**said.said, "sentences": said.sentences} for name, said in videos.items()})
    video_list = missing_list = None
    if found is not None:
        video_list, missing_list = folder / VIDEO_LIST, folder / MISSING_LIST
        write_text(video_list, _listed(paths))
        write_text(missing_list, "".join(f"{name}\n" for name in missing))
    return Prepared(written, {split: len(videos) for split, videos in splits.items()},
                    {split: sum(len(said.sentences) for said in videos.values()) for split, videos in splits.items()},
                    tuple(missing), video_list, missing_list)


def _checked(config: RetrievalPrepareConfig, splits: Splits) -> Splits:
    """Without empty captions, and videos that have no other. Raises InputError where nothing is left."""
    kept: Splits = {}
    for split, videos in splits.items():
        for name, said in videos.items():
            sentences = [sentence for sentence in said.sentences if sentence.strip()]
            if len(sentences) < len(said.sentences):
                log.warning("%s: %r has %d empty captions, which are left out", split, name, len(said.sentences) - len(sentences))
            if sentences:
                kept.setdefault(split, {})[name] = Annotated(sentences, said.said)
    if not kept:
        raise InputError(f"annotations={config.annotations}: holds no captions")
    if unusable := [split for split in kept if "/" in split or split.startswith(".")]:
        raise InputError(f"annotations={config.annotations}: the split {unusable[0]!r} cannot name a file")
    return kept


def _found(folder: Path) -> dict[str, Path]:
    """Videos below the folder by file name and by name without suffix, and folders of pictures by theirs; the first counts."""
    if not folder.is_dir():
        raise InputError(f"videos={folder}: there is no such folder")
    found: dict[str, Path] = {}
    for current, folders, names in os.walk(folder, followlinks=True):
        folders.sort()
        suffixes = {Path(name).suffix.lower() for name in names if not name.startswith(".")}
        if suffixes and not folders and suffixes <= PICTURE_SUFFIXES:
            found.setdefault(Path(current).name, Path(current))
        for name in sorted(names):
            if Path(name).suffix.lower() in VIDEO_SUFFIXES:
                found.setdefault(name, Path(current, name))
                found.setdefault(Path(name).stem, Path(current, name))
    return found


def _path_of(name: str, found: Mapping[str, Path]) -> Path | None:
    """DiDeMo's ids end with the suffix that a video had before it was made an mp4: with it, then without."""
    return found.get(name) or (found.get(Path(name).stem) if Path(name).suffix.lower() in VIDEO_SUFFIXES else None)


def _listed(paths: Mapping[str, Path]) -> str:
    """A CSV for file_with_video_paths=; the ids travel into the features' metadata."""
    listed = io.StringIO(newline="")
    rows = csv.writer(listed)
    rows.writerow(["path", "id", ID_COLUMN])
    rows.writerows([os.path.abspath(path), name, name] for name, path in paths.items())
    return listed.getvalue()
