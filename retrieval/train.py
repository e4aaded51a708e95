"""Training of the frame selection and aggregation: epochs over pairs, validation, checkpoints, and going on where it stopped.

Everything that is drawn (order, captions, noise) follows from the seed, the epoch and the step; so a training that was killed
and goes on ends where an unbroken one ends, and several processes do what one with all their pairs would.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from ..configs.retrieval_train_schema import RetrievalTrainConfig
from ..errors import ConfigError, TrainingError
from ..extract.stage_files import prepare, write_json
from ..models.adaclip.checkpoint import save_checkpoint
from ..models.adaclip.hard_top_k import gumbel
from ..models.adaclip.model import MAX_LOGIT_SCALE, ChosenFrames
from .continuation import LAST, MODEL, Progress, settings_of, take_over, training_state, where_to_go_on
from .distributed import Processes, processes
from .frames_setup import write_networks
from .loss import symmetric_info_nce
from .metrics import retrieval_metrics
from .optimizer import make_optimizer
from .schedule import Schedule
from .training_log import EpochRecord, TrainingLog
from .training_setup import TrainingSetup, set_up
from .training_source import Batch
from .training_videos import read_training_videos

log = logging.getLogger("clipreel")
RUN = "run.json"


@dataclass(frozen=True, eq=False)
class TrainingRun:
    """What a training made. `checkpoint`: the model of the best epoch by `chosen_by`; `losses`: of every step."""

    folder: Path
    epochs: tuple[EpochRecord, ...]
    losses: tuple[float, ...]
    best: EpochRecord
    chosen_by: str
    pairs: int  # an epoch
    missing: int  # training videos without features

    @property
    def checkpoint(self) -> Path:
        return self.folder / MODEL


def train(config: RetrievalTrainConfig, *, quiet: bool = False) -> TrainingRun:
    """Train as the config says; under torchrun, together with the other processes.

    Raises: UsageError before anything is started; TrainingError where the loss is no number.
    """
    with processes(config.device) as group:
        return _Training(config, group, quiet).run()


class _Training:
    def __init__(self, config: RetrievalTrainConfig, group: Processes, quiet: bool):
        self._config, self._group, self._quiet = config, group, quiet
        self._folder = Path(config.output_path).expanduser()
        resume = where_to_go_on(config, self._folder)
        group.wait()  # before the first process writes what the others just looked for
        if group.is_first:
            prepare(self._folder)
        else:
            group.wait()  # the first one encodes the texts, the others find them encoded
        self._videos = read_training_videos(config)
        self._setup: TrainingSetup = set_up(config, self._videos, group)
        if group.is_first:
            group.wait()
        self._model, self._source = self._setup.model, self._setup.source
        group.begin_alike(self._model)
        if self._source.clip is not None:
            group.begin_alike(self._source.clip)
        self._optimizer = make_optimizer(config, self._model, self._source.clip, self._source.policy)
        self._parameters = [one for some in self._optimizer.param_groups for one in some["params"]]
        self._at_once = config.batch_size * group.count  # pairs a step, over all processes
        accumulated = config.gradient_accumulation_steps
        self._steps = self._source.pairs // self._at_once // accumulated * accumulated  # an epoch's; the rest is left out
        if not self._steps:
            raise ConfigError(f"batch_size={config.batch_size}: {group.count} process{'es' if group.count > 1 else ''} and "
                              f"gradient_accumulation_steps={accumulated} want {self._at_once * accumulated} pairs for one step, "
                              f"and there are {self._source.pairs}; give a smaller batch_size")
        self._schedule = Schedule(config, self._steps // accumulated * config.num_epochs)
        self._settings = settings_of(config, pairs_a_step=self._at_once, pairs=self._source.pairs, videos=self._videos.digest)
        self._progress = Progress() if resume is None else take_over(resume, self._setup, self._optimizer, self._settings)

    def run(self) -> TrainingRun:
        config, progress = self._config, self._progress
        begun = len(progress.records)
        if self._group.is_first:
            log.info("%d pairs an epoch (%d training videos have no features), %d steps of %d; the epoch is chosen by %s",
                     self._source.pairs, self._setup.missing, self._steps, self._at_once, self._videos.chosen_by)
            if begun:
                log.info("%d of %d epochs are done already", begun, config.num_epochs)
            elif config.overwrite:
                for name in (MODEL, LAST):
                    (self._folder / name).unlink(missing_ok=True)
        said = TrainingLog(self._folder, config.num_epochs, tensorboard_dir=config.tensorboard_dir, quiet=self._quiet,
                           is_first=self._group.is_first)
        try:
            for epoch in range(begun, config.num_epochs):
                said.begin(epoch, self._steps)
                record = self._epoch(epoch, said)
                record = dataclasses.replace(record, **self._validated())
                progress.records.append(record)
                if record.is_better_than(progress.best):
                    progress.best = record
                    self._save(MODEL)
                if config.save_last:
                    self._save(LAST)
                said.end(progress.records, progress.losses)
        finally:
            said.close()
        assert progress.best is not None
        if config.from_frames and self._group.is_first:
            write_networks(self._folder / MODEL, config)
        run = TrainingRun(self._folder, tuple(progress.records), tuple(progress.losses), progress.best, self._videos.chosen_by,
                          self._source.pairs, self._setup.missing)
        if self._group.is_first:
            write_json(self._folder / RUN, {
                "config": asdict(config), "processes": self._group.count, "pairs": run.pairs, "missing": run.missing,
                "epoch_chosen_by": run.chosen_by, "best_epoch": run.best.epoch, "epochs": [asdict(one) for one in run.epochs]})
        return run

    def _epoch(self, epoch: int, said: TrainingLog) -> EpochRecord:
        config, schedule, accumulated = self._config, self._schedule, self._config.gradient_accumulation_steps
        order = np.random.default_rng([config.seed, 2, epoch]).permutation(self._source.pairs)
        began, losses, factor = time.perf_counter(), [], 0.0
        for step in range(self._steps):
            noise = self._noise(epoch, step)
            begin = step * self._at_once + self._group.rank * config.batch_size
            batch = self._source.batch(order[begin:begin + config.batch_size], epoch)
            if step + 1 < self._steps:
                following = begin + self._at_once
                self._source.expect(order[following:following + config.batch_size], epoch)
            loss = self._loss(batch, noise, tau=schedule.tau(epoch), k=schedule.k(epoch))
            (loss / accumulated).backward()
            losses.append(float(loss.detach()))  # a host waits for a GPU here, when there is nothing left to begin
            number = len(self._progress.losses) + len(losses) - 1  # of the whole training
            if not np.isfinite(losses[-1]):
                raise TrainingError(f"the loss is {losses[-1]} at step {step} of epoch {epoch}: give a smaller learning_rate= (now "
                                    f"{config.learning_rate:g}) and check the features for values that are no numbers")
            if (step + 1) % accumulated == 0:
                factor = schedule.learning_rate_factor(number // accumulated)
                self._step(factor)
            said.step(number, losses[-1], factor, line=bool(config.n_display) and (step + 1) % config.n_display == 0)
        seconds = time.perf_counter() - began
        self._progress.losses += losses
        return EpochRecord(epoch, float(np.mean(losses)), factor * config.learning_rate, schedule.tau(epoch), schedule.k(epoch),
                           seconds, self._steps * self._at_once / seconds)

    def _noise(self, epoch: int, step: int) -> torch.Tensor:
        """Gumbel noise of this process's pairs [b, N]: its part of what one process would draw for all."""
        seed = int(np.random.SeedSequence([self._config.seed, 3, epoch, step]).generate_state(1, np.uint64)[0] >> 1)
        noise = gumbel((self._at_once, self._config.num_frm), generator=torch.Generator().manual_seed(seed))
        begin = self._group.rank * self._config.batch_size
        return noise[begin:begin + self._config.batch_size].to(self._group.device)

    def _loss(self, batch: Batch, noise: torch.Tensor, *, tau: float, k: int) -> torch.Tensor:
        """Of everybody's pairs together."""
        model, gather = self._model, self._group.gather
        chosen = model.draw(batch.features, batch.mask, batch.policy, tau=tau, noise=noise, k=k)
        texts = gather(model.encode_texts(batch.texts))
        if model.options.query_dependent:
            everybodys = ChosenFrames(gather(chosen.frames), gather(chosen.mask.byte()).bool(), gather(chosen.indices))
            cosines = model.compare(texts, everybodys)
        else:
            cosines = texts @ gather(model.aggregate(chosen)).T
        return symmetric_info_nce(model.logit_scale.exp() * cosines, gather(batch.videos))

    def _step(self, factor: float) -> None:
        self._group.average_gradients(self._parameters)
        if self._config.grad_norm > 0:
            torch.nn.utils.clip_grad_norm_(self._parameters, self._config.grad_norm)
        for some in self._optimizer.param_groups:
            some["lr"] = some["initial_lr"] * factor
        self._optimizer.step()
        self._optimizer.zero_grad()
        with torch.no_grad():
            self._model.logit_scale.clamp_(max=MAX_LOGIT_SCALE)

    @torch.no_grad()
    def _validated(self) -> dict[str, float]:
        """The figures of an `EpochRecord`; none without validation. The first process tells the others nothing: only it
        writes."""
        if not self._setup.has_validation or not self._group.is_first:
            return {}
        found = retrieval_metrics(*self._source.similarity(self._model), resamples=0)
        return {f"{name}_{figure}": value for name, one in (("text_to_video", found.text_to_video),
                                                            ("video_to_text", found.video_to_text))
                for figure, value in (("recall_1", one.recall[1]), ("mean_rank", one.mean_rank))}

    def _save(self, name: str) -> None:
        if not self._group.is_first:
            return
        progress = self._progress
        training = training_state(progress, self._optimizer, self._settings) if name == LAST else None
        try:
            save_checkpoint(self._folder / name, self._setup.checkpoint(len(progress.records)), training)
        except OSError as error:
            raise ConfigError(f"output_path={self._folder}: {name} cannot be written ({error})") from error
