"""Stage 1: from an action's description to differences, stages, retrieval texts, and links between them.

Source: VidDiff (ICLR 2025), its proposer: four questions to a language model that never sees the videos. What is asked once
for an action is asked once, since equal requests are one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .calls import LanguageClient, Reply
from .records import Difference, Pair, Proposal, Stage
from .request import Request

MOST_STAGES = 5
_SYSTEM = "You help to compare how two people, or two machines, perform the same action. Answer with JSON alone."
_TEXT = {"type": "string", "pattern": r"\S"}
_MOST_SEED = 1 << 31  # what every server takes


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _list(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1}


DIFFERENCES = _object(differences=_list(_object(
    name=_TEXT, statement=_TEXT, opposite=_TEXT, span={"type": "string", "enum": ["frame", "several"]})))
STAGES = _object(stages=_list(_object(name=_TEXT, description=_TEXT, retrieval_strings=_list(_TEXT))))
LINKS = _object(links=_list(_object(difference=_TEXT, stages=_list(_TEXT))))


@dataclass(frozen=True)
class Proposer:
    """Asks `model`. `retrieval_strings`: the fewest texts a stage may have before the similar ones are taken out."""

    client: LanguageClient
    model: str
    seed: int
    retrieval_strings: int

    def propose(self, pairs: Sequence[Pair], *, is_open: bool) -> dict[str, Proposal | str]:
        """By pair key a proposal, or the reason why there is none. Open: differences are proposed, as many as the pair
        allows; else they are the pair's annotated ones."""
        failed = {} if is_open else {pair.key: "stage 1: the dataset has no difference for it"
                                     for pair in pairs if not pair.differences}
        self._announce([pair for pair in pairs if pair.key not in failed], is_open)
        differences = {pair.key: pair.differences for pair in pairs}
        if is_open:
            # Each pair for itself: one bad list must not spoil a whole action.
            answers = self._wave(pairs, failed, lambda pair: self._differences(pair))
            differences = {key: _listed(value) for key, value in answers.items()}
        stages = self._wave(pairs, failed, lambda pair: self._stages(pair))
        refined = self._wave(pairs, failed, lambda pair: self._refined(pair, stages[pair.key]["stages"]))
        links = self._wave(pairs, failed,
                           lambda pair: self._links(pair, refined[pair.key]["stages"], differences[pair.key]))
        return {pair.key: failed[pair.key] if pair.key in failed else _assembled(
            pair, differences[pair.key], refined[pair.key]["stages"], links[pair.key]["links"]) for pair in pairs}

    def _announce(self, pairs: Sequence[Pair], is_open: bool) -> None:
        """Say what is to be asked and paid for. What answers will go into questions is bounded by its longest."""
        known, now, later = self.client.known, list[Request](), dict[tuple[str, ...], tuple[Request, int]]()
        for pair in pairs:
            differences: Sequence[Difference] | None = pair.differences
            first = self._stages(pair)
            asked = [self._differences(pair)] if is_open else []
            if is_open:
                answer = known(asked[0])
                differences = None if answer is None else _listed(answer)
            stages, texts = known(first), None
            if stages is None:
                later[first.key, "texts"] = self._refined(pair, []), first.max_tokens
            else:
                asked.append(self._refined(pair, stages["stages"]))
                texts = known(asked[-1])
            if texts is not None and differences is not None:
                asked.append(self._links(pair, texts["stages"], differences))
            else:
                links = self._links(pair, [], differences or ())
                later[first.key, "links", pair.key if differences is None else links.key] = links, 2 * links.max_tokens
            now += [first, *asked]
        self.client.announce("stage 1", now, list(later.values()))

    def _wave(self, pairs: Sequence[Pair], failed: dict[str, str], request: Callable[[Pair], Request]) -> dict[str, Any]:
        """One question for every pair that has not failed yet."""
        asked = [pair for pair in pairs if pair.key not in failed]
        replies: list[Reply] = self.client.ask([request(pair) for pair in asked])
        failed |= {pair.key: f"stage 1: {reply.error}" for pair, reply in zip(asked, replies, strict=True) if reply.error}
        return {pair.key: reply.value for pair, reply in zip(asked, replies, strict=True) if not reply.error}

    def _request(self, name: str, text: str, schema: Mapping[str, Any], check: Callable[[Any], list[str]], seed: int) -> Request:
        return Request(name, self.model, _SYSTEM, text, schema, check, temperature=1.0, seed=seed % _MOST_SEED)

    def _differences(self, pair: Pair) -> Request:
        limit = pair.allowed_differences or 6

        def check(value: Any) -> list[str]:
            given = value["differences"]
            names = {_plain(one["name"]) for one in given}
            return ([f"there are {len(given)} differences, and {limit} are allowed"] if len(given) > limit else []) + (
                ["two differences have the same name"] if len(names) < len(given) else [])

        text = (f"Two videos show this action: {pair.action_description}\nName {limit} ways in which the two performances may "
                "visibly differ, the ones that matter most first. For each give a short name; a statement that could be truer "
                "of one video than of the other, without naming the videos (such as \"the feet are wider apart\"); the opposite "
                "statement; and as span \"frame\" if one picture can show it, \"several\" if it takes pictures over time.")
        return self._request(f"{pair.key}: differences", text, DIFFERENCES, check, self.seed + pair.seed)

    def _stages(self, pair: Pair) -> Request:
        def check(value: Any) -> list[str]:
            return _stage_problems(value, self.retrieval_strings)

        text = (f"An action: {pair.action_description}\nDivide it into stages in the order in which they happen, {MOST_STAGES} at "
                "most. For each give a name, a description, and texts that a picture of this stage would match and pictures of "
                f"the other stages would not: at least {self.retrieval_strings}, each starting with \"A photo of\", each "
                "describing what is visible in one picture, without the action's name.")
        return self._request(f"{pair.action}: stages", text, STAGES, check, self.seed)

    def _refined(self, pair: Pair, stages: list[dict[str, Any]]) -> Request:
        def check(value: Any) -> list[str]:
            names = [stage["name"] for stage in value["stages"]]
            wanted = [stage["name"] for stage in stages]
            return _stage_problems(value, 1) + ([f"the stages must stay {wanted}, not {names}"] if names != wanted else [])

        text = (f"An action: {pair.action_description}\nIts stages, with texts for finding pictures of each:\n"
                f"{json.dumps(stages, ensure_ascii=False)}\nLeave out texts that would match another stage's pictures as well. "
                "Keep every stage, its name and at least one of its texts.")
        return self._request(f"{pair.action}: texts", text, STAGES, check, self.seed)

    def _links(self, pair: Pair, stages: list[dict[str, Any]], differences: Sequence[Difference]) -> Request:
        numbered = {str(number): f"{stage['name']}: {stage['description']}" for number, stage in enumerate(stages)}
        listed = {one.id: one.statement for one in differences}

        def check(value: Any) -> list[str]:
            given = [link["difference"] for link in value["links"]]
            problems = [f"difference {name!r} is not one of {list(listed)}" for name in given if name not in listed]
            problems += [f"difference {name!r} is linked to no stage" for name in listed if name not in given]
            problems += [f"difference {name!r} is there twice" for name in set(given) if given.count(name) > 1]
            return problems + [f"stage {stage!r} is not one of {list(numbered)}"
                               for link in value["links"] for stage in link["stages"] if stage not in numbered]

        text = (f"An action: {pair.action_description}\nIts stages by number: {json.dumps(numbered, ensure_ascii=False)}\n"
                f"Possible differences by number: {json.dumps(listed, ensure_ascii=False)}\nSay for every difference in which "
                "stages it can be seen: one, or several. Use the numbers.")
        return self._request(f"{pair.key}: links", text, LINKS, check, self.seed)


