"""The usual flow of ViCLIP on Video-MME, timed, as the yardstick of videoqa_features.py.

For every question: OpenCV decodes the video, 8 frames are resized and normalised in float64, the video is encoded, and the
options are encoded one by one, where a text that came before is remembered (as the original's cache does). The network is
ours, the same on both sides, with inference_mode and the same threads: what differs is the flow alone.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import cv2  # pyright: ignore[reportMissingImports]
import numpy as np
import torch
from clipreel.models.viclip.network import ViCLIP
from clipreel.models.viclip.tokenizer import tokenize

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
NUM_FRAMES, SIZE, CONTEXT = 8, 224, 32


@dataclass
class SeedFlow:
    """Answers question by question; `seconds` says where the time went."""

    network: ViCLIP
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("decode", "prepare", "video", "texts"), 0.0))
    remembered: dict[str, torch.Tensor] = field(default_factory=dict)

    @torch.inference_mode()
    def answer(self, video: Path, options: list[str]) -> int:
        """The place of the option with the highest probability."""
        frames = self._timed("decode", lambda: _decode(video))
        clip = self._timed("prepare", lambda: _prepare(frames))
        seen = self._timed("video", lambda: _unit(self.network.encode_clips(clip)))
        texts = self._timed("texts", lambda: torch.cat([self._text(option) for option in options]))
        return int((100 * seen @ texts.T).softmax(dim=-1).argmax())

    def _text(self, option: str) -> torch.Tensor:
        if option not in self.remembered:
            self.remembered[option] = _unit(self.network.encode_text(tokenize([option], CONTEXT)))
        return self.remembered[option]

    def _timed(self, part, work):
        began = time.perf_counter()
        done = work()
        self.seconds[part] += time.perf_counter() - began
        return done


def _decode(video: Path) -> list[np.ndarray]:
    capture, frames = cv2.VideoCapture(str(video)), []
    more, frame = capture.read()
    while more:
        frames.append(frame)
        more, frame = capture.read()
    return frames


def _prepare(frames: list[np.ndarray]) -> torch.Tensor:
    step = len(frames) // NUM_FRAMES
    chosen = [cv2.resize(frame[:, :, ::-1], (SIZE, SIZE)) for frame in frames[::step][:NUM_FRAMES]]
    pixels = (np.stack(chosen) / 255.0 - MEAN) / STD
    return torch.from_numpy(pixels).float().permute(0, 3, 1, 2)[None]  # [1, 8, 3, 224, 224]


def _unit(features: torch.Tensor) -> torch.Tensor:
    return features.float() / features.float().norm(dim=-1, keepdim=True)
