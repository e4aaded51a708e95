"""Asking language models: validated answers or a recorded failure, bounded in number, money and patience.

One client for text and pictures, for any server that speaks OpenAI's chat completions.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ..errors import ClipreelError, ConfigError, MissingExtraError
from .cache import AnswerCache, StoredAnswer

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion

log = logging.getLogger("clipreel")
CacheMode = Literal["use", "replay", "off"]
# US dollars for a million tokens, in and out, November 2024; `prices=` overrides.
PRICES = {"gpt-4o": (2.5, 10.0), "gpt-4o-2024-08-06": (2.5, 10.0), "gpt-4o-2024-05-13": (5.0, 15.0),
          "gpt-4o-mini": (0.15, 0.6), "gpt-4o-mini-2024-07-18": (0.15, 0.6)}
_IMAGE_TOKENS = {"low": 85, "high": 1105, "auto": 1105}  # of a picture of up to 1024 x 1024, for the estimate


class AnswerError(ClipreelError):
    """A model gave no answer that can be used; the message says why."""


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
                                                                           "schema": self.schema}}}

    @property
    def key(self) -> str:
        """SHA-256 of everything that the server is sent, pictures' bytes, detail and schema included."""
        whole = json.dumps([self.parameters, self.messages], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(whole.encode()).hexdigest()


@dataclass(frozen=True)
class Reply:
    """`value` is the checked answer; where it is None `error` says why."""

    value: Any
    error: str | None = None
    from_cache: bool = False


@dataclass
class Spending:
    """What the calls of one run took. Cached answers cost nothing."""

    calls: int = 0
    cached: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    cost_usd: float | None = 0.0  # None: a model without a known price


class LanguageClient:
    """Asks `base_url`; threads share it.

    `max_cost_usd` stops before the call that would go over it. `cache_mode`: use reads and writes, replay never calls out,
    off neither reads nor writes.
    """

    def __init__(self, cache: AnswerCache | None, *, base_url: str | None = None, cache_mode: CacheMode = "use",
                 concurrency: int = 8, timeout_seconds: float = 120.0, retries: int = 5, attempts: int = 2,
                 max_cost_usd: float | None = None, prices: tuple[float, float] | None = None):
        self._cache, self._mode, self._base_url = cache, cache_mode, base_url
        self._concurrency, self._timeout, self._retries, self._attempts = concurrency, timeout_seconds, retries, attempts
        self._limit, self._prices = max_cost_usd, prices
        self._lock, self._promised = threading.Lock(), 0.0
        self._client: Any = None
        self.spending = Spending()

    def close(self) -> None:
        if self._cache is not None:
            self._cache.close()

    def ask(self, requests: Sequence[Request]) -> list[Reply]:
        """Replies in order; one that fails is a Reply with an error. Equal requests are sent once."""
        distinct = {request.key: request for request in requests}
        if self._limit is not None:
            for request in distinct.values():
                self._price(request.model)  # an unknown one is refused before the first call
        with ThreadPoolExecutor(max_workers=self._concurrency) as pool:
            try:
                replies = dict(zip(distinct, pool.map(self._answer, distinct.values()), strict=True))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return [replies[request.key] for request in requests]

    def one(self, request: Request) -> Any:
        """The answer's value. Raises AnswerError."""
        (reply,) = self.ask([request])
        if reply.error is not None:
            raise AnswerError(f"{request.name}: {reply.error}")
        return reply.value

    def estimate_usd(self, requests: Sequence[Request]) -> float | None:
        """What those would cost that are not in the cache, at a full answer each; None without a known price."""
        total = 0.0
        for request in {request.key: request for request in requests}.values():
            if self._mode != "off" and self._cache is not None and self._cache.get(request.key) is not None:
                continue
            if self._prices is None and request.model not in PRICES:
                return None
            total += self._most(request)
        return total

    def _answer(self, request: Request) -> Reply:
        stored = self._cache.get(request.key) if self._cache is not None and self._mode != "off" else None
        if stored is not None:
            try:
                value = _checked(request, stored.text)
            except AnswerError:  # of an older check: ask again
                pass
            else:
                with self._lock:
                    self.spending.cached += 1
                return Reply(value, from_cache=True)
        if self._mode == "replay":
            return Reply(None, f"no answer to it is in the cache, and cache=replay never asks ({request.model})")
        messages, problem = request.messages, ""
        for _ in range(self._attempts):
            try:
                text, answer = self._call(request, messages)
                value = _checked(request, text)
            except AnswerError as error:
                problem = str(error)
                with self._lock:
                    self.spending.failed += 1
                if not isinstance(error, _Refuted):
                    break
                messages = [*request.messages, {"role": "assistant", "content": error.text},
                            {"role": "user", "content": f"That cannot be used: {problem} Answer again, with JSON of the asked "
                                                        "form alone."}]
                continue
            if self._cache is not None and self._mode == "use":
                self._cache.put(request.key, answer)
            return Reply(value)
        return Reply(None, problem)

    def _call(self, request: Request, messages: list[dict[str, Any]]) -> tuple[str, StoredAnswer]:
        import openai

        most = self._most(request) if self._limit is not None else 0.0
        with self._lock:
            if self._limit is not None and (self.spending.cost_usd or 0.0) + self._promised + most > self._limit:
                raise AnswerError(f"max_cost_usd={self._limit:g} is used up ({self.spending.cost_usd:.4f} spent); raise it and run "
                                  "again: what is answered is kept")
            self._promised += most
        began = time.perf_counter()
        try:
            completion: ChatCompletion = self._connection().chat.completions.create(messages=messages, **request.parameters)
        except openai.APIStatusError as error:
            raise AnswerError(f"the server answered {error.status_code}: {error.message}") from error
        except openai.OpenAIError as error:
            raise AnswerError(f"the server at {self._base_url or 'api.openai.com'} cannot be asked ({error})") from error
        finally:
            with self._lock:
                self._promised -= most
        seconds = time.perf_counter() - began
        tokens = (completion.usage.prompt_tokens, completion.usage.completion_tokens) if completion.usage else (0, 0)
        self._count(request.model, *tokens, seconds)
        if not completion.choices:
            raise AnswerError("the server's answer holds no choice")
        choice = completion.choices[0]
        if choice.message.refusal:
            raise AnswerError(f"the model refused ({choice.message.refusal})")
        text = choice.message.content or ""
        if choice.finish_reason == "length":
            raise AnswerError(f"the answer was cut off after {request.max_tokens} tokens")
        return text, StoredAnswer(request.model, text, *tokens, seconds)

    def _connection(self) -> Any:
        with self._lock:
            if self._client is None:
                try:
                    from openai import OpenAI
                except ImportError as error:
                    raise MissingExtraError("openai", "differencing", "asking a language model") from error
                # A local server wants no key, but the client does.
                key = "none" if self._base_url and not _has_key() else None
                self._client = OpenAI(api_key=key, base_url=self._base_url, timeout=self._timeout, max_retries=self._retries)
            return self._client

    def _count(self, model: str, tokens_in: int, tokens_out: int, seconds: float) -> None:
        with self._lock:
            spent = self.spending
            spent.calls, spent.seconds = spent.calls + 1, spent.seconds + seconds
            spent.input_tokens, spent.output_tokens = spent.input_tokens + tokens_in, spent.output_tokens + tokens_out
            if self._prices is None and model not in PRICES:
                spent.cost_usd = None
            elif spent.cost_usd is not None:
                price_in, price_out = self._price(model)
                spent.cost_usd += (tokens_in * price_in + tokens_out * price_out) / 1e6

    def _price(self, model: str) -> tuple[float, float]:
        if self._prices is not None:
            return self._prices
        if model not in PRICES:
            raise ConfigError(f"max_cost_usd={self._limit}: the price of {model} is not known; give prices=[IN, OUT], dollars for "
                              "a million tokens")
        return PRICES[model]

    def _most(self, request: Request) -> float:
        """A bound on the price of one call: 3 letters a token, a full answer."""
        price_in, price_out = self._price(request.model)
        parts = request.content if isinstance(request.content, list) else [{"type": "text", "text": request.content}]
        letters = len(request.system) + sum(len(part.get("text", "")) for part in parts) + len(json.dumps(request.schema))
        details = [part["image_url"].get("detail", "auto") for part in parts if part["type"] == "image_url"]
        images = sum(_IMAGE_TOKENS.get(detail, 1105) for detail in details)
        return ((letters / 3 + images) * price_in + request.max_tokens * price_out) / 1e6


class _Refuted(AnswerError):
    """An answer that came but cannot be used; the model is told."""

    def __init__(self, problem: str, text: str):
        super().__init__(problem)
        self.text = text


def _checked(request: Request, text: str) -> Any:
    from jsonschema import Draft202012Validator

    try:
        value = json.loads(text)
    except ValueError as error:
        raise _Refuted(f"it is no JSON ({error}).", text) from error
    problems = [f"{'/'.join(map(str, error.path)) or 'the answer'}: {error.message}"
                for error in Draft202012Validator(request.schema).iter_errors(value)] or request.check(value)
    if problems:
        raise _Refuted("; ".join(problems[:5]) + ".", text)
    return value


def _has_key() -> bool:
    import os

    return bool(os.environ.get("OPENAI_API_KEY"))
