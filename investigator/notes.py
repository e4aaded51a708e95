"""What a person should know of a start that went well."""

from __future__ import annotations

from .workbench import Workbench


def notes_of(bench: Workbench) -> list[str]:
    """Sentences for the terminal and for the page."""
    notes = []
    if bench.config.roboflow_api_key is not None:
        notes.append("roboflow_api_key is not needed: nothing is sent anywhere")
    notes += [f"roots= names {root}, and there is no such folder" for root in bench.library.roots if not root.is_dir()]
    if bench.first_problem is not None:
        notes.append(bench.first_problem)
    return notes
