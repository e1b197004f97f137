"""A client's models, and the calls of one job to them: sync and async."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Generic, ParamSpec, TypeVar

from dbprompt.calls.bounds import Bounds, Meter
from dbprompt.calls.call import Aim, Asking
from dbprompt.calls.fallback import Standing
from dbprompt.calls.in_time import check_time, timed
from dbprompt.calls.retry import RetryPolicy, Wait
from dbprompt.calls.seeing import Seeing
from dbprompt.calls.steps import afollow, afollow_stream, follow, follow_stream
from dbprompt.calls.trace import Trace
from dbprompt.evidence import Report
from dbprompt.messages import Reply, Request
from dbprompt.providers.base import AsyncProvider, Provider
from dbprompt.providers.base_halt import pause

__all__ = ["DEFAULT_BOUNDS", "Aim", "AsyncCalls", "AsyncLine", "Calls", "Line"]

A = ParamSpec("A")
C = TypeVar("C")
P = TypeVar("P", Provider, AsyncProvider)

DEFAULT_BOUNDS = Bounds(deadline_s=600.0)
"""How far one call goes if nobody says."""


@dataclass(slots=True, kw_only=True)
class _Line(Generic[P]):
    """A client's models, in the order in which they are asked.

    Args:
        aims: the models.
        policy: how often one is tried.
        per_call: how far one call may go.
        on_wait: is told of each wait.
        clock: seconds, of which only differences count.
    """

    aims: Sequence[Aim[P]]
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    per_call: Bounds = DEFAULT_BOUNDS
    on_wait: Callable[[Wait], None] | None = None
    clock: Callable[[], float] = time.monotonic
    standing: Standing = field(init=False)
    providers: Sequence[P] = field(init=False)

    def __post_init__(self) -> None:
        self.standing = Standing([aim.name for aim in self.aims], self.clock)
        self.providers = [aim.provider for aim in self.aims]

    def _meters(self, bounds: Bounds | None, what: str) -> tuple[Meter, ...]:
        """The meter of a job.

        Raises:
            BudgetError: money is bounded, and nobody told what a model costs.
        """
        meter = Meter(bounds or Bounds(), what, self.clock)
        for one in (meter, Meter(self.per_call, "a call")):
            for aim in self.aims:
                one.check_price(aim.name, aim.price)
        return (meter,)


@dataclass(slots=True)
class _Calls(Generic[P]):
    """The calls of one job.

    Args:
        meters: of the job, and of all that it is a part of.
        seeing: is told everything.
    """

    meters: tuple[Meter, ...]
    seeing: Seeing

    @property
    def meter(self) -> Meter:
        """What the job has spent."""
        return self.meters[-1]

    @property
    def trace(self) -> Trace | None:
        """Every request of the job and its answer, if they are kept."""
        return self.seeing.trace

    def checking(self, section: str, check: Callable[[C], Report]) -> Callable[[C], Report]:
        """The check, seen, and not begun when the time is up; nor is any single one that it is made of."""
        return self.seeing.checking(section, self.in_time(check))

    def in_time(self, check: Callable[A, Report]) -> Callable[A, Report]:
        """The same check within the time of the job."""

        def checked(*args: A.args, **named: A.kwargs) -> Report:
            with timed(self.meters):
                check_time()
                return check(*args, **named)

        return checked

    def _asking(self, line: _Line[P], *, streamed: bool) -> Asking:
        call = Meter(line.per_call, "this call", line.clock)
        return Asking(
            aims=line.aims,
            standing=line.standing,
            policy=line.policy,
            meters=(*self.meters, call),
            seeing=self.seeing,
            on_wait=line.on_wait,
            streamed=streamed,
            clock=line.clock,
        )


@dataclass(slots=True, kw_only=True)
class Line(_Line[Provider]):
    """As it says; `sleep` waits."""

    sleep: Callable[[float], object] = pause

    def job(self, bounds: Bounds | None = None, *, seeing: Seeing | None = None, what: str = "this job") -> Calls:
        """The calls of one job, whose time begins now.

        Raises:
            BudgetError: money is bounded, and nobody told what a model costs.
        """
        return Calls(self._meters(bounds, what), seeing or Seeing(), self)

    def close(self) -> None:
        """Gives the connections back."""
        for provider in self.providers:
            provider.close()


@dataclass(slots=True)
class Calls(_Calls[Provider]):
    """The calls of one job: each is one question, with all its retries."""

    line: Line

    def part(self, bounds: Bounds | None, *, seeing: Seeing | None = None, what: str = "this job") -> Calls:
        """The calls of a job that is a part of this one: both bounds hold."""
        return Calls((*self.meters, *self.line._meters(bounds, what)), seeing or self.seeing, self.line)

    def send(self, request: Request) -> Reply:
        """Asks until there is a reply, an error that asking again does not help, or nothing left of a bound."""
        call = self._asking(self.line, streamed=False).call(request)
        return follow(call, self.line.providers, sleep=self.line.sleep)

    def stream(self, request: Request) -> Generator[str | Reply, None, None]:
        """The same: pieces of the answer as they come, and at the end the reply. Close it to stop."""
        call = self._asking(self.line, streamed=True).call(request)
        return follow_stream(call, self.line.providers, sleep=self.line.sleep)


@dataclass(slots=True, kw_only=True)
class AsyncLine(_Line[AsyncProvider]):
    """As it says; `sleep` waits."""

    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep

    def job(self, bounds: Bounds | None = None, *, seeing: Seeing | None = None, what: str = "this job") -> AsyncCalls:
        """As `Line.job`."""
        return AsyncCalls(self._meters(bounds, what), seeing or Seeing(), self)

    async def aclose(self) -> None:
        """Gives the connections back."""
        for provider in self.providers:
            await provider.aclose()


@dataclass(slots=True)
class AsyncCalls(_Calls[AsyncProvider]):
    """The same as `Calls`, awaited; a request that is still running at its deadline is cancelled."""

    line: AsyncLine

    def part(self, bounds: Bounds | None, *, seeing: Seeing | None = None, what: str = "this job") -> AsyncCalls:
        """As `Calls.part`."""
        return AsyncCalls((*self.meters, *self.line._meters(bounds, what)), seeing or self.seeing, self.line)

    async def send(self, request: Request) -> Reply:
        """As `Calls.send`."""
        call = self._asking(self.line, streamed=False).call(request)
        return await afollow(call, self.line.providers, sleep=self.line.sleep)

    def stream(self, request: Request) -> AsyncGenerator[str | Reply, None]:
        """As `Calls.stream`."""
        call = self._asking(self.line, streamed=True).call(request)
        return afollow_stream(call, self.line.providers, sleep=self.line.sleep)
