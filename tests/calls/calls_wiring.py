"""What the tests of calls share: a request, scripts that count as a network, a clock that only sleeping moves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from dbprompt.calls.bounds import Bounds
from dbprompt.calls.line import DEFAULT_BOUNDS, Aim, AsyncCalls, AsyncLine, Calls, Line
from dbprompt.calls.prices import Price
from dbprompt.calls.retry import RetryPolicy, Wait
from dbprompt.messages import Message, OutputSchema, Reply, Request, Role, StopReason, Usage
from dbprompt.providers import AsyncScriptedProvider, ScriptedProvider

SCHEMA = OutputSchema(
    "answer",
    {"type": "object", "properties": {"tables": {"type": "array"}}, "required": [], "additionalProperties": False},
)
GOOD = Reply("{}", StopReason.COMPLETE, Usage(1, 10, 5))
REFUSED = Reply("I would rather not", StopReason.REFUSED, Usage(1, 8, 4))


def ask(text: str = "Design it.", *, tokens: int = 16_000) -> Request:
    """A request."""
    return Request((Message(Role.SYSTEM, "You design databases."), Message(Role.USER, text)), SCHEMA, tokens)


class Online(ScriptedProvider):
    """A script that counts as a network: waits are waited."""

    offline = False


class AsyncOnline(AsyncScriptedProvider):
    """The same, awaited."""

    offline = False


class Watch:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Move on."""
        self.now += seconds
        self.slept.append(seconds)

    async def asleep(self, seconds: float) -> None:
        """Move on, and let others."""
        self.sleep(seconds)
        await asyncio.sleep(0.001)

    def read(self) -> float:
        """What it shows."""
        return self.now


def line(
    *providers: Any,
    policy: RetryPolicy | None = None,
    per_call: Bounds = DEFAULT_BOUNDS,
    prices: Sequence[Price | None] = (),
    on_wait: Callable[[Wait], None] | None = None,
    watch: Watch | None = None,
) -> Line:
    """The line of a client that asks these."""
    watch = watch or Watch()
    told = (*prices, *[None] * (len(providers) - len(prices)))
    return Line(
        aims=[Aim(one, price) for one, price in zip(providers, told, strict=True)],
        policy=policy or RetryPolicy(),
        per_call=per_call,
        on_wait=on_wait,
        sleep=watch.sleep,
        clock=watch.read,
    )


def aline(
    *providers: Any,
    policy: RetryPolicy | None = None,
    per_call: Bounds = DEFAULT_BOUNDS,
    prices: Sequence[Price | None] = (),
    on_wait: Callable[[Wait], None] | None = None,
    watch: Watch | None = None,
) -> AsyncLine:
    """The same, awaited."""
    watch = watch or Watch()
    told = (*prices, *[None] * (len(providers) - len(prices)))
    return AsyncLine(
        aims=[Aim(one, price) for one, price in zip(providers, told, strict=True)],
        policy=policy or RetryPolicy(),
        per_call=per_call,
        on_wait=on_wait,
        sleep=watch.asleep,
        clock=watch.read,
    )


def streamed(calls: Calls, request: Request) -> tuple[list[str], Reply]:
    """The pieces and the reply of a stream."""
    *pieces, reply = calls.stream(request)
    assert isinstance(reply, Reply)
    return [str(piece) for piece in pieces], reply


def astreamed(calls: AsyncCalls, request: Request) -> tuple[list[str], Reply]:
    """The same, awaited."""

    async def read() -> list[str | Reply]:
        return [piece async for piece in calls.stream(request)]

    *pieces, reply = asyncio.run(read())
    assert isinstance(reply, Reply)
    return [str(piece) for piece in pieces], reply
