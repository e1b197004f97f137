"""What a model costs: a dated table, the user's own prices before it, and the arithmetic."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

from dbprompt.calls.base_numbers import check_number, check_whole
from dbprompt.messages import Reply, Usage

__all__ = ["Price", "price_of", "price_table", "priced"]

_DATE = re.compile(r"-(\d{8}|\d{4}-\d{2}-\d{2})$")
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs, in US dollars a million tokens.

    Args:
        input: of the prompt.
        output: of the answer, thinking included.
        cache_read: of the prompt's part that was read from a cache; as `input` if not given.
        cache_write: of the part that was written to a cache; as `input` if not given.
        long_from: a prompt of more tokens than this costs `long`, all of it and its answer too.
        long: what a long prompt costs; None if it costs the same.
        batch: the share of all this that a batch costs; None if nobody told.
        as_of: the day on which somebody looked.
        source: where.
    """

    input: float
    output: float
    cache_read: float | None = None
    cache_write: float | None = None
    long_from: int | None = None
    long: Price | None = None
    batch: float | None = None
    as_of: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        wanted = "give US dollars a million tokens, 0 at least"
        for name in ("input", "output", "cache_read", "cache_write"):
            value = getattr(self, name)
            if value is not None or name in ("input", "output"):
                check_number(f"{name} of a Price", value, wanted, least=0)
        if self.batch is not None:
            check_number("batch of a Price", self.batch, "give the share of the price, as 0.5", least=0, most=1)
        if self.long_from is not None:
            check_whole("long_from of a Price", self.long_from, "give a number of tokens", least=0)
        if not isinstance(self.long, Price | None):
            raise TypeError(f"long of a Price is {self.long!r}: give the Price of a long prompt")

    def of(self, usage: Usage) -> float:
        """What one request cost.

        >>> Price(5, 25, cache_read=0.5).of(Usage(1, 1_000_000, 100_000, cache_read_tokens=800_000))
        3.9
        """
        if self.long is not None and usage.input_tokens > (self.long_from or 0):
            return self.long.of(usage)
        read = self.input if self.cache_read is None else self.cache_read
        write = self.input if self.cache_write is None else self.cache_write
        plain = max(0, usage.input_tokens - usage.cache_read_tokens - usage.cache_write_tokens)
        spent = plain * self.input + usage.cache_read_tokens * read + usage.cache_write_tokens * write
        return (spent + usage.output_tokens * self.output) / _MILLION

    def in_a_batch(self) -> Price | None:
        """What it costs in a batch; None if nobody told."""
        return None if self.batch is None else self._times(self.batch)

    def _times(self, share: float) -> Price:
        read, write = self.cache_read, self.cache_write
        return replace(
            self,
            input=self.input * share,
            output=self.output * share,
            cache_read=None if read is None else read * share,
            cache_write=None if write is None else write * share,
            long=self.long and self.long._times(share),
        )

    def most(self, input_tokens: int, output_tokens: int) -> float:
        """What a request can cost at most: all of its prompt is charged as the dearest kind of input."""
        if self.long is not None and input_tokens > (self.long_from or 0):
            return max(self.long.most(input_tokens, output_tokens), self._most(input_tokens, output_tokens))
        return self._most(input_tokens, output_tokens)

    def output_for(self, dollars: float, input_tokens: int) -> float:
        """How many tokens the answer to such a prompt can have for so much money."""
        left = dollars - self.most(input_tokens, 0)
        token = self.most(input_tokens, _MILLION) - self.most(input_tokens, 0)
        return left / token * _MILLION if token > 0 else (float("inf") if left >= 0 else -1.0)

    def _most(self, input_tokens: int, output_tokens: int) -> float:
        dearest = max(self.input, self.cache_read or 0.0, self.cache_write or 0.0)
        return (input_tokens * dearest + output_tokens * self.output) / _MILLION


def priced(reply: Reply, price: Price | None) -> Usage:
    """What one request used, with its cost if that can be told; a provider that tells it by itself is right.

    No part of it has more tokens than what it is a part of, whatever the provider says.
    """
    told = reply.usage
    read = min(told.cache_read_tokens, told.input_tokens)
    usage = replace(
        told,
        cache_read_tokens=read,
        cache_write_tokens=min(told.cache_write_tokens, told.input_tokens - read),
        reasoning_tokens=min(told.reasoning_tokens, told.output_tokens),
    )
    if price is None or told.cost_usd is not None or not reply.counted:
        return usage
    return replace(usage, cost_usd=price.of(usage))


def price_of(model: str, prices: Mapping[str, Price] | None = None, *, shipped: bool = True) -> Price | None:
    """What a model costs: by the given prices, else (if `shipped`) by the table; None if nobody says.

    A name fits exactly, or with the date of a snapshot behind it; nothing is guessed.

    >>> price_of("anthropic:claude-opus-5-20260101") == price_of("anthropic:claude-opus-5")
    True
    """
    dateless = _DATE.sub("", model)
    for known in (prices or {}, price_table() if shipped else {}):
        for name in (model, dateless):
            if name in known:
                return known[name]
    return None


@cache
def price_table() -> Mapping[str, Price]:
    """The prices that ship with dbprompt, by `provider:model`."""
    import tomllib

    table: dict[str, Price] = {}
    read = tomllib.loads((files("dbprompt.calls") / "prices.toml").read_text(encoding="utf-8"))
    for provider, told in read.items():
        shared = {"as_of": told["as_of"].isoformat(), "source": told["source"], "batch": told["batch"]}
        for model, price in told["models"].items():
            long = price.pop("long", None)
            table[f"{provider}:{model}"] = Price(**{**shared, **price, "long": Price(**long) if long else None})
    return table
