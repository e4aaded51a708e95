"""What is embedded for an option: its text, alone or with the question, made to fit the model's context."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ..configs.videoqa_schema import TextForm
from ..models.base import TextEncoder
from .dataset import Question, option_text

# CLIP has no more context than 77 tokens, and no token is this long: what is behind needs no tokenizer to be cut.
_MOST_CHARACTERS = 4000


@runtime_checkable
class CountsTokens(Protocol):
    """A text encoder that cuts over-long texts by itself, as its original does, and can say which."""

    context_length: int

    def token_counts(self, texts: Sequence[str]) -> list[int]: ...


@runtime_checkable
class SaysWhatFits(Protocol):
    """A text encoder that refuses over-long texts, and can say which."""

    def fits(self, text: str) -> bool: ...


@dataclass(frozen=True)
class Phrase:
    """An option (or a line of subtitles), and the question that stands before or behind it, if any."""

    option: str
    question: str = ""
    question_first: bool = False

    @property
    def whole(self) -> str:
        return _joined(self.option, self.question, self.question_first)


@dataclass(frozen=True)
class Fitted:
    """What is given to the encoder; `cut` when it is less than the phrase, or the encoder will cut it."""

    said: str
    cut: bool


def phrases_of(question: Question, text: TextForm, strip_letters: bool) -> list[Phrase]:
    """A phrase an option, in their order."""
    options = [option_text(option, place) if strip_letters else option for place, option in enumerate(question.options)]
    if text == "option":
        return [Phrase(option) for option in options]
    return [Phrase(option, question.question, text == "question_option") for option in options]


def fit(phrase: Phrase, encoder: TextEncoder) -> Fitted:
    """The phrase in the encoder's context: words of the question go first, from its end, so that options stay apart.

    An option that does not fit alone is left to an encoder that cuts texts by itself (its numbers are its original's), and
    loses its last words for one that refuses them.
    """
    if _fits(encoder, phrase.whole):
        return Fitted(phrase.whole, False)
    if phrase.question:
        words = phrase.question[:_MOST_CHARACTERS].split()
        kept = _most(len(words), lambda count: _fits(
            encoder, _joined(phrase.option, " ".join(words[:count]), phrase.question_first)))
        if kept:
            return Fitted(_joined(phrase.option, " ".join(words[:kept]), phrase.question_first), True)
    if _fits(encoder, phrase.option):
        return Fitted(phrase.option, True)
    if isinstance(encoder, CountsTokens):
        return Fitted(phrase.option, True)
    words = phrase.option[:_MOST_CHARACTERS].split()
    kept = _most(len(words), lambda count: _fits(encoder, " ".join(words[:count])))
    if kept:
        return Fitted(" ".join(words[:kept]), True)
    letters = phrase.option[:_MOST_CHARACTERS]  # one word that is too long
    return Fitted(letters[:_most(len(letters), lambda count: _fits(encoder, letters[:count]))], True)


def _joined(option: str, question: str, question_first: bool) -> str:
    return " ".join(part for part in ((question, option) if question_first else (option, question)) if part)


def _fits(encoder: TextEncoder, text: str) -> bool:
    if isinstance(encoder, CountsTokens):
        return encoder.token_counts([text])[0] <= encoder.context_length
    if isinstance(encoder, SaysWhatFits):
        return encoder.fits(text)
    return True  # the encoder's own tokenizer sees to it


def _most(count: int, holds: Callable[[int], bool]) -> int:
    """The largest n in 0..count for which `holds(n)`, which holds up to some n and not beyond; 0 when never."""
    low, high = 0, count
    while low < high:
        middle = (low + high + 1) // 2
        if holds(middle):
            low = middle
        else:
            high = middle - 1
    return low
