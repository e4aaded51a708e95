"""Stored features for training loops: a torch Dataset over any store, and batches with padding and masks."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset

from ..errors import StoredDataError
from .stored import stored_of_one_model


@dataclass(frozen=True, eq=False)
class FeatureSample:
    """One video."""

    key: str
    features: torch.Tensor  # float32 [n, dim]
    timestamps_ms: torch.Tensor  # float64 [n]
    metadata: dict[str, str]  # the other columns of the list of videos


@dataclass(frozen=True, eq=False)
class FeatureBatch:
    """Videos of different lengths side by side; padding is 0, in times NaN."""

    keys: tuple[str, ...]
    features: torch.Tensor  # float32 [B, T, dim]
    mask: torch.Tensor  # bool [B, T], true where there is a row
    timestamps_ms: torch.Tensor  # float64 [B, T]
    metadata: tuple[dict[str, str], ...]

    def pin_memory(self) -> FeatureBatch:
        """What a DataLoader with pin_memory=True calls."""
        return FeatureBatch(self.keys, self.features.pin_memory(), self.mask.pin_memory(), self.timestamps_ms.pin_memory(),
                            self.metadata)


class FeatureDataset(Dataset[FeatureSample]):
    """The features below a folder, or in a packed file, of any format, all of one model. Read when asked for, so that workers of
    a DataLoader share the work: `DataLoader(dataset, batch_size=32, collate_fn=FeatureDataset.collate)`.

    Args:
        path: as for `load_features`, with any number of videos (at a URL each is read anew whenever it is asked for).
        keys: these videos, in this order; None is all, in order of names.
        max_rows: longer videos are thinned evenly to so many rows; None keeps every row.

    Raises: StoredDataError when nothing is stored there, a key is not, or several models made what is there.
    """

    def __init__(self, path: str | os.PathLike[str], keys: Sequence[str] | None = None, max_rows: int | None = None):
        if max_rows is not None and max_rows < 1:
            raise ValueError(f"max_rows={max_rows}: allowed is a whole number above 0")
        videos, self.encoder = stored_of_one_model(os.fspath(path))
        by_key = {video.key: video for video in videos}
        if len(by_key) < len(videos):
            twice = next(video for video in videos if by_key[video.key] is not video)
            raise StoredDataError(f"{path}: holds {twice.key!r} twice ({twice.place}; {by_key[twice.key].place}); name one "
                                  "folder or file, or move one of them away")
        absent = [key for key in keys or () if key not in by_key]
        if absent:
            raise StoredDataError(f"{path}: holds no features of {', '.join(absent[:5])}{', …' if len(absent) > 5 else ''}")
        self._videos = sorted(videos, key=lambda video: video.key) if keys is None else [by_key[key] for key in keys]
        self._max_rows = max_rows

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(video.key for video in self._videos)

    def __len__(self) -> int:
        return len(self._videos)

    def __iter__(self) -> Iterator[FeatureSample]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> FeatureSample:
        stored = self._videos[index].read(False)
        rows = np.arange(len(stored))
        if self._max_rows is not None and len(stored) > self._max_rows:  # the middles of equal parts
            rows = ((np.arange(self._max_rows) + 0.5) * len(stored) / self._max_rows).astype(np.int64)
        return FeatureSample(self._videos[index].key, torch.from_numpy(stored.features[rows].astype(np.float32)),
                             torch.from_numpy(stored.timestamps_ms[rows].astype(np.float64)), stored.provenance.metadata)

    @staticmethod
    def collate(samples: Sequence[FeatureSample]) -> FeatureBatch:
        """Samples as a batch as long as the longest of them."""
        lengths = torch.tensor([len(sample.features) for sample in samples])
        mask = torch.arange(int(lengths.max()))[None] < lengths[:, None]  # [B, T]
        features = torch.zeros(*mask.shape, samples[0].features.shape[1])  # [B, T, dim]
        times = torch.full(mask.shape, torch.nan, dtype=torch.float64)
        features[mask] = torch.cat([sample.features for sample in samples])
        times[mask] = torch.cat([sample.timestamps_ms for sample in samples])
        return FeatureBatch(tuple(sample.key for sample in samples), features, mask, times,
                            tuple(sample.metadata for sample in samples))
