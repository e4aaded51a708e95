"""Which proposed difference says what an annotated one says, and whether it says it the other way round."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

# Words that turn a statement round, those of one side before the bar.
_TWINS = tuple(tuple(frozenset(side.split()) for side in row.split("|")) for row in (
    "higher upper|lower", "more|less fewer", "wider broader|narrower", "larger bigger greater|smaller tinier",
    "faster quicker|slower", "longer|shorter", "closer nearer|farther further", "left|right", "top|bottom", "above|below",
    "open|closed", "up|down", "straighter straight|bent bend", "earlier|later", "before|after", "first|last", "inward|outward",
    "forward|backward", "deeper|shallower", "tighter|looser", "heavier|lighter", "brighter|darker", "warm warmer|cool cooler",
))
_KIND = {word: f"#{number}" for number, sides in enumerate(_TWINS) for side in sides for word in side}
_TURNS = {word: min(sides[1 - place], key=lambda other: (len(other), other))
          for sides in _TWINS for place in (0, 1) for word in sides[place]}
_IN_TIME = frozenset({"before", "after", "earlier", "later", "first", "last"})
_COMPARE = {"more", "less"} | {word for word in _TURNS if word[-2:] == "er" and word not in {"upper", "after", "later", "earlier"}}
# Words that name no difference.
_EMPTY = frozenset({
    "a", "an", "the", "is", "are", "of", "in", "on", "at", "to", "with", "and", "or", "than", "its", "it", "his", "her", "their",
    "this", "that", "there", "be", "by", "for", "from", "into", "as", "not", "video", "person", "one",
})
_LEAST = 0.3  # share of words in common below which two statements are of different things


@dataclass(frozen=True)
class Proposed:
    """One pair's annotated and proposed statements, by id."""

    action: str
    truth: Mapping[str, str]
    proposed: Mapping[str, str]


class Matcher(Protocol):
    """Both are given everything at once and may ask a language model. Raises ClipreelError where no answer can be had."""

    def match(self, pairs: Sequence[Proposed]) -> Sequence[Mapping[str, str | None]]:
        """For each pair annotated id -> proposed id or None; a proposed one is used once."""
        ...

    def opposite(self, pairs: Sequence[tuple[str, str]]) -> Sequence[bool]:
        """Of (annotated, proposed) statements: whether one holds where the other does not."""
        ...


class TextMatcher:
    """By the words in common, without a model: the same in every run. For tests and for work offline; it knows no synonyms."""

    def match(self, pairs: Sequence[Proposed]) -> list[dict[str, str | None]]:
        """One to one, those with the largest share of common words first, opposites counting as the same word."""
        return [_by_words(pair) for pair in pairs]

    def opposite(self, pairs: Sequence[tuple[str, str]]) -> list[bool]:
        """An odd number of words of one statement stand in the other as their opposites."""
        turned = []
        for one, other in pairs:
            a, b = _words(one), _words(other)
            swaps = sum(_crossed(a, b, *sides) for sides in _TWINS)
            turned.append(bool((swaps + ("not" in a) + ("not" in b)) % 2))
        return turned


def _by_words(pair: Proposed) -> dict[str, str | None]:
    shares = []
    for name, text in pair.truth.items():
        for candidate, other in pair.proposed.items():
            a, b = _subject(text), _subject(other)
            shares.append((len(a & b) / max(len(a | b), 1), name, candidate))
    found: dict[str, str | None] = dict.fromkeys(pair.truth)
    used: set[str] = set()
    for share, name, candidate in sorted(shares, key=lambda one: -one[0]):
        if share >= _LEAST and found[name] is None and candidate not in used:
            found[name] = candidate
            used.add(candidate)
    return found


def _crossed(a: set[str], b: set[str], one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether one text has a word of one side alone, and the other text of the other side alone."""
    sides = [(bool(text & one), bool(text & other)) for text in (a, b)]
    return sorted(sides) == [(False, True), (True, False)]


def opposite_statement(statement: str) -> str | None:
    """The statement turned round ("the squat is shallower"); None where it has no word to turn.

    One word is turned, for two turns cancel out: the first that compares (wider), else the first of order in time (before),
    else the last of any ("the left arm is up").
    """
    found = list(re.finditer(r"[A-Za-z']+", statement))
    turning = [word for word in found if word[0].lower() in _TURNS]
    if not turning:
        return None
    comparing = [word for word in turning if word[0].lower() in _COMPARE]
    in_time = [word for word in turning if word[0].lower() in _IN_TIME]
    word = comparing[0] if comparing else in_time[0] if in_time else turning[-1]
    return statement[:word.start()] + _TURNS[word[0].lower()] + statement[word.end():]


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9']+", text.lower()))


def _subject(text: str) -> set[str]:
    return {_KIND.get(word, word) for word in _words(text) - _EMPTY}