def _listed(answer: Any) -> tuple[Difference, ...]:
    return tuple(Difference(str(number), one["name"], one["statement"], one["span"], one["opposite"])
                 for number, one in enumerate(answer["differences"]))


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())


def _stage_problems(value: Any, least_strings: int) -> list[str]:
    stages = value["stages"]
    problems = [f"there are {len(stages)} stages, and {MOST_STAGES} are allowed"] if len(stages) > MOST_STAGES else []
    if len({_plain(stage["name"]) for stage in stages}) < len(stages):
        problems.append("two stages have the same name")
    return problems + [f"stage {stage['name']!r} has {len(stage['retrieval_strings'])} texts, at least {least_strings} are needed"
                       for stage in stages if len(stage["retrieval_strings"]) < least_strings]


def _assembled(pair: Pair, differences: Sequence[Difference], stages: list[dict[str, Any]],
               links: list[dict[str, Any]]) -> Proposal:
    of_stage: dict[str, list[str]] = {str(number): [] for number in range(len(stages))}
    for link in links:
        for stage in dict.fromkeys(link["stages"]):
            of_stage[stage].append(link["difference"])
    return Proposal(pair.action, tuple(differences), tuple(
        Stage(str(number), stage["name"], stage["description"], tuple(dict.fromkeys(stage["retrieval_strings"])),
              tuple(of_stage[str(number)])) for number, stage in enumerate(stages)))
