"""What a judge is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from ..records import Question, Verdict


class Judge(Protocol):
    """Says of which clip a difference's statement holds more. `identity` is what run.json records."""

    identity: str

    def judge(self, pairs: Iterable[Sequence[Question]]) -> list[list[Verdict] | str]:
        """For the questions of each pair their verdicts, in order; an answer that cannot be read is a verdict too (`invalid`).
        Or, where an answer cannot be had, the reason. The questions' pictures are not kept: the next pair's come after."""
        ...
