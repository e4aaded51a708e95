"""Searching all analysed videos."""

from __future__ import annotations

from typing import Any

from ...configs.investigator_schema import MOST_TEXTS
from ..endpoint import Asked, number_of, post


def search(asked: Asked) -> dict[str, Any]:
    """Grouped by video, best first."""
    bench = asked.workbench
    queries, excluded = asked.ids("queries", most=MOST_TEXTS, least=1), asked.ids("not", most=MOST_TEXTS)
    limit = int(min(max(number_of("limit", asked.content.get("limit", 50)), 1), 200))
    result = bench.search.search(queries, excluded, asked.one_of("mode", ("any", "all"), "any"), limit)
    files = bench.library.videos()
    return {"videos_searched": result.searched, "not_analysed": len(files) - bench.count_analysed(files),
            "results": result.found}


ROUTES = [post("/api/search", search)]
