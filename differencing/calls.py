"""Asking language models: validated answers or a recorded failure, bounded in number, money and patience.

One client for text and pictures, for any server that speaks OpenAI's chat completions.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

from ..errors import MissingExtraError
from .cache import AnswerCache, StoredAnswer
from .prices import most_usd, needed_price, price_of
from .request import AnswerError, CutOffAnswerError, RefutedAnswerError, Request, UnusableAnswerError

log = logging.getLogger("clipreel")
CacheMode = Literal["use", "replay", "off"]
_SHOWN_LETTERS = 200  # of a strange answer, in a message
_REFUSALS = ("unsupported_parameter", "unsupported_value")  # OpenAI's words for them
_OPTIONAL = {"max_tokens": "called max_completion_tokens", "temperature": "left out", "seed": "left out"}


@dataclass(frozen=True)
class Reply:
    """`value` is the checked answer; where it is None `error` says why. `is_unusable`: an answer came and was no use, and
    asking again is no remedy; otherwise there was none (no connection, no money left, not in a replayed cache)."""

    value: Any
    error: str | None = None
    from_cache: bool = False
    is_unusable: bool = False


@dataclass
class Spending:
    """What the calls of one run took. Cached answers cost nothing; what a server took for a request that failed on the way is
    not known here."""

    calls: int = 0  # answers that came, usable or not
    cached: int = 0
    repaired: int = 0  # requests that took more than one call
    failed: int = 0  # requests without a usable answer
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0  # the sum of the calls' latencies
    cost_usd: float | None = 0.0  # None: a model without a known price

    def __str__(self) -> str:
        cost = "price unknown" if self.cost_usd is None else f"${self.cost_usd:.4f}"
        return (f"{self.calls} calls, {self.cached} answers from the cache, {self.repaired} had only after a repair, {self.failed} "
                f"not had; {self.input_tokens} tokens in, {self.output_tokens} out; {cost}; {self.seconds:.1f} s of waiting")


class LanguageClient:
    """Asks `base_url`; threads share it.

    A request is sent again, `retries` times at most and after the server's Retry-After, on 408, 409, 429, 5xx, a timeout or a
    broken connection. An answer that is no use is asked for again, `attempts` calls at most: first with its faults told to the
    model, then anew. `max_cost_usd` stops before the call that could go over it. `cache_mode`: use reads and writes, replay
    never calls out, off neither reads nor writes.
    """

    def __init__(self, cache: AnswerCache | None, *, base_url: str | None = None, cache_mode: CacheMode = "use",
                 concurrency: int = 8, timeout_seconds: float = 120.0, retries: int = 5, attempts: int = 3,
                 max_cost_usd: float | None = None, prices: tuple[float, float] | None = None):
        self._cache, self._mode, self._base_url = cache, cache_mode, base_url
        self._concurrency, self._timeout, self._retries, self._attempts = concurrency, timeout_seconds, retries, attempts
        self._limit, self._prices = max_cost_usd, prices
        self._changed, self._promised, self._under_way = threading.Condition(), 0.0, 0  # money set aside, for so many calls
        self._stopped = False
        self._refused: dict[str, set[str]] = {}  # by model: parameters that it does not take
        self._client: Any = None
        self.spending = Spending()

    def close(self) -> None:
        self._stopped = True
        if self._cache is not None:
            self._cache.close()

    def ask(self, requests: Sequence[Request]) -> list[Reply]:
        """Replies in order; one that fails is a Reply with an error. Equal requests are sent once.

        Raises ConfigError where the cache cannot be used, or the cost is limited and a price not known.
        """
        distinct = {request.key: request for request in requests}
        if self._limit is not None and self._mode != "replay":
            for request in distinct.values():
                needed_price(request.model, self._prices)
        pool = ThreadPoolExecutor(max_workers=self._concurrency)
        try:
            replies = dict(zip(distinct, pool.map(self._answer, distinct.values()), strict=True))
        except BaseException:
            self._stopped = True
            raise
        finally:  # who interrupts does not wait for answers that are under way
            pool.shutdown(wait=False, cancel_futures=True)
        return [replies[request.key] for request in requests]

    def one(self, request: Request) -> Any:
        """The answer's value. Raises AnswerError."""
        (reply,) = self.ask([request])
        if reply.error is not None:
            raise AnswerError(f"{request.name}: {reply.error}")
        return reply.value

    def known(self, request: Request) -> Any:
        """The checked answer in the cache, else None."""
        stored = self._cache.get(request.key) if self._cache is not None and self._mode != "off" else None
        if stored is None:
            return None
        try:
            return request.value_of(stored.text)
        except AnswerError:  # of an older check: to be asked again
            return None

    def announce(self, purpose: str, requests: Sequence[Request], more: Sequence[tuple[Request, int]] = ()) -> None:
        """Log how many answers there are to pay for and what they cost at most, an answer each. `more`: requests whose text is
        not known yet, with how many tokens it may have beyond that which is."""
        if self._mode == "replay":
            return
        distinct = {request.key: request for request in requests}
        asked = [(request, 0) for request in distinct.values() if self.known(request) is None] + list(more)
        bounds = []
        for request, tokens in asked:
            price = price_of(request.model, self._prices)
            bounds.append(None if price is None else most_usd(request, request.messages, price, tokens))
        cost = "" if not asked else ", at a price that is not known (prices= says it)" if None in bounds else (
            f", at most ${sum(bound or 0.0 for bound in bounds):.4f} at an answer each")
        log.info("%s: %d questions to ask%s", purpose, len(asked), cost)

    def _answer(self, request: Request) -> Reply:
        value = self.known(request)
        if value is not None:
            with self._changed:
                self.spending.cached += 1
            return Reply(value, from_cache=True)
        if self._mode == "replay":
            return self._failed(AnswerError("no answer to it is in the cache, and cache=replay never asks: of "
                                            f"{request.model} this was not asked with this seed and these inputs"))
        sent, messages, was_told = request, request.messages, False
        problem = AnswerError("it was not asked")
        for attempt in range(self._attempts):
            try:
                text, answer = self._call(sent, messages)
                value = request.value_of(text)
            except RefutedAnswerError as error:
                problem = error
                was_told = not was_told and bool(error.text)
                sent = request if was_told else replace(request, seed=request.seed + attempt + 1)
                messages = request.messages + _told(error) * was_told
            except CutOffAnswerError as error:
                problem, was_told = error, False
                sent, messages = replace(request, max_tokens=2 * sent.max_tokens), request.messages
            except AnswerError as error:
                return self._failed(error)
            else:
                if self._cache is not None and self._mode == "use":
                    self._cache.put(request.key, answer)
                with self._changed:
                    self.spending.repaired += attempt > 0
                return Reply(value)
        return self._failed(problem)

    def _failed(self, error: AnswerError) -> Reply:
        with self._changed:
            self.spending.failed += 1
        return Reply(None, str(error), is_unusable=isinstance(error, UnusableAnswerError))

    def _call(self, request: Request, messages: list[dict[str, Any]]) -> tuple[str, StoredAnswer]:
        """One completion. Raises AnswerError."""
        with self._money(request, messages):
            began = time.perf_counter()
            completion = self._sent(request, messages)
            seconds = time.perf_counter() - began
            tokens = self._count(request, messages, completion, seconds)
        choice = (getattr(completion, "choices", None) or [None])[0]
        message = getattr(choice, "message", None)
        if choice is None or message is None:
            raise AnswerError(f"the server's answer is no chat completion: {str(completion)[:_SHOWN_LETTERS]}")
        if getattr(message, "refusal", None) or choice.finish_reason == "content_filter":
            raise UnusableAnswerError(f"the model refused ({message.refusal or 'content filter'})")
        if choice.finish_reason == "length":
            raise CutOffAnswerError(f"the answer was cut off after {request.max_tokens} tokens")
        text = message.content.encode(errors="replace").decode() if isinstance(message.content, str) else ""
        return text, StoredAnswer(request.model, text, *tokens, seconds)

    def _sent(self, request: Request, messages: list[dict[str, Any]]) -> Any:
        """What the server says. Newer models refuse parameters that older ones need: those are left out from then on."""
        connection = self._connection()
        import openai

        while True:
            parameters = _without(request.parameters, self._refused.get(request.model, ()))
            try:
                return connection.chat.completions.create(messages=messages, **parameters)
            except openai.APIStatusError as error:
                if error.code not in _REFUSALS or error.param not in _OPTIONAL or error.param not in parameters:
                    raise AnswerError(f"the server answered {error.status_code}: {error.message}") from error
                with self._changed:
                    self._refused[request.model] = {*self._refused.get(request.model, ()), error.param}
                log.info("%s does not take this %s: it is %s", request.model, error.param, _OPTIONAL[error.param])
            except openai.OpenAIError as error:
                raise AnswerError(f"the server at {self._base_url or 'api.openai.com'} cannot be asked ({error})") from error
            except (ValueError, TypeError) as error:
                raise AnswerError(f"the server's answer is no chat completion ({error})") from error

    @contextmanager
    def _money(self, request: Request, messages: list[dict[str, Any]]) -> Iterator[None]:
        """Sets the call's highest price aside while it is under way. Where that would be too much it waits for what other
        calls leave over. Raises AnswerError."""
        if self._stopped:
            raise AnswerError("the run was interrupted")
        if self._limit is None:
            yield
            return
        most = most_usd(request, messages, needed_price(request.model, self._prices))
        with self._changed:
            while (self.spending.cost_usd or 0.0) + self._promised + most > self._limit:
                if self._under_way == 0:
                    raise AnswerError(f"max_cost_usd={self._limit:g} would be passed (${self.spending.cost_usd or 0:.4f} spent, "
                                      f"and this call may cost ${most:.4f}); raise it and run again: what is answered is kept")
                self._changed.wait()
            self._promised, self._under_way = self._promised + most, self._under_way + 1
        try:
            yield
        finally:
            with self._changed:
                self._under_way -= 1
                self._promised = self._promised - most if self._under_way else 0.0
                self._changed.notify_all()

    def _count(self, request: Request, messages: list[dict[str, Any]], completion: Any, seconds: float) -> tuple[int, int]:
        """Tokens in and out. Where the server does not say them, the highest price counts."""
        usage = getattr(completion, "usage", None)
        tokens = (getattr(usage, "prompt_tokens", None) or 0, getattr(usage, "completion_tokens", None) or 0)
        price = price_of(request.model, self._prices)
        with self._changed:
            spent = self.spending
            spent.calls, spent.seconds = spent.calls + 1, spent.seconds + seconds
            spent.input_tokens, spent.output_tokens = spent.input_tokens + tokens[0], spent.output_tokens + tokens[1]
            if price is None:
                spent.cost_usd = None
            elif spent.cost_usd is not None:
                spent.cost_usd += price.usd(*tokens) if any(tokens) else most_usd(request, messages, price)
        return tokens

    def _connection(self) -> Any:
        with self._changed:
            if self._client is None:
                try:
                    from openai import OpenAI
                except ImportError as error:
                    raise MissingExtraError("openai", "differencing", "asking a language model") from error
                # A local server wants no key, but the client does.
                key = "none" if self._base_url and not os.environ.get("OPENAI_API_KEY") else None
                self._client = OpenAI(api_key=key, base_url=self._base_url, timeout=self._timeout, max_retries=self._retries)
            return self._client


def _without(parameters: dict[str, Any], refused: Collection[str]) -> dict[str, Any]:
    kept = {name: value for name, value in parameters.items() if name not in refused}
    return kept | {"max_completion_tokens": parameters["max_tokens"]} if "max_tokens" in refused else kept


def _told(error: RefutedAnswerError) -> list[dict[str, Any]]:
    return [{"role": "assistant", "content": error.text},
            {"role": "user", "content": f"That cannot be used: {error} Answer again, with JSON of the asked form alone."}]
