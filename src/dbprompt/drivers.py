"""The two loops over a session's steps: one sync, one async. Every rule is in the session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar, assert_never

from pydantic import BaseModel

from dbprompt.evidence import Report
from dbprompt.providers import AsyncProvider, Provider, RetryPolicy, asend, send
from dbprompt.session import Ask, Candidate, Check, Done, GaveUp, Session, Step

__all__ = ["Watch", "adrive", "drive"]

T = TypeVar("T", bound=BaseModel)

Watch: TypeAlias = "Callable[[str, Ask | Check[Any] | Done[Any] | GaveUp[Any]], None]"
"""Told the section and each step before it is taken; the command line draws progress from it."""


def drive(
    session: Session[T],
    provider: Provider,
    check: Callable[[Candidate[T]], Report],
    *,
    retry: RetryPolicy | None = None,
    watch: Watch | None = None,
) -> Done[T] | GaveUp[T]:
    """Runs a session to its end.

    Raises:
        ProviderError: the provider failed and asking again does not help, or no time is left.
        NoRecordingError: nothing recorded fits a request.
        EngineError: an engine failed by itself.
    """
    step: Step[T] = session.begin()
    while True:
        if watch:
            watch(session.origin.section, step)
        match step:
            case Ask(request=request):
                step = session.replied(send(provider, request, policy=retry))
            case Check(candidate=candidate):
                step = session.checked(check(candidate))
            case Done() | GaveUp():
                return step
            case _:
                assert_never(step)


async def adrive(
    session: Session[T],
    provider: AsyncProvider,
    check: Callable[[Candidate[T]], Report],
    *,
    retry: RetryPolicy | None = None,
    watch: Watch | None = None,
) -> Done[T] | GaveUp[T]:
    """The same, awaited; checks run in a thread."""
    step: Step[T] = session.begin()
    while True:
        if watch:
            watch(session.origin.section, step)
        match step:
            case Ask(request=request):
                step = session.replied(await asend(provider, request, policy=retry))
            case Check(candidate=candidate):
                step = session.checked(await asyncio.to_thread(check, candidate))
            case Done() | GaveUp():
                return step
            case _:
                assert_never(step)
