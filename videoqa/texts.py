"""What is embedded for an option: its text, alone or with the question, made to fit the model's context."""

from __future__ import annotations

from dataclasses import dataclass

from ..configs.videoqa_schema import TextForm
from ..extract.text_fit import MOST_CHARACTERS, fits, most, start_that_fits
from ..models.base import TextEncoder
from .dataset import Question, option_text


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
    if fits(encoder, phrase.whole):
        return Fitted(phrase.whole, False)
    if phrase.question:
        words = phrase.question[:MOST_CHARACTERS].split()
        kept = most(len(words), lambda count: fits(
            encoder, _joined(phrase.option, " ".join(words[:count]), phrase.question_first)))
        if kept:
            return Fitted(_joined(phrase.option, " ".join(words[:kept]), phrase.question_first), True)
    return Fitted(start_that_fits(encoder, phrase.option)[0], True)  # cut even where that is all of the option


def _joined(option: str, question: str, question_first: bool) -> str:
    return " ".join(part for part in ((question, option) if question_first else (option, question)) if part)
