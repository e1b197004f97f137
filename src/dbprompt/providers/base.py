"""What every provider file shares: the two protocols, the settings, and what is being sent now."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from dbprompt.messages import Json, Origin, OutputSchema, Reply, Request

__all__ = [
    "AsyncProvider",
    "OncePerSchema",
    "Provider",
    "ResponseFormat",
    "Sending",
    "Settings",
    "before",
    "current_sending",
    "estimate_tokens",
    "naming",
    "time_left",
    "without_key",
]

ResponseFormat: TypeAlias = Literal["json_schema", "json_object"]

SHORTEST_KEY = 12


class Provider(Protocol):
    """A model behind one API. `offline` means that a file or a script answers: there is nothing to wait for."""

    @property
    def name(self) -> str:
        """Which API: "anthropic"."""

    @property
    def model(self) -> str:
        """Which model, as the API calls it."""

    @property
    def offline(self) -> bool:
        """Whether answers come without a network."""

    def send(self, request: Request) -> Reply:
        """Ask once. Every failure is a `ProviderError` or a `NoRecordingError`."""

    def close(self) -> None:
        """Give the connections back."""


class AsyncProvider(Protocol):
    """The same, awaited."""

    @property
    def name(self) -> str:
        """Which API: "anthropic"."""

    @property
    def model(self) -> str:
        """Which model, as the API calls it."""

    @property
    def offline(self) -> bool:
        """Whether answers come without a network."""

    async def send(self, request: Request) -> Reply:
        """Ask once. Every failure is a `ProviderError` or a `NoRecordingError`."""

    async def aclose(self) -> None:
        """Give the connections back."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a provider file needs to open its API. `key` is empty where none is needed, and is never printed."""

    model: str
    key: str = field(default="", repr=False)
    key_name: str = ""
    base_url: str | None = None
    timeout_s: float = 600.0
    temperature: float | None = None
    response_format: ResponseFormat | None = None
    offline: bool = False

    def seconds(self) -> float:
        """How long one call may take: the time-out, or what the deadline leaves of it."""
        left = time_left()
        return self.timeout_s if left is None else max(0.001, min(self.timeout_s, left))


@dataclass(frozen=True, slots=True)
class Sending:
    """The request that is on the wire in this thread or task: a recording is named after it."""

    provider: str
    model: str
    origin: Origin


_sending: ContextVar[Sending | None] = ContextVar("dbprompt_sending", default=None)
_deadline: ContextVar[float | None] = ContextVar("dbprompt_deadline", default=None)


def current_sending() -> Sending | None:
    """What this thread or task is sending now."""
    return _sending.get()


def time_left() -> float | None:
    """Seconds until this call's deadline; None without one."""
    deadline = _deadline.get()
    return None if deadline is None else deadline - time.monotonic()


@contextmanager
def before(deadline: float) -> Iterator[None]:
    """Bound every call inside by a moment of `time.monotonic()`."""
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


@contextmanager
def naming(sending: Sending) -> Iterator[None]:
    """Say what is being sent to whoever carries it inside."""
    token = _sending.set(sending)
    try:
        yield
    finally:
        _sending.reset(token)


def without_key(text: str, key: str) -> str:
    """The text with the key blotted out. Anything shorter is a placeholder ("ollama"), and may be an honest word."""
    return text.replace(key, "[key]") if len(key) >= SHORTEST_KEY else text


def estimate_tokens(text: str) -> int:
    """Tokens of a text that nobody counted: characters / 3.8."""
    return math.ceil(len(text) / 3.8)


class OncePerSchema:
    """A schema as one API takes it, computed once for each `OutputSchema.hash`."""

    def __init__(self, prepare: Callable[[Mapping[str, Json]], dict[str, object]]) -> None:
        self._prepare = prepare
        self._known: dict[str, dict[str, object]] = {}

    def __call__(self, output: OutputSchema) -> dict[str, object]:
        """The prepared schema; callers share it and never change it."""
        mark = output.hash
        known = self._known.get(mark)
        if known is None:
            if len(self._known) >= 256:  # schemas made on the fly must not pile up
                self._known.clear()
            known = self._known[mark] = self._prepare(output.schema)
        return known
