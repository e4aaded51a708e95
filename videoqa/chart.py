"""A bar a task type, with the baselines that need no model drawn in."""

from __future__ import annotations

from typing import BinaryIO, Literal

from ..errors import MissingExtraError
from .cells import Cell, Scope

_BASELINES: dict[str, tuple[str, str, Literal["-", "--", ":"]]] = {
    "uniform": ("guessing", "#444444", "-"), "majority": ("majority letter", "#c1440e", "--"),
    "longest": ("longest option", "#6b4fa0", ":")}


def require_matplotlib() -> None:
    """Raises MissingExtraError."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("matplotlib", "videoqa", "the chart of scores (output_path=null goes without)") from error


def draw(scope: Scope, title: str, file: BinaryIO) -> None:
    """A PNG of accuracies with standard errors, n under each name; task types without a question are left out."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    cells: dict[str, Cell] = {name: cell for name, cell in scope.task_types.items() if cell.n} | {"Overall": scope.overall}
    places = range(len(cells))
    figure = Figure(figsize=(max(6.0, 1.0 + 0.8 * len(cells)), 5.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    errors = [cell.standard_error or 0.0 for cell in cells.values()]
    axes.bar(places, [cell.accuracy for cell in cells.values()], 0.7, yerr=errors, capsize=3, color="#7aa6c2",
             ecolor="#2f4858", label="answers (± standard error)")
    for field, (label, colour, style) in _BASELINES.items():
        known = [(place, getattr(cell, field)) for place, cell in zip(places, cells.values(), strict=True)
                 if getattr(cell, field) is not None]
        axes.hlines([value for _, value in known], [place - 0.45 for place, _ in known], [place + 0.45 for place, _ in known],
                    colors=colour, linestyles=style, label=label)
    axes.set_xticks(list(places), [f"{name}\nn={cell.n}" for name, cell in cells.items()], rotation=45, ha="right", fontsize=8)
    axes.set_ylim(0, 100)
    axes.set_ylabel("accuracy (%)")
    axes.set_title(title)
    figure.legend(loc="outside lower center", ncols=4, fontsize=8)
    figure.savefig(file, format="png", dpi=120)
