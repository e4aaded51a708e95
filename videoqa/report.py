"""Scores as text: for the console, as Markdown, as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from ..configs.videoqa_schema import VideoqaEvaluateConfig
from .cells import Cell, Scope

_COLUMNS = ("accuracy %", "± s.e.", "n", "missing", "invalid", "tied", "uniform", "majority", "longest")


def console(scopes: list[Scope], config: VideoqaEvaluateConfig) -> str:
    """The asked groups with all their columns."""
    lines = []
    for scope in scopes:
        groups = list(_groups(scope, config))
        width = max(len(name) for _, cells in groups for name in cells)
        lines += [f"{scope.name} ({scope.overall.videos} videos; majority letter {scope.majority_letter})",
                  " ".join([" " * width, *(f"{column:>10}" for column in _COLUMNS)])]
        for title, cells in groups:
            lines += [title] if title else []
            lines += [" ".join([f"{name:<{width}}", *(f"{value:>10}" for value in _values(cell))]) for name, cell in cells.items()]
        lines.append("")
    return "\n".join(lines)


def markdown(scopes: list[Scope], config: VideoqaEvaluateConfig) -> str:
    """Every group of every scope."""
    explained = {
        "official": "Official scoring: an answer in which the benchmark's program finds no letter (invalid) leaves n.",
        "strict": "Strict scoring: missing and invalid answers are wrong and stay in n.",
    }[config.scoring]
    lines = [f"# Video questions, {config.scoring} scoring", "", f"{explained} Standard errors are clustered by video; uniform, "
             "majority and longest are what guessing, always the most frequent letter and always the longest option give.", ""]
    for scope in scopes:
        lines += [f"## {scope.name}", "", f"{scope.overall.videos} videos; majority letter {scope.majority_letter}."]
        for title, cells in _groups(scope, None):
            lines += ["", f"| {title or 'overall'} | {' | '.join(_COLUMNS)} |", f"|---|{'---:|' * len(_COLUMNS)}"]
            lines += [f"| {name} | {' | '.join(_values(cell))} |" for name, cell in cells.items()]
        lines.append("")
    return "\n".join(lines)


def record(scopes: list[Scope], config: VideoqaEvaluateConfig) -> dict[str, Any]:
    return {"scoring": config.scoring, "results_file": config.results_file, "dataset": config.dataset,
            "scopes": [asdict(scope) for scope in scopes]}


def _groups(scope: Scope, config: VideoqaEvaluateConfig | None) -> Iterator[tuple[str, Mapping[str, Cell]]]:
    """(title, cells); None asks for all."""
    if config is None or config.return_categories_accuracy:
        yield "domain", scope.domains
    if config is None or config.return_sub_categories_accuracy:
        yield "sub-category", scope.sub_categories
    if config is None or config.return_task_types_accuracy:
        yield "task type", scope.task_types
    yield "", {"overall": scope.overall}


def _values(cell: Cell) -> list[str]:
    def percent(value: float | None) -> str:
        return "-" if value is None else f"{value:.1f}"

    return [percent(cell.accuracy if cell.n else None), percent(cell.standard_error), str(cell.n), str(cell.missing),
            str(cell.invalid), str(cell.tied), percent(cell.uniform), percent(cell.majority), percent(cell.longest)]
