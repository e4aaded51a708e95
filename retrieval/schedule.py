"""What changes while training goes on: learning rate, the choice's temperature, and how many frames are chosen."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..configs.retrieval_train_schema import RetrievalTrainConfig


@dataclass(frozen=True)
class Schedule:
    """As in the original (AdaCLIP, ACM MM 2023); `total_steps` of the optimizer."""

    config: RetrievalTrainConfig
    total_steps: int

    def learning_rate_factor(self, step: int) -> float:
        """Of the step (from 0): a line up in the first part, then the cosine from 1 to 0 over the whole length."""
        done, warmup = step / self.total_steps, self.config.warmup_proportion
        if not self.config.no_warmup and done < warmup:
            return done / warmup
        return 0.5 * (1 + math.cos(math.pi * done))

    def tau(self, epoch: int) -> float:
        """Of the epoch (from 0)."""
        config = self.config
        return max(config.init_tau * math.exp(-config.exp_decay_factor * epoch), config.min_tau)

    def k(self, epoch: int) -> int:
        """Frames chosen in the epoch (from 0): in warmup_epochs down from all but one."""
        config, wanted = self.config, self.config.frames_chosen
        if epoch >= config.warmup_epochs:
            return wanted
        most = config.num_frm - 1
        return max(wanted, round(most - epoch * (most - wanted) / config.warmup_epochs))
