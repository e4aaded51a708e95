"""What a judge is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..records import Question, Verdict


class Judge(Protocol):
    """Says of which clip a difference's statement holds more. `identity` is what run.json records."""

    identity: str

    def judge(self, questions: Sequence[Question]) -> list[Verdict]:
        """A verdict a question, in order; an answer that cannot be had or read is a verdict too (`invalid`)."""
        ...
