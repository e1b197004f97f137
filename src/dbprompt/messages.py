"""What goes to a model and what comes back: plain values, the same for every provider."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Literal, TypeAlias

__all__ = ["Json", "Message", "Origin", "OutputSchema", "Reply", "Request", "Role", "StopReason", "TurnUsage", "Usage"]

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


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

    @cached_property
    def hash(self) -> str:
        """sha256 of the canonical JSON."""
        text = json.dumps(self.schema, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


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
    """Tokens as the provider counted them, and requests. Values add up.

    `input_tokens` counts all input, cached or not; `cache_read_tokens` and `cache_write_tokens` are parts of it.
    """

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        """The sum, field by field."""
        return Usage(
            self.requests + other.requests,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cache_read_tokens + other.cache_read_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
        )


@dataclass(frozen=True, slots=True)
class TurnUsage:
    """What one request of a job cost: the first ask of a section, or a repair of it."""

    section: str
    kind: Literal["ask", "repair"]
    usage: Usage


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answered: the text, why it stopped, and what it cost."""

    text: str
    stop: StopReason
    usage: Usage
    model: str = ""
