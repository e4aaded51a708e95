"""An evaluation as text, JSON and CSV; and stored predictions read back."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from ..errors import InputError
from .evaluate import EvalMode, Evaluation, Prediction
from .metrics import Figures, Item
from .records import Pair

_ANSWERS = ("a", "b", "c", "none", "undecided", "invalid")


def console(evaluation: Evaluation, eval_mode: EvalMode, scoring: str) -> str:
    """The tables that the command prints."""
    name = "accuracy" if eval_mode == "closed" else "recall@N"
    lines = [f"{eval_mode} evaluation, {scoring} scoring: {evaluation.pairs} pairs, {evaluation.unanswered_pairs} unanswered", "",
             f"{'':<28}{'n':>6}{name:>10}  {'95 % interval':<15}{'flipped':>9}{'neither':>9}{'invalid':>9}{'unmatched':>10}"
             f"{'p':>9}"]
    for title, group in (("split", evaluation.by_split), ("action", evaluation.by_action)):
        lines += [_line(f"{title} {key}", one) for key, one in group.items()]
    lines += [_line("all", evaluation.overall), "", f"mean of the splits: {100 * evaluation.macro:.1f} %"]
    if eval_mode == "open":
        lines.append(f"predictions that match nothing: {evaluation.excess}; beyond the allowed number: {evaluation.over_limit}")
    return "\n".join(lines) + "\n"


def _line(name: str, one: Figures) -> str:
    interval = f"{100 * one.low:.1f} to {100 * one.high:.1f}"
    return (f"{name:<28}{one.n:>6}{100 * one.right:>9.1f}%  {interval:<15}{100 * one.flipped:>8.1f}%{100 * one.neither:>8.1f}%"
            f"{100 * one.invalid:>8.1f}%{100 * one.unmatched:>9.1f}%{one.p_chance:>9.3g}")


def record(evaluation: Evaluation, eval_mode: EvalMode, scoring: str) -> dict[str, Any]:
    tables = {name: {key: asdict(one) for key, one in getattr(evaluation, name).items()}
              for name in ("by_split", "by_action", "by_difference")}
    return {"eval_mode": eval_mode, "scoring": scoring, "overall": asdict(evaluation.overall), "macro": evaluation.macro, **tables,
            "pairs": evaluation.pairs, "unanswered_pairs": evaluation.unanswered_pairs, "excess": evaluation.excess,
            "over_limit": evaluation.over_limit}


def items_csv(items: Sequence[Item]) -> str:
    """A row an item."""
    text = io.StringIO(newline="")
    rows = csv.DictWriter(text, [one.name for one in fields(Item)])
    rows.writeheader()
    rows.writerows(asdict(item) for item in items)
    return text.getvalue()


def read_predictions(name: str, pairs: Sequence[Pair], *, are_open: bool = False) -> dict[str, dict[str, Prediction]]:
    """By pair key and difference id: our predictions.json, the benchmark's mapping, or its list in the pairs' order. An answer
    may be the bare letter, but for open ones, which are told by their descriptions.

    Raises InputError that names the record.
    """
    path = Path(name).expanduser()
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise InputError(f"predictions={name}: there is no such file") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"predictions={name}: is no JSON that can be read ({error})") from error
    if isinstance(content, list):
        if len(content) != len(pairs):
            raise InputError(f"predictions={name}: is a list of {len(content)}, and there are {len(pairs)} pairs; give the split "
                             "and subset_mode that were answered")
        content = dict(zip((pair.key for pair in pairs), content, strict=True))
    if not isinstance(content, dict):
        raise InputError(f"predictions={name}: allowed is a mapping of pairs, or a list in their order")
    return {str(key): _predictions(f"{name}: {key}", value, are_open) for key, value in content.items()}


def _predictions(place: str, value: Any, are_open: bool) -> dict[str, Prediction]:
    if not isinstance(value, Mapping):
        raise InputError(f"{place}: is no mapping of differences")
    found = {}
    for name, one in value.items():
        answer = one.get("prediction") if isinstance(one, Mapping) else one
        if answer not in _ANSWERS:
            raise InputError(f"{place}, difference {name}: prediction {answer!r}; allowed is {', '.join(_ANSWERS)}")
        description = one.get("description", "") if isinstance(one, Mapping) else ""
        if not isinstance(description, str) or (are_open and not description.strip()):
            raise InputError(f"{place}, difference {name}: description is {description!r}; eval_mode=open needs the difference's "
                             "text")
        found[str(name)] = Prediction(description, answer)
    return found
