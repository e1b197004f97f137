"""What goes to a model and what comes back: plain values, the same for every provider."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Literal, TypeAlias

__all__ = [
    "MOST_TOKENS",
    "Allowance",
    "Json",
    "Message",
    "Origin",
    "OutputSchema",
    "RateLimits",
    "Reply",
    "Request",
    "Role",
    "StopReason",
    "TurnUsage",
    "Usage",
]

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

MOST_TOKENS = 10**12
"""More tokens than this no request has: who tells more has not counted them."""


class Role(StrEnum):
    """Who speaks. A role comes from the file or the caller, never from rendered text."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a prompt. `cache` marks the end of a prefix that later requests will repeat."""

    role: Role
    text: str
    cache: bool = False


@dataclass(frozen=True)
class OutputSchema:
    """The JSON Schema that an answer has to fit: every property required, `additionalProperties` false."""

    name: str
    schema: Mapping[str, Json]

    @property
    def hash(self) -> str:
        """sha256 of the canonical JSON."""
        return self._measured[0]

    @property
    def size(self) -> int:
        """Bytes of the canonical JSON."""
        return self._measured[1]

    @cached_property
    def _measured(self) -> tuple[str, int]:
        text = json.dumps(self.schema, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        return hashlib.sha256(text).hexdigest(), len(text)


@dataclass(frozen=True, slots=True)
class Origin:
    """Which prompt a request was made from: it names a recording, and says why one no longer fits."""

    prompt: str = "messages"
    version: str = ""
    prompt_hash: str = ""
    schema_hash: str = ""
    section: str = ""

    def __str__(self) -> str:
        """`name@version (hash) section`, without what is unknown."""
        name = f"{self.prompt}@{self.version}" if self.version else self.prompt
        mark = f" ({self.prompt_hash[:8]})" if self.prompt_hash else ""
        return f"{name}{mark}" + (f" {self.section}" if self.section else "")


@dataclass(frozen=True, slots=True)
class Request:
    """One question to a model.

    Args:
        messages: system first, then user and assistant turns.
        output: the schema that the answer has to fit.
        max_output_tokens: where the provider cuts the answer off.
        origin: the prompt that it came from.
        native: whether the schema goes to the provider as a schema; else the messages say it in words.
    """

    messages: tuple[Message, ...]
    output: OutputSchema
    max_output_tokens: int = 16_000
    origin: Origin = field(default_factory=Origin)
    native: bool = True


class StopReason(StrEnum):
    """Why the model stopped."""

    COMPLETE = "complete"
    TRUNCATED = "truncated"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider counted them, requests, and what they cost. Values add up.

    `input_tokens` counts all input, cached or not; `cache_read_tokens` and `cache_write_tokens` are parts of it.
    `output_tokens` counts all output; `reasoning_tokens` is the part of it that was thought and not said, where the
    provider tells. A provider that told no tokens is seen by `input_tokens`: they are 0, and no prompt has none.
    `cost_usd` is None where somebody's price or tokens are unknown, and never 0 for that.
    """

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cost_usd: float | None = None

    def __add__(self, other: Usage) -> Usage:
        """The sum, field by field; the cost is known if both are, and nothing costs nothing."""
        return Usage(
            self.requests + other.requests,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cache_read_tokens + other.cache_read_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            self._cost_with(other),
        )

    @property
    def token_texts(self) -> tuple[str, str, str]:
        """Input tokens, those from a cache, and output tokens, as reports write them; unknown where nobody told any."""
        if self.requests and not self.input_tokens:
            return "unknown", "unknown", "unknown"
        return f"{self.input_tokens:,}", f"{self.cache_read_tokens:,}", f"{self.output_tokens:,}"

    @property
    def cost_text(self) -> str:
        """The cost as reports write it: unknown is never $0."""
        return "unknown" if self.cost_usd is None else f"${self.cost_usd:,.4f}"

    def _cost_with(self, other: Usage) -> float | None:
        if not self.requests or not other.requests:
            return self.cost_usd if self.requests else other.cost_usd
        return None if self.cost_usd is None or other.cost_usd is None else self.cost_usd + other.cost_usd


@dataclass(frozen=True, slots=True)
class TurnUsage:
    """What one turn of a job cost: the first ask of a section, or a repair of it.

    Args:
        section: which.
        kind: the first ask, or a repair.
        usage: of all its requests, failed ones included.
        model: who answered in the end, as `provider:model`.
        instead_of: why each model before it in the list did not.
    """

    section: str
    kind: Literal["ask", "repair"]
    usage: Usage
    model: str = ""
    instead_of: tuple[str, ...] = ()

    @property
    def cost(self) -> float | None:
        """US dollars; None if nobody told what the model costs."""
        return self.usage.cost_usd


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a provider's headers say of one of its rate limits.

    Args:
        limit: how much it allows a minute.
        remaining: how much is left now.
        reset_s: seconds until all of it is there again.
    """

    limit: int | None = None
    remaining: int | None = None
    reset_s: float | None = None


@dataclass(frozen=True, slots=True)
class RateLimits:
    """What a provider's headers say of its rate limits; None where they say nothing."""

    requests: Allowance | None = None
    tokens: Allowance | None = None
    input_tokens: Allowance | None = None
    output_tokens: Allowance | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answered.

    Args:
        text: the answer.
        stop: why it ended there.
        usage: what it cost.
        model: as the provider names the model that answered.
        limits: what the provider's headers say of its rate limits.
        asked: who was asked, as `provider:model`.
        instead_of: why each model before it in the list did not answer.
    """

    text: str
    stop: StopReason
    usage: Usage
    model: str = ""
    limits: RateLimits | None = None
    asked: str = ""
    instead_of: tuple[str, ...] = ()

    @property
    def counted(self) -> bool:
        """Whether its tokens are known: each prompt has some, and so has each answer but a refusal."""
        if not self.usage.requests:
            return True
        silent = not self.text or self.stop is StopReason.REFUSED
        read, written = self.usage.input_tokens, self.usage.output_tokens
        return 0 < read <= MOST_TOKENS and (0 if silent else 1) <= written <= MOST_TOKENS
