"""Scoring predictions against a benchmark's labels; knows nothing of how they were made.

Source: VidDiff (ICLR 2025), §5 and its released evaluation. `scoring="compat"` counts as that program does; `strict` also holds
what the paper says and the program does not enforce: at most `allowed_differences` in an open answer, each used once, and
answers to statements that say the opposite turned round, wherever the match came from.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..errors import InputError
from .matching import Matcher, Proposed
from .metrics import Figures, Item, Outcome, figures, table
from .records import Answer, Pair

log = logging.getLogger("clipreel")
EvalMode = Literal["closed", "open"]
Scoring = Literal["compat", "strict"]


@dataclass(frozen=True)
class Prediction:
    """One difference of an answer. Ids are the annotated ones in closed runs and any in open ones."""

    statement: str
    answer: Answer | Literal["c"]


@dataclass(frozen=True)
class Evaluation:
    """`overall` is over all items (micro), `macro` the plain mean of the splits' shares, as the paper's "average".
    `excess`: predictions that matched nothing; `over_limit`: those beyond the allowed number, which strict drops."""

    overall: Figures
    macro: float
    by_split: Mapping[str, Figures]
    by_action: Mapping[str, Figures]
    by_difference: Mapping[str, Figures]
    items: Sequence[Item]
    pairs: int
    unanswered_pairs: int
    excess: int = 0
    over_limit: int = 0
    notes: Sequence[str] = field(default_factory=tuple)


def evaluate(pairs: Sequence[Pair], predictions: Mapping[str, Mapping[str, Prediction]], eval_mode: EvalMode, scoring: Scoring,
             matcher: Matcher | None = None, *, already_matched: bool = False) -> Evaluation:
    """Score all pairs.

    Args:
        predictions: by pair key, then by difference id. A pair without any counts as unanswered, its items as unmatched.
        matcher: needed in open runs, unless `already_matched`: ids are the annotated ones already.

    Raises InputError for a prediction that cannot belong to the pairs, or where nothing can be scored.
    """
    known = {pair.key for pair in pairs}
    stranger = next((key for key in predictions if key not in known), None)
    if stranger is not None:
        raise InputError(f"predictions hold {stranger!r}, which is no pair of the dataset; give the dataset, split and subset_mode "
                         "that were answered")
    answers = {pair.key: dict(predictions.get(pair.key, {})) for pair in pairs}
    over_limit = 0
    if eval_mode == "closed" or already_matched:
        matches = [_same_ids(pair, answers[pair.key]) for pair in pairs]
    else:
        for pair in pairs:
            given, limit = answers[pair.key], pair.allowed_differences
            if limit is not None and len(given) > limit:
                over_limit += len(given) - limit
                answers[pair.key] = dict(list(given.items())[:limit]) if scoring == "strict" else given
        matches = _matched(pairs, answers, matcher, scoring)
    turned = (set() if eval_mode == "closed" or matcher is None or (already_matched and scoring == "compat")
              else _opposites(pairs, answers, matches, matcher))
    excess = sum(len(answers[pair.key]) - len({name for name in found.values() if name is not None})
                 for pair, found in zip(pairs, matches, strict=True))
    items = [_item(pair, name, answers[pair.key], found.get(name), (pair.key, name) in turned)
             for pair, found in zip(pairs, matches, strict=True) for name, label in pair.truth.items() if label in ("a", "b")]
    if not items:
        raise InputError("no difference of these pairs has a label of a or b: there is nothing to score")
    splits = table(items, lambda item: item.split or "all")
    return Evaluation(
        figures(items), sum(one.right for one in splits.values()) / len(splits), splits, table(items, lambda item: item.action),
        table(items, lambda item: f"{item.action}/{item.difference_id}"), items, len(pairs),
        sum(not predictions.get(pair.key) for pair in pairs), excess, over_limit)


def _same_ids(pair: Pair, given: Mapping[str, Prediction]) -> dict[str, str | None]:
    known = {difference.id for difference in pair.differences} or set(pair.truth)
    stranger = next((name for name in given if name not in known), None)
    if stranger is not None:
        raise InputError(f"pair {pair.key}: the predictions hold difference {stranger!r}; it has {', '.join(sorted(known))}")
    return {name: name if name in given else None for name in pair.truth}


def _matched(pairs: Sequence[Pair], answers: Mapping[str, Mapping[str, Prediction]], matcher: Matcher | None,
             scoring: Scoring) -> list[dict[str, str | None]]:
    """For each pair annotated id -> proposed id. The ones labelled c take part: what matches them is no match of another."""
    if matcher is None:
        raise InputError("open evaluation needs a matcher: matcher=text, or a language model")
    asked = {pair.key: Proposed(pair.action_description, _labelled(pair),
                                {name: one.statement for name, one in answers[pair.key].items()})
             for pair in pairs if answers[pair.key]}
    found = dict(zip(asked, matcher.match(list(asked.values())), strict=True))
    return [_checked(pair, answers[pair.key], found.get(pair.key, {}), scoring) for pair in pairs]


def _labelled(pair: Pair) -> dict[str, str]:
    return {one.id: one.statement for one in pair.differences if pair.truth.get(one.id) is not None}


def _checked(pair: Pair, given: Mapping[str, Prediction], found: Mapping[str, str | None],
             scoring: Scoring) -> dict[str, str | None]:
    matches: dict[str, str | None] = {name: found.get(name) for name in _labelled(pair)}
    used: set[str] = set()
    for name, proposed in matches.items():
        if proposed is not None and (proposed not in given or (scoring == "strict" and proposed in used)):
            log.warning("pair %s: the matcher gave %r to difference %s, which is %s", pair.key, proposed, name,
                        "taken" if proposed in used else "no prediction")
            matches[name] = None
        elif proposed is not None:
            used.add(proposed)
    if scoring == "compat":  # its table by prediction keeps the last annotated one of several
        last = {proposed: name for name, proposed in matches.items() if proposed is not None}
        matches = {name: proposed if proposed is None or last[proposed] == name else None for name, proposed in matches.items()}
    return matches


def _opposites(pairs: Sequence[Pair], answers: Mapping[str, Mapping[str, Prediction]], matches: Sequence[Mapping[str, str | None]],
               matcher: Matcher) -> set[tuple[str, str]]:
    """(pair, annotated id) whose match says the opposite. Asked of what is scored alone."""
    asked, statements = list[tuple[str, str]](), list[tuple[str, str]]()
    for pair, found in zip(pairs, matches, strict=True):
        annotated = _labelled(pair)
        for name, proposed in found.items():
            if proposed is not None and pair.truth.get(name) in ("a", "b"):
                asked.append((pair.key, name))
                statements.append((annotated[name], answers[pair.key][proposed].statement))
    said = matcher.opposite(statements) if asked else []
    return {one for one, is_opposite in zip(asked, said, strict=True) if is_opposite}


def _item(pair: Pair, name: str, given: Mapping[str, Prediction], proposed: str | None, is_opposite: bool) -> Item:
    statement = next((difference.statement for difference in pair.differences if difference.id == name), "")
    truth = pair.truth[name]
    assert truth in ("a", "b")
    outcome: Outcome = "unmatched"
    if proposed is not None:
        answer = given[proposed].answer
        if is_opposite:
            answer = {"a": "b", "b": "a"}.get(answer, answer)
        outcome = ("right" if answer == truth else "flipped" if answer in ("a", "b")
                   else "invalid" if answer == "invalid" else "neither")
    return Item(pair.key, pair.action, pair.split, name, statement, truth, outcome, proposed,
                given[proposed].statement if proposed is not None else "", is_opposite)
