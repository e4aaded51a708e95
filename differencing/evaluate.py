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
from .matching import Matcher
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
    items: list[Item] = []
    excess = over_limit = 0
    for pair in pairs:
        given = dict(predictions.get(pair.key, {}))
        if eval_mode == "closed" or already_matched:
            matches = _same_ids(pair, given)
        else:
            limit = pair.allowed_differences
            if limit is not None and len(given) > limit:
                over_limit += len(given) - limit
                given = dict(list(given.items())[:limit]) if scoring == "strict" else given
            matches = _matched(pair, given, matcher, scoring)
        turned = _opposites(pair, given, matches, matcher, eval_mode, scoring, already_matched)
        excess += len(given) - len({name for name in matches.values() if name is not None})
        items += [_item(pair, name, given, matches.get(name), name in turned) for name, label in pair.truth.items()
                  if label in ("a", "b")]
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


def _matched(pair: Pair, given: Mapping[str, Prediction], matcher: Matcher | None, scoring: Scoring) -> dict[str, str | None]:
    """annotated id -> proposed id. The ones labelled c take part: what matches them is no match of another."""
    if matcher is None:
        raise InputError("open evaluation needs a matcher: matcher=text, or a language model")
    labelled = {name for name, label in pair.truth.items() if label is not None}
    truth = {difference.id: difference.statement for difference in pair.differences if difference.id in labelled}
    if not given:
        return dict.fromkeys(truth)
    found = matcher.match(pair.action_description, truth, {name: one.statement for name, one in given.items()})
    matches: dict[str, str | None] = {name: found.get(name) for name in truth}
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


def _opposites(pair: Pair, given: Mapping[str, Prediction], matches: Mapping[str, str | None], matcher: Matcher | None,
               eval_mode: EvalMode, scoring: Scoring, already_matched: bool) -> set[str]:
    """Annotated ids whose match says the opposite."""
    if eval_mode == "closed" or matcher is None or (already_matched and scoring == "compat"):
        return set()
    statements = {difference.id: difference.statement for difference in pair.differences}
    asked = [(name, proposed) for name, proposed in matches.items() if proposed is not None]
    said = matcher.opposite([(statements[name], given[proposed].statement) for name, proposed in asked]) if asked else []
    return {name for (name, _), is_opposite in zip(asked, said, strict=True) if is_opposite}


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
