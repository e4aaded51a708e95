"""What to say about a name that nobody knows."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(value: str, allowed: Iterable[str]) -> str:
    """A tail for a sentence, as in `; did you mean 'clip'?`, or nothing where no allowed name is near."""
    by_lower_case = {name.lower(): name for name in allowed}
    nearest = get_close_matches(value.lower(), by_lower_case, n=1)
    return f"; did you mean {by_lower_case[nearest[0]]!r}?" if nearest else ""
