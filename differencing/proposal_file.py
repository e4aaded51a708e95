"""Stage 1's result as a JSON file: written by every run, to be edited and used again with `proposals=`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from ..configs.load import nearest
from ..errors import InputError
from .records import Difference, Pair, Proposal, Span, Stage


def proposals_record(proposals: Mapping[str, Proposal]) -> dict[str, Any]:
    """What the file holds: a proposal a pair, by the pair's key."""
    return {key: asdict(proposal) for key, proposal in proposals.items()}


def holds(path: Path, record: dict[str, Any]) -> bool:
    """Whether the file says the same."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig")) == json.loads(json.dumps(record))
    except (OSError, ValueError, RecursionError):
        return False


def read_proposals(name: str, pairs: Sequence[Pair]) -> dict[str, Proposal]:
    """By pair key: the file's proposal of that key, else the one whose action is the pair's; a single pair takes the only one
    there is.

    Raises InputError that names the place.
    """
    path = Path(name).expanduser()
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_once)
    except FileNotFoundError as error:
        raise InputError(f"proposals={name}: there is no such file") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"proposals={name}: is no JSON that can be read ({error})") from error
    if not isinstance(content, dict) or not content:
        raise InputError(f"proposals={name}: allowed is a mapping of pairs, or actions, to proposals")
    read = {key: _proposal(f"proposals={name}: {key}", value) for key, value in content.items()}
    by_action = {proposal.action: proposal for proposal in read.values()}
    only = next(iter(read.values())) if len(read) == len(pairs) == 1 else None
    found = {}
    for pair in pairs:
        proposal = read.get(pair.key) or by_action.get(pair.action) or only
        if proposal is None:
            raise InputError(f"proposals={name}: has neither pair {pair.key!r} nor action {pair.action!r}; it has "
                             f"{', '.join(read)}")
        found[pair.key] = proposal
    return found


def check_annotated(name: str, pair: Pair, proposal: Proposal) -> None:
    """In closed benchmark runs the dataset's own statements are judged, by their ids. Raises InputError."""
    given = {difference.id: difference.statement for difference in proposal.differences}
    for difference in pair.differences:
        if pair.truth.get(difference.id) in ("a", "b") and given.get(difference.id) != difference.statement:
            said = f"says {given[difference.id]!r}" if difference.id in given else "is not there"
            raise InputError(f"proposals={name}: for pair {pair.key} difference {difference.id!r} {said}; eval_mode=closed judges "
                             f"the dataset's statement, {difference.statement!r} (eval_mode=open takes any)")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    twice = next((name for place, (name, _) in enumerate(pairs) if name in dict(pairs[:place])), None)
    if twice is not None:
        raise ValueError(f"{twice!r} is there twice")
    return dict(pairs)


def _proposal(place: str, value: Any) -> Proposal:
    _known(place, value, Proposal)
    differences = tuple(_difference(f"{place}, differences[{number}]", one)
                        for number, one in enumerate(_some(place, value, "differences")))
    stages = tuple(_stage(f"{place}, stages[{number}]", one) for number, one in enumerate(_some(place, value, "stages")))
    try:
        return Proposal(_text(place, value, "action"), differences, stages)
    except ValueError as error:
        raise InputError(f"{place}: {error}") from error


def _difference(place: str, value: Any) -> Difference:
    _known(place, value, Difference)
    statement = _text(place, value, "statement")
    return Difference(_id(place, _field(place, value, "id")), _text(place, value, "name"), statement, _span(place, value),
                      *(_text(place, value, name) if value.get(name) is not None else None for name in ("opposite", "query")))


def _stage(place: str, value: Any) -> Stage:
    _known(place, value, Stage)
    texts = _some(place, value, "retrieval_strings")
    links = _field(place, value, "difference_ids")
    if not isinstance(links, list):
        raise InputError(f"{place}: difference_ids is no list")
    description = value.get("description") or ""
    if not isinstance(description, str):
        raise InputError(f"{place}: description is no text")
    return Stage(_id(place, _field(place, value, "id")), _text(place, value, "name"), description,
                 tuple(_text(place, {f"retrieval_strings[{number}]": text}, f"retrieval_strings[{number}]")
                       for number, text in enumerate(texts)),
                 tuple(dict.fromkeys(_id(f"{place}, difference_ids", link) for link in links)))


def _known(place: str, value: Any, kind: type) -> None:
    """A misspelt field that may be left out would change the verdicts without a word."""
    names = [field.name for field in fields(kind)]
    unknown = next((name for name in value if name not in names), None) if isinstance(value, Mapping) else None
    if unknown is not None:
        raise InputError(f"{place}: there is no field {unknown!r}{nearest(unknown, names)} (allowed are {', '.join(names)})")


def _field(place: str, value: Any, name: str) -> Any:
    if not isinstance(value, Mapping):
        raise InputError(f"{place}: is no mapping of fields to values")
    if name not in value:
        raise InputError(f"{place}: has no {name!r}; it has {', '.join(value)}")
    return value[name]


def _some(place: str, value: Any, name: str) -> list[Any]:
    found = _field(place, value, name)
    if not isinstance(found, list) or not found:
        raise InputError(f"{place}: {name} is no list with anything in it")
    return found


def _text(place: str, value: Any, name: str) -> str:
    found = _field(place, value, name)
    if not isinstance(found, str) or not found.strip():
        raise InputError(f"{place}: {name} is {found!r}, and should be a text")
    return found


def _id(place: str, value: Any) -> str:
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        raise InputError(f"{place}: {value!r} is no id; allowed is a text or a whole number")
    return str(value)


def _span(place: str, value: Any) -> Span:
    span = value.get("span", "frame")
    if span not in ("frame", "several"):
        raise InputError(f"{place}: span is {span!r}; allowed is frame or several")
    return span
