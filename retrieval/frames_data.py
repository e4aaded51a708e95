"""Pictures of videos for training from frames: folders of JPEGs, or the video files themselves, read ahead by threads."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..errors import ConfigError, DamagedVideoError, IndexMismatchError, InputError
from ..extract.decode.images import read_picture
from ..extract.decode.registry import reader_for
from ..extract.sampling import thinned
from ..models.base import PreprocessSpec
from ..models.preprocess import preprocess_frames

VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm", ".avi")


@dataclass(frozen=True)
class FrameRule:
    """Which `num_frm` frames of a video are candidates. uniform: the first of each of so many equal parts (segment_sampling:
    the middle); random: drawn anew for every epoch, without repeats. Of fewer frames all, and masked repeats."""

    num_frm: int
    sampling: str = "uniform"
    segment_sampling: bool = False

    def rows(self, count: int, drawn: Sequence[int] | None = None) -> np.ndarray:
        """Places int64 [num_frm] among `count` frames, never decreasing. `drawn`: the seeds, where sampling is random."""
        if count > self.num_frm and self.sampling == "random" and drawn is not None:
            return np.sort(np.random.default_rng(list(drawn)).choice(count, self.num_frm, replace=False))
        if count > self.num_frm and self.segment_sampling:
            return np.floor((np.arange(self.num_frm) + 0.5) * count / self.num_frm).astype(np.int64)
        return thinned(count, self.num_frm)


@dataclass(frozen=True, eq=False)
class Pictures:
    """The candidates of some videos, for the CLIP and (where it has eyes of its own) for the selector."""

    crops: torch.Tensor  # uint8 [b, N, 3, S, S]
    looks: torch.Tensor | None  # uint8 [b, N, 3, s, s]
    mask: torch.Tensor  # bool [b, N]


class FrameFolder:
    """Videos below frames_dir by their id: `<id>/` with pictures named by img_tmpl from 1 on, else `<id>.mp4` and the like.

    Raises InputError where the folder is not there, or holds none of the videos.
    """

    def __init__(self, folder: str, img_tmpl: str, specs: Sequence[PreprocessSpec], threads: int):
        self._folder, self._template, self._specs = Path(folder).expanduser(), img_tmpl, tuple(specs)
        if not self._folder.is_dir():
            raise InputError(f"frames_dir={folder}: there is no such folder; `frames VIDEOS FRAMES` makes one")
        try:
            distinct = img_tmpl.format(1) != img_tmpl.format(2)
        except (IndexError, KeyError, ValueError):
            distinct = False
        if not distinct:
            raise ConfigError(f"img_tmpl={img_tmpl}: allowed is a name with a place for the picture's number, such as "
                              "image_{:05d}.jpg")
        self._threads = ThreadPoolExecutor(threads)
        self._asked: dict[tuple[str, tuple[int, ...]], Future[tuple[list[torch.Tensor], np.ndarray]]] = {}
        self._counts: dict[str, int] = {}

    def available(self, video_ids: Sequence[str]) -> np.ndarray:
        """bool [V]: which are there, with a picture at least. Raises InputError where none is."""
        there = np.array([self._path(video_id) is not None for video_id in video_ids], dtype=bool)
        if len(there) and not there.any():
            raise InputError(f"frames_dir={self._folder}: holds none of the {len(video_ids)} videos, no {video_ids[0]}/"
                             f"{self._template.format(1)} and no {video_ids[0]}{VIDEO_SUFFIXES[0]}")
        return there

    def ask(self, video_id: str, rule: FrameRule, drawn: Sequence[int] = ()) -> None:
        """Begin to read a video; `take` will want it."""
        key = (video_id, tuple(drawn))
        if key not in self._asked:
            self._asked[key] = self._threads.submit(self._read, video_id, rule, drawn)

    def take(self, videos: Sequence[tuple[str, Sequence[int]]], rule: FrameRule) -> Pictures:
        """The candidates of (video id, seeds). Raises VideoError for one that cannot be read."""
        for video_id, drawn in videos:
            self.ask(video_id, rule, drawn)
        read = [self._asked[video_id, tuple(drawn)].result() for video_id, drawn in videos]
        for video_id, drawn in videos:
            self._asked.pop((video_id, tuple(drawn)), None)
        kinds = [torch.stack([torch.as_tensor(parts[kind]) for parts, _ in read]) for kind in range(len(self._specs))]
        return Pictures(kinds[0], kinds[1] if len(kinds) > 1 else None, torch.from_numpy(np.stack([mask for _, mask in read])))

    def _path(self, video_id: str) -> Path | None:
        pictures = self._folder / video_id
        if pictures.is_dir():
            return pictures if self._count(pictures) else None
        files = (self._folder / f"{video_id}{suffix}" for suffix in ("", *VIDEO_SUFFIXES))
        return next((path for path in files if path.is_file()), None)

    def _count(self, pictures: Path) -> int:
        """How many there are: looked up once."""
        if pictures.name not in self._counts:
            suffix = Path(self._template).suffix.lower()
            self._counts[pictures.name] = sum(path.suffix.lower() == suffix for path in pictures.iterdir())
        return self._counts[pictures.name]

    def _read(self, video_id: str, rule: FrameRule, drawn: Sequence[int]) -> tuple[list[torch.Tensor], np.ndarray]:
        """Candidates for each of the specs, uint8 [N, 3, S, S], and their mask [N]."""
        path = self._path(video_id)
        assert path is not None
        if path.is_dir():
            rows = rule.rows(self._count(path), drawn or None)
            distinct, places = np.unique(rows, return_inverse=True)
            pictures = [read_picture(path / self._template.format(row + 1)) for row in distinct.tolist()]
            parts = [torch.cat([preprocess_frames(picture, spec) for picture in pictures]) for spec in self._specs]
        else:
            rows, parts = self._decode(path, rule, drawn)
            places = np.unique(rows, return_inverse=True)[1]
        return [part[torch.from_numpy(places)] for part in parts], np.diff(rows, prepend=-1) > 0

    def _decode(self, path: Path, rule: FrameRule, drawn: Sequence[int]) -> tuple[np.ndarray, list[torch.Tensor]]:
        """Which frames, and the distinct ones of them. A video whose packets lied is indexed again by decoding."""
        reader = reader_for(path, "auto", None)
        for by_decoding in (False, True):
            index = reader.index(path, by_decoding=by_decoding)
            rows = rule.rows(len(index), drawn or None)
            found: dict[int, list[torch.Tensor]] = {}
            try:
                for batch in reader.frames(index, np.unique(rows)):
                    kinds = [preprocess_frames(batch.pixels, spec) for spec in self._specs]
                    found |= {place: [kind[number] for kind in kinds] for number, place in enumerate(batch.frames.tolist())}
            except IndexMismatchError:
                continue
            return rows, [torch.stack([found[place][kind] for place in sorted(found)]) for kind in range(len(self._specs))]
        raise DamagedVideoError(f"{path}: frames that its packets promise do not decode")
