"""Matching by a language model: which proposed difference says what an annotated one says, and which say opposites."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from .calls import LanguageClient
from .matching import Proposed
from .request import AnswerError, Request

_BATCH = 6  # pairs of statements a question, as published
_SYSTEM = "You compare statements about how two videos of one action differ. Answer with JSON alone."
_MATCH = {"type": "object", "required": ["annotated", "proposed"], "additionalProperties": False,
          "properties": {"annotated": {"type": "string"}, "proposed": {"type": ["string", "null"]}}}
_MATCHES = {"type": "object", "required": ["matches"], "additionalProperties": False,
            "properties": {"matches": {"type": "array", "items": _MATCH}}}
_OPPOSITES = {"type": "object", "required": ["opposite"], "additionalProperties": False, "properties": {
    "opposite": {"type": "array", "items": {"type": "boolean"}}}}


class LanguageMatcher:
    """Raises AnswerError where the model gives no usable answer."""

    def __init__(self, client: LanguageClient, model: str, seed: int):
        self._client, self._model, self._seed = client, model, seed

    def match(self, pairs: Sequence[Proposed]) -> list[dict[str, str | None]]:
        values = self._asked("matching", [self._match(pair) for pair in pairs])
        return [{one["annotated"]: one["proposed"] for one in value["matches"]} for value in values]

    def opposite(self, pairs: Sequence[tuple[str, str]]) -> list[bool]:
        values = self._asked("opposites", [self._opposites(pairs[begin:begin + _BATCH]) for begin in range(0, len(pairs), _BATCH)])
        return [turned for value in values for turned in value["opposite"]]

    def _asked(self, purpose: str, requests: Sequence[Request]) -> list[Any]:
        """Every answer. Scores of some of them would be of something else: one that fails is the end, the others are kept."""
        self._client.announce(purpose, requests)
        replies = self._client.ask(requests)
        failed = next(((request, reply) for request, reply in zip(requests, replies, strict=True) if reply.error), None)
        if failed is not None:
            raise AnswerError(f"{failed[0].name}: {failed[1].error}")
        return [reply.value for reply in replies]

    def _match(self, pair: Proposed) -> Request:
        truth, proposed = pair.truth, pair.proposed

        def check(value: Any) -> list[str]:
            given = [one["annotated"] for one in value["matches"]]
            used = [one["proposed"] for one in value["matches"] if one["proposed"] is not None]
            problems = [] if sorted(given) == sorted(truth) else [f"annotated must be each of {list(truth)} once, not {given}"]
            problems += [f"{name!r} is no proposed one" for name in used if name not in proposed]
            return problems + (["a proposed one is used twice"] if len(set(used)) < len(used) else [])

        text = (f"The action: {pair.action}\nAnnotated differences by key: {json.dumps(truth, ensure_ascii=False)}\n"
                f"Proposed differences by key: {json.dumps(proposed, ensure_ascii=False)}\nFor every annotated one give the key of "
                "the proposed one that is about the same visible thing, even if it says the opposite; null where there is none. "
                "Use each proposed key once at most.")
        return Request(f"matching, {pair.action}", self._model, _SYSTEM, text, _MATCHES, check, seed=self._seed)

    def _opposites(self, some: Sequence[tuple[str, str]]) -> Request:
        def check(value: Any) -> list[str]:
            given = len(value["opposite"])
            return [] if given == len(some) else [f"there are {given} answers to {len(some)} pairs"]

        text = ("For each pair of statements say whether they are opposites, so that where one is truer of the first video the "
                f"other is truer of the second: {json.dumps(some, ensure_ascii=False)}")
        return Request("opposites", self._model, _SYSTEM, text, _OPPOSITES, check, seed=self._seed)
