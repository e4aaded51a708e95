"""Figures of judged differences: pure functions from outcomes to shares, tables and intervals (VidDiff, §5)."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

# right · flipped: the other video was named · neither: "c", no clear difference, undecided · invalid: an answer that cannot be
# read · unmatched: nothing proposed says it (open), or it was not answered (closed)
Outcome = Literal["right", "flipped", "neither", "invalid", "unmatched"]


@dataclass(frozen=True)
class Item:
    """One scored difference: an annotated one whose label is a or b."""

    pair: str
    action: str
    split: str
    difference_id: str
    statement: str
    truth: Literal["a", "b"]
    outcome: Outcome
    proposed_id: str | None = None
    proposed: str = ""  # what was matched with the statement
    is_opposite: bool = False  # it says the opposite, so its answer was turned


@dataclass(frozen=True)
class Figures:
    """Shares of `n` items; they add up to 1. `right` is accuracy in closed runs, recall@N in open ones. `low`, `high`: its 95 %
    Wilson interval. `p_chance`: how likely chance alone (one half) gives a count this far from the middle, two-sided."""

    n: int
    right: float
    flipped: float
    neither: float
    invalid: float
    unmatched: float
    low: float
    high: float
    p_chance: float


def figures(items: Sequence[Item]) -> Figures:
    """Raises ValueError for no item."""
    n = len(items)
    if n == 0:
        raise ValueError("no difference with a label of a or b is left to score")
    counts = {outcome: sum(item.outcome == outcome for item in items)
              for outcome in ("right", "flipped", "neither", "invalid", "unmatched")}
    if sum(counts.values()) != n:
        raise AssertionError(f"{counts} are not {n} items")
    low, high = wilson(counts["right"], n)
    shares = {outcome: count / n for outcome, count in counts.items()}
    return Figures(n, **shares, low=low, high=high, p_chance=binomial_p(counts["right"], n))


def wilson(right: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    z, share = 1.959963984540054, right / n
    middle, spread = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = (middle - spread) / (1 + z * z / n), (middle + spread) / (1 + z * z / n)
    return min(max(0.0, low), share), max(min(1.0, high), share)


def binomial_p(right: int, n: int) -> float:
    """Two-sided, against one half; exact."""
    tail = min(right, n - right)
    logs = (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2) for k in range(tail + 1))
    return min(1.0, 2 * math.fsum(map(math.exp, logs)))


def table(items: Iterable[Item], of: Callable[[Item], str]) -> dict[str, Figures]:
    """Figures of each group, in the order of their first items."""
    groups: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        groups[of(item)].append(item)
    return {name: figures(group) for name, group in groups.items()}
