"""What training says while it goes on: a line an epoch, log.csv, losses.csv, and TensorBoard's files where they are asked for."""

from __future__ import annotations

import csv
import io
import logging
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ..errors import MissingExtraError
from ..extract.stage_files import write_text

log = logging.getLogger("clipreel")


@dataclass(frozen=True)
class EpochRecord:
    """One epoch (from 0). `loss`: the mean over its steps; R@1 and mean rank are those of validation, None without one."""

    epoch: int
    loss: float
    learning_rate: float  # at its end, of everything but the CLIP
    tau: float
    k: int
    seconds: float  # of the steps
    pairs_per_second: float
    text_to_video_recall_1: float | None = None
    text_to_video_mean_rank: float | None = None
    video_to_text_recall_1: float | None = None
    video_to_text_mean_rank: float | None = None

    def is_better_than(self, other: EpochRecord | None) -> bool:
        """By R@1 from text to video, then by the mean rank. Without validation the later one is better."""
        if other is None or self.text_to_video_recall_1 is None or other.text_to_video_recall_1 is None:
            return True
        mine, others = ((one.text_to_video_recall_1 or 0.0, -(one.text_to_video_mean_rank or math.inf)) for one in (self, other))
        return mine > others


class TrainingLog:
    """Of the first process; the others' is silent."""

    def __init__(self, folder: Path, epochs: int, *, tensorboard_dir: str | None, quiet: bool, is_first: bool):
        from tqdm import tqdm

        self._folder, self._epochs, self._quiet, self._is_first = folder, epochs, quiet, is_first
        self._bar: Any = tqdm(unit="step", file=sys.stderr, disable=True if quiet or not is_first else None)
        self._board = _board(tensorboard_dir) if tensorboard_dir is not None and is_first else None

    def begin(self, epoch: int, steps: int) -> None:
        self._bar.reset(total=steps)
        self._bar.set_description(f"epoch {epoch + 1} of {self._epochs}", refresh=False)

    def step(self, number: int, loss: float, factor: float, *, line: bool) -> None:
        """Step `number` of the whole training; `line`: also say it."""
        self._bar.set_postfix_str(f"loss {loss:.4f}", refresh=False)
        self._bar.update()
        if self._board is not None:
            self._board.add_scalar("loss", loss, number)
            self._board.add_scalar("learning_rate_factor", factor, number)
        if line and self._is_first and not self._quiet:
            log.info("step %d: loss %.4f", number, loss)

    def end(self, records: Sequence[EpochRecord], losses: Sequence[float]) -> None:
        """Of an epoch: its line, and the files anew. Raises ConfigError where they cannot be written."""
        if not self._is_first:
            return
        last = records[-1]
        found = "" if last.text_to_video_recall_1 is None else (
            f", validation R@1 {last.text_to_video_recall_1:.1f} text to video, {last.video_to_text_recall_1:.1f} video to text")
        if not self._quiet:
            log.info("epoch %d of %d: loss %.4f, tau %.2f, k %d, %.0f pairs/s%s", last.epoch + 1, self._epochs, last.loss, last.tau,
                     last.k, last.pairs_per_second, found)
        if self._board is not None:
            for name, value in asdict(last).items():
                if value is not None:
                    self._board.add_scalar(f"epoch/{name}", value, last.epoch)
            self._board.flush()
        write_text(self._folder / "log.csv", _csv([one.name for one in fields(EpochRecord)],
                                                  [list(asdict(record).values()) for record in records]))
        write_text(self._folder / "losses.csv", _csv(["step", "loss"], [[step, loss] for step, loss in enumerate(losses)]))

    def close(self) -> None:
        self._bar.close()
        if self._board is not None:
            self._board.close()


def _csv(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def _board(folder: str) -> Any:
    try:
        from torch.utils.tensorboard.writer import SummaryWriter
    except ImportError as error:
        raise MissingExtraError("tensorboard", "retrieval", f"tensorboard_dir={folder}") from error
    return SummaryWriter(str(Path(folder).expanduser()))
