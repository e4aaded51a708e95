"""A small drawn world with its stored features, for tests of training; made once a session."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipreel import extract_features
from clipreel.extract.text_features import CaptionFeatures
from clipreel.models.base import Encoder
from clipreel.sample.events import draw_world, write_world

TRAIN, TEST = 40, 12
EPOCHS = 12  # of the training that tests share
# Small networks: what is tested is training, not how well they do.
SMALL = {"num_frm": 16, "top_k": 4, "frame_agg": "mlp", "hidden_dim": 32, "mlp_hidden_dim": 32, "batch_size": 8,
         "concat_captions": "mean", "device": "cpu", "seed": 3, "learning_rate": 1e-3}


@dataclass(frozen=True)
class TrainingWorld:
    """train.json, test.json, features of `tiny` and its text features below `folder`."""

    folder: Path

    def keys(self, output: Path, **changes: Any) -> dict[str, Any]:
        """Of a small training into `output`."""
        return {**SMALL, "features": self.folder / "clip" / "tiny", "annotations": self.folder, "texts": self.folder,
                "output_path": output, **changes}

    def words(self, output: Path, **changes: Any) -> list[str]:
        """The same as on the command line."""
        return [f"{name}={str(value).lower() if isinstance(value, bool) else value}"
                for name, value in self.keys(output, **changes).items()]


def make_training_world(folder: Path, tiny: Encoder) -> TrainingWorld:
    """1.5 s."""
    for _ in write_world(folder, draw_world(TRAIN, TEST, 5)):
        pass
    extract_features(file_with_video_paths=folder / "videos.csv", encoder=tiny, extraction_total=16, batch_size=64,
                     on_extraction="save_numpy", output_path=folder)
    captions = [caption for split in ("train", "test") for video in json.loads((folder / f"{split}.json").read_text()).values()
                for caption in video["sentences"]]
    CaptionFeatures(folder / "texts", tiny.identity).fill(captions, lambda: tiny)  # so that other processes load no network
    return TrainingWorld(folder)
