"""What every provider file shares: the two protocols, the settings, and what is being sent now."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from dbprompt.messages import Json, Origin, OutputSchema, Reply, Request

__all__ = [
    "AsyncProvider",
    "AsyncStreamingProvider",
    "Effort",
    "OncePerSchema",
    "Provider",
    "ResponseFormat",
    "SchemaForm",
    "Sending",
    "Settings",
    "StreamingProvider",
    "before",
    "current_sending",
    "estimate_tokens",
    "in_pieces",
    "keys_of",
    "naming",
    "time_left",
    "without_key",
    "without_keys",
]

SchemaForm: TypeAlias = Literal["json_schema", "json_object"]
"""How an answer's schema is sent to a compatible server."""
ResponseFormat: TypeAlias = Literal["json_schema", "json_object", "text"]
"""The same, or not as a schema at all: it is said in words then, to any model."""
Effort: TypeAlias = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
"""All words that an API knows; not every model takes each."""

SHORTEST_KEY = 12
_SDK_KEYS = ("api_key", "auth_token", "access_token", "aws_secret_key", "aws_session_token", "_azure_ad_token")
"""Where the clients of the SDKs hold what they sign with."""
PIECE = 16


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


@runtime_checkable
class StreamingProvider(Provider, Protocol):
    """A provider that can also hand on an answer while it is being written."""

    def stream(self, request: Request) -> Iterator[str | Reply]:
        """Ask once: pieces of the text as they arrive, and at the end the reply, which holds all of it.

        An answer that breaks off is an error, whatever came before; closing the iterator closes the connection.
        """


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


@runtime_checkable
class AsyncStreamingProvider(AsyncProvider, Protocol):
    """The same as `StreamingProvider`, awaited."""

    def stream(self, request: Request) -> AsyncIterator[str | Reply]:
        """Ask once: pieces of the text as they arrive, and at the end the reply, which holds all of it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a provider file needs to open its API. `key` is empty where none is needed, and is never printed, nor
    is `base_url`, which may hold a password.

    `effort` is how much a model that reasons shall think; `sdk` a client of the API's SDK that the user made. `secrets`
    are never sent: they are what else is blotted out.
    """

    model: str
    key: str = field(default="", repr=False)
    key_name: str = ""
    base_url: str | None = field(default=None, repr=False)
    timeout_s: float = 600.0
    temperature: float | None = None
    response_format: SchemaForm | None = None
    effort: Effort | None = None
    sdk: object | None = field(default=None, repr=False)
    offline: bool = False
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def keys(self) -> tuple[str, ...]:
        """What is blotted out of all that is shown: the key, the secrets, and what `sdk` signs with by now."""
        held = (getattr(self.sdk, name, None) for name in _SDK_KEYS)  # some hold a function, or nothing
        known = (self.key, *self.secrets, *(each for each in held if isinstance(each, str)))
        return tuple(sorted({each.strip() for each in known} - {""}, key=len, reverse=True))  # one may begin another

    def seconds(self) -> float:
        """How long one call may take: the time-out, or what the deadline leaves of it."""
        left = time_left()
        return self.timeout_s if left is None else max(0.001, min(self.timeout_s, left))


@dataclass(frozen=True, slots=True)
class Sending:
    """The request that is on the wire in this thread or task: a recording is named after it.

    `most_bytes` is what its answer may have at most.
    """

    provider: str
    model: str
    origin: Origin
    most_bytes: int = 64 * 1024 * 1024


_sending: ContextVar[Sending | None] = ContextVar("dbprompt_sending", default=None)
_deadline: ContextVar[float | None] = ContextVar("dbprompt_deadline", default=None)


def current_sending() -> Sending | None:
    """What this thread or task is sending now."""
    return _sending.get()


def time_left() -> float | None:
    """Seconds until this call's deadline; None without one."""
    deadline = _deadline.get()
    return None if deadline is None else deadline - time.monotonic()


class _Before:
    """The context of `before`; a stream enters one for each of its pieces, so it is no generator."""

    __slots__ = ("_moment", "_token")

    def __init__(self, moment: float) -> None:
        self._moment = moment

    def __enter__(self) -> None:
        self._token = _deadline.set(self._moment)

    def __exit__(self, *error: object) -> None:
        _deadline.reset(self._token)


def before(deadline: float) -> _Before:
    """Bound every call inside by a moment of `time.monotonic()`."""
    return _Before(deadline)


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


def without_keys(text: str, keys: Iterable[str]) -> str:
    """The text with each key blotted out."""
    for key in keys:
        text = without_key(text, key)
    return text


def keys_of(asked: object) -> tuple[str, ...]:
    """The keys of a provider or batch API that keeps its `Settings`, as all of ours do; none of another."""
    kept = (getattr(asked, name, None) for name in ("_settings", "settings"))
    return next((each.keys for each in kept if isinstance(each, Settings)), ())


def estimate_tokens(text: str) -> int:
    """Tokens of a text that nobody counted: characters / 3.8."""
    return math.ceil(len(text) / 3.8)


def in_pieces(text: str) -> Iterator[str]:
    """The text as somebody who writes it would hand it on."""
    return (text[at : at + PIECE] for at in range(0, len(text), PIECE))


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
