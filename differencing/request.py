"""One question to a language model: what the server is sent, the key of its answer, and what makes an answer usable."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ..errors import ClipreelError, MissingExtraError

# OpenAI's strict mode refuses a schema that has them; answers are held to them all the same.
_NOT_SENT = {"pattern", "minItems"}


class AnswerError(ClipreelError):
    """A model gave no answer that can be used; the message says why."""


class UnusableAnswerError(AnswerError):
    """An answer came, and is no use: cut off, refused, no JSON, of another form."""


class RefutedAnswerError(UnusableAnswerError):
    """An answer that the model can be told the faults of."""

    def __init__(self, problem: str, text: str):
        super().__init__(problem)
        self.text = text


class CutOffAnswerError(UnusableAnswerError):
    """An answer that ended at `max_tokens`."""


@dataclass(frozen=True)
class Request:
    """One question. `content` is OpenAI's: a text, or a list of parts with pictures as data URIs. `check` may refuse what the
    schema cannot: it returns complaints in words, which the model is shown once."""

    name: str  # for messages
    model: str
    system: str
    content: str | list[dict[str, Any]]
    schema: Mapping[str, Any]
    check: Callable[[Any], list[str]] = field(default=lambda _: [], compare=False)
    temperature: float = 0.0
    seed: int = 0
    max_tokens: int = 2048

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [{"role": "system", "content": self.system}, {"role": "user", "content": self.content}]

    @property
    def parameters(self) -> dict[str, Any]:
        """All that goes to the server but the messages."""
        return {"model": self.model, "temperature": self.temperature, "seed": self.seed, "max_tokens": self.max_tokens,
                "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "strict": True,
                                                                           "schema": _sent(self.schema)}}}

    @cached_property
    def key(self) -> str:
        """SHA-256 of everything that the server is sent, pictures' bytes, detail and schema included; no address, no key."""
        whole = json.dumps([self.parameters, self.messages], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(whole.encode(errors="surrogatepass")).hexdigest()

    def value_of(self, text: str) -> Any:
        """The answer in a model's text: it alone, or the only thing in braces in a chatty one. Raises RefutedAnswerError."""
        try:
            from jsonschema import Draft202012Validator
        except ImportError as error:
            raise MissingExtraError("jsonschema", "differencing", "checking a language model's answers") from error
        value = _json_in(text)
        problems = [f"{'/'.join(map(str, error.path)) or 'the answer'}: {error.message}"
                    for error in Draft202012Validator(self.schema).iter_errors(value)] or self.check(value)
        if problems:
            raise RefutedAnswerError("; ".join(problems[:5]) + ".", text)
        return value


def _sent(schema: Any) -> Any:
    if isinstance(schema, Mapping):
        return {name: _sent(value) for name, value in schema.items() if name not in _NOT_SENT}
    return [_sent(value) for value in schema] if isinstance(schema, list) else schema


def _json_in(text: str) -> Any:
    """Models put answers into fences, or words around them."""
    problem = None
    for candidate in (text, text[text.find("{"):text.rfind("}") + 1]):
        try:
            value = json.loads(candidate)
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
            return value
        except (ValueError, RecursionError) as error:  # ValueError: also NaN, and half of a surrogate pair
            problem = problem or error
    raise RefutedAnswerError(f"it is no JSON ({problem}).", text) from problem
