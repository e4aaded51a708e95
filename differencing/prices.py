"""What a call may cost at most: prices of models, and bounds on a request's tokens."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigError
from .request import Request


@dataclass(frozen=True)
class Price:
    """US dollars for a million tokens in and out; and the tokens of one picture at most, at low and at high detail."""

    input_usd: float
    output_usd: float
    picture_tokens: tuple[int, int] = (85, 1445)  # 85, and 170 for each of eight parts of 512 x 512 at most

    def usd(self, input_tokens: float, output_tokens: float) -> float:
        return (input_tokens * self.input_usd + output_tokens * self.output_usd) / 1e6


_MINI = Price(0.15, 0.6, (2833, 48169))
# Of November 2024; `prices=` overrides.
PRICES = {"gpt-4o": Price(2.5, 10.0), "gpt-4o-2024-08-06": Price(2.5, 10.0), "gpt-4o-2024-05-13": Price(5.0, 15.0),
          "gpt-4o-mini": _MINI, "gpt-4o-mini-2024-07-18": _MINI}
_FRAME_TOKENS = 16  # that a message takes beside its text, at most


def price_of(model: str, given: tuple[float, float] | None) -> Price | None:
    """`given` (in, out) before the table; None where neither says it."""
    known = PRICES.get(model)
    if given is None:
        return known
    return Price(*given, known.picture_tokens) if known is not None else Price(*given)


def needed_price(model: str, given: tuple[float, float] | None) -> Price:
    """Raises ConfigError where it is not known."""
    price = price_of(model, given)
    if price is None:
        raise ConfigError(f"max_cost_usd: the price of {model} is not known; give prices=[IN, OUT], dollars for a million tokens")
    return price


def most_usd(request: Request, messages: list[dict[str, Any]], price: Price, more_tokens: int = 0) -> float:
    """A bound on the price of one call: a token has a byte at least, and the answer `max_tokens`. `more_tokens`: of text that is
    not known yet."""
    tokens = more_tokens + len(json.dumps(request.parameters, ensure_ascii=False).encode(errors="replace"))
    for message in messages:
        content = message["content"]
        parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
        tokens += _FRAME_TOKENS + sum(_part_tokens(part, price) for part in parts)
    return price.usd(tokens, request.max_tokens)


def _part_tokens(part: dict[str, Any], price: Price) -> int:
    if part["type"] == "image_url":
        return price.picture_tokens[part["image_url"].get("detail") != "low"]
    return len(part["text"].encode(errors="replace"))
