"""A workbench for each model that some page has chosen. Videos, news and the queue are common to all of them."""

from __future__ import annotations

import dataclasses
import threading
from collections import OrderedDict

from .model_choice import ModelChoice, model_choices
from .refusal import Refusal
from .workbench import Workbench

_MOST_MODELS = 3  # beside the first; a model that is asked for again is loaded again


class Workbenches:
    """`first` is the command's own: what pages without a choice of theirs see."""

    def __init__(self, first: Workbench):
        self.first = first
        self._lock = threading.Lock()
        self._others: OrderedDict[str, Workbench] = OrderedDict()

    def start(self) -> None:
        self.first.start()

    def close(self) -> None:
        self.first.close()

    def of(self, model_id: str) -> Workbench:
        """The workbench of a choice; an empty id is the first's. Raises Refusal for one that is not offered."""
        if not model_id:
            return self.first
        with self._lock:
            bench = self._others.get(model_id)
            if bench is not None:
                self._others.move_to_end(model_id)
                return bench
            choices = self.choices()
            choice = next((one for one in choices if one.id == model_id), None)
            if choice is None:
                raise Refusal(404, "no_model", "this model is not offered here", "choose one of the list")
            if choice is choices[0]:
                return self.first
            bench = self._others[model_id] = Workbench(
                dataclasses.replace(self.first.config, encoder=choice.encoder), shared=self.first, model_id=model_id)
            bench.start()
            while len(self._others) > _MOST_MODELS:
                self._others.popitem(last=False)
            return bench

    def choices(self) -> list[ModelChoice]:
        """The first's own first."""
        return model_choices(self.first.config)
