"""What comes out of answering: a letter a question, with its scores, and why there is none where there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .dataset import LETTERS, QaVideo, Question, option_text

Status = Literal["answered", "tied", "missing", "failed"]
TIE = 1e-6  # scores nearer than float32 can tell: the first of them is given


@dataclass(frozen=True)
class Answer:
    """`scores`, `probabilities` [options]; `margin` is the best score less the second. Without features they are empty, and
    the response too. `letter` is the first of the best options; `tied`: another is as good."""

    question: Question
    status: Status
    letter: str | None = None
    response: str = ""
    scores: tuple[float, ...] = ()
    probabilities: tuple[float, ...] = ()
    margin: float | None = None
    is_cut: bool = False  # the model did not see all of its texts

    @property
    def is_right(self) -> bool | None:
        """None where the dataset does not say."""
        return None if self.question.answer is None else self.letter == self.question.answer


@dataclass(frozen=True)
class VideoAnswers:
    """A video's answers; `reason` says why they are missing or failed."""

    video: QaVideo
    answers: tuple[Answer, ...]
    reason: str | None = None

    @property
    def is_missing(self) -> bool:
        return self.reason is not None


def answer(question: Question, scores: np.ndarray, logit_scale: float, *, is_cut: bool) -> Answer:
    """The option with the highest score; its response is "X. text"."""
    weights = np.exp(logit_scale * (scores - scores.max()))
    best = int(np.argmax(scores))
    margin = float(scores[best] - np.delete(scores, best).max())
    if margin < TIE:
        best = int(np.argmax(scores > scores.max() - TIE))
    return Answer(question, "tied" if margin < TIE else "answered", LETTERS[best],
                  f"{LETTERS[best]}. {option_text(question.options[best], best)}", tuple(scores.tolist()),
                  tuple((weights / weights.sum()).tolist()), margin, is_cut)


def unanswered(video: QaVideo, status: Status, reason: str) -> VideoAnswers:
    return VideoAnswers(video, tuple(Answer(question, status) for question in video.questions), reason)


def accuracy(answers: list[Answer]) -> float | None:
    """Right ones among those with a known answer, in percent; None when there is none."""
    known = [one for one in answers if one.is_right is not None]
    return 100 * sum(bool(one.is_right) for one in known) / len(known) if known else None


def by_status(answers: list[Answer]) -> Mapping[str, int]:
    counts: dict[str, int] = dict.fromkeys(("answered", "tied", "missing", "failed"), 0)
    for one in answers:
        counts[one.status] += 1
    return counts
