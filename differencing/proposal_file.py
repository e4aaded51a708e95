"""Stage 1's result as a JSON file: written by every run, to be edited and used again with `proposals=`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..errors import InputError
from .records import Difference, Pair, Proposal, Stage


def proposals_record(proposals: Mapping[str, Proposal]) -> dict[str, Any]:
    """What the file holds: a proposal a pair, by the pair's key."""
    return {key: asdict(proposal) for key, proposal in proposals.items()}


def read_proposals(name: str, pairs: list[Pair]) -> dict[str, Proposal]:
    """By pair key: the file's proposal of that key, else the one whose action is the pair's, else the only one there is.

    Raises InputError that names the place.
    """
    path = Path(name).expanduser()
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise InputError(f"proposals={name}: there is no such file") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"proposals={name}: is no JSON that can be read ({error})") from error
    if not isinstance(content, dict) or not content:
        raise InputError(f"proposals={name}: allowed is a mapping of pairs, or actions, to proposals")
    read = {key: _proposal(f"{name}: {key}", value) for key, value in content.items()}
    by_action = {proposal.action: proposal for proposal in read.values()}
    found = {}
    for pair in pairs:
        proposal = read.get(pair.key) or by_action.get(pair.action) or (next(iter(read.values())) if len(read) == 1 else None)
        if proposal is None:
            raise InputError(f"proposals={name}: has neither pair {pair.key!r} nor action {pair.action!r}; it has "
                             f"{', '.join(read)}")
        found[pair.key] = proposal
    return found


def _proposal(place: str, value: Any) -> Proposal:
    try:
        differences = tuple(Difference(str(one["id"]), str(one["name"]), _text(one["statement"]), _span(one.get("span", "frame")),
                                       one.get("opposite"), one.get("query")) for one in value["differences"])
        stages = tuple(Stage(str(one["id"]), str(one["name"]), str(one.get("description", "")),
                             tuple(_text(text) for text in one["retrieval_strings"]),
                             tuple(str(link) for link in one["difference_ids"])) for one in value["stages"])
        return Proposal(str(value["action"]), differences, stages)
    except KeyError as error:
        raise InputError(f"{place}: has no {error.args[0]!r}") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{place}: is no proposal ({error})") from error


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{value!r} is no text")
    return value


def _span(value: Any) -> Any:
    if value not in ("frame", "several"):
        raise ValueError(f"span {value!r}: allowed is frame or several")
    return value
