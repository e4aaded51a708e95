"""Which proposed difference says what an annotated one says, and whether it says it the other way round."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

_TWINS = (
    ("higher", "lower"), ("more", "less"), ("wider", "narrower"), ("larger", "smaller"), ("bigger", "smaller"), ("faster", "slower"),
    ("longer", "shorter"), ("closer", "farther"), ("left", "right"), ("top", "bottom"), ("above", "below"), ("open", "closed"),
    ("up", "down"), ("straighter", "bent"), ("bend", "straight"), ("earlier", "later"), ("before", "after"), ("first", "last"),
    ("inward", "outward"), ("forward", "backward"), ("deeper", "shallower"), ("tighter", "looser"), ("heavier", "lighter"),
    ("warm", "cool"), ("brighter", "darker"),
)
OPPOSITES = {one: other for a, b in _TWINS for one, other in ((a, b), (b, a))}
# Words that name no difference.
_EMPTY = frozenset("a an the is are of in on at to with and or than its it his her their this that there be being been by for "
                   "from into as video person one".split())
_LEAST = 0.3  # share of words in common below which two statements are of different things


class Matcher(Protocol):
    """Both may ask a language model. Raises ClipreelError where no answer can be had."""

    def match(self, action: str, truth: Mapping[str, str], proposed: Mapping[str, str]) -> Mapping[str, str | None]:
        """annotated id -> proposed id or None; a proposed one is used once."""
        ...

    def opposite(self, pairs: Sequence[tuple[str, str]]) -> Sequence[bool]:
        """Of (annotated, proposed) statements: whether one holds where the other does not."""
        ...


class TextMatcher:
    """By the words in common, without a model: the same in every run. For tests and for work offline; it knows no synonyms."""

    def match(self, action: str, truth: Mapping[str, str], proposed: Mapping[str, str]) -> dict[str, str | None]:
        """The best one-to-one assignment by shares of common words, opposites counting as the same word."""
        from scipy.optimize import linear_sum_assignment

        if not truth or not proposed:
            return dict.fromkeys(truth)
        words = [_subject(text) for text in truth.values()]
        others = [_subject(text) for text in proposed.values()]
        shares = np.array([[len(a & b) / max(len(a | b), 1) for b in others] for a in words])  # [truth, proposed]
        found: dict[str, str | None] = dict.fromkeys(truth)
        names, candidates = list(truth), list(proposed)
        for row, column in zip(*linear_sum_assignment(-shares), strict=True):
            if shares[row, column] >= _LEAST:
                found[names[row]] = candidates[column]
        return found

    def opposite(self, pairs: Sequence[tuple[str, str]]) -> list[bool]:
        """An odd number of words of one statement stand in the other as their opposites."""
        turned = []
        for a, b in pairs:
            first, second = _words(a), _words(b)
            swaps = sum(OPPOSITES.get(word) in second for word in first if word not in second)
            turned.append(bool((swaps + ("not" in first) + ("not" in second)) % 2))
        return turned


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9']+", text.lower()))


def _subject(text: str) -> set[str]:
    return {min(word, OPPOSITES.get(word, word)) for word in _words(text) - _EMPTY - {"not"}}
