"""Texts that are longer than an encoder's context: what of them it is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from ..models.base import TextEncoder

# CLIP has no more context than 77 tokens, and no token is this long: what is behind needs no tokenizer to be cut.
MOST_CHARACTERS = 4000


@runtime_checkable
class CountsTokens(Protocol):
    """A text encoder that cuts over-long texts by itself, as its original does, and can say which."""

    context_length: int

    def token_counts(self, texts: Sequence[str]) -> list[int]: ...


@runtime_checkable
class SaysWhatFits(Protocol):
    """A text encoder that refuses over-long texts, and can say which."""

    def fits(self, text: str) -> bool: ...


def fits(encoder: TextEncoder, text: str) -> bool:
    """Whether the encoder reads the whole text."""
    if isinstance(encoder, CountsTokens):
        return encoder.token_counts([text])[0] <= encoder.context_length
    if isinstance(encoder, SaysWhatFits):
        return encoder.fits(text)
    return True  # the encoder's own tokenizer sees to it


def start_that_fits(encoder: TextEncoder, text: str) -> tuple[str, bool]:
    """What the encoder is given, and whether it reads less than the text.

    An encoder that cuts texts by itself is given all (its numbers are its original's); for one that refuses them the last
    words go, or the last letters of a single word.
    """
    if fits(encoder, text):
        return text, False
    if isinstance(encoder, CountsTokens):
        return text, True
    words = text[:MOST_CHARACTERS].split()
    if kept := most(len(words), lambda count: fits(encoder, " ".join(words[:count]))):
        return " ".join(words[:kept]), True
    letters = text[:MOST_CHARACTERS]
    return letters[:most(len(letters), lambda count: fits(encoder, letters[:count]))], True


def most(count: int, holds: Callable[[int], bool]) -> int:
    """The largest n in 0..count for which `holds(n)`, which holds up to some n and not beyond; 0 when never."""
    low, high = 0, count
    while low < high:
        middle = (low + high + 1) // 2
        if holds(middle):
            low = middle
        else:
            high = middle - 1
    return low
