"""The two loops over a session's steps: one sync, one async. Every rule is in the session."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar, assert_never

from pydantic import BaseModel

from dbprompt.evidence import Report
from dbprompt.messages import Reply, Request
from dbprompt.session import Ask, Candidate, Check, Done, GaveUp, Session, Step

__all__ = ["Watch", "adrive", "drive", "tell"]

T = TypeVar("T", bound=BaseModel)

Watch: TypeAlias = "Callable[[str, Ask | Check[Any] | Done[Any] | GaveUp[Any]], None]"
"""Told the section and each step before it is taken; the command line draws progress from it."""

_log = logging.getLogger(__name__)


def drive(
    session: Session[T],
    send: Callable[[Request], Reply],
    check: Callable[[Candidate[T]], Report],
    *,
    watch: Watch | None = None,
) -> Done[T] | GaveUp[T]:
    """Runs a session to its end.

    Raises:
        ProviderError: the provider failed and asking again does not help, or no time is left.
        BudgetError: nothing is left of a bound.
        NoRecordingError: nothing recorded fits a request.
        EngineError: an engine failed by itself.
    """
    step: Step[T] = session.begin()
    while True:
        tell(watch, session.origin.section, step)
        match step:
            case Ask(request=request):
                step = session.replied(send(request))
            case Check(candidate=candidate):
                step = session.checked(check(candidate))
            case Done() | GaveUp():
                return step
            case _:
                assert_never(step)


async def adrive(
    session: Session[T],
    send: Callable[[Request], Awaitable[Reply]],
    check: Callable[[Candidate[T]], Awaitable[Report]],
    *,
    watch: Watch | None = None,
) -> Done[T] | GaveUp[T]:
    """The same, awaited."""
    step: Step[T] = session.begin()
    while True:
        tell(watch, session.origin.section, step)
        match step:
            case Ask(request=request):
                step = session.replied(await send(request))
            case Check(candidate=candidate):
                step = session.checked(await check(candidate))
            case Done() | GaveUp():
                return step
            case _:
                assert_never(step)


def tell(watch: Watch | None, section: str, step: Ask | Check[Any] | Done[Any] | GaveUp[Any]) -> None:
    """Says what comes next to the log and to whoever watches. The log has the codes of findings, never their words."""
    if isinstance(step, Ask) and step.findings:
        codes = sorted({finding.code for finding in step.findings})
        count = f"{len(step.findings)} finding{'s' if len(step.findings) != 1 else ''}"
        _log.info("%s: asks for a repair, %s: %s", section or "answer", count, ", ".join(codes))
    else:
        how = f" ({step.reason})" if isinstance(step, GaveUp) else ""
        _log.debug("%s: %s%s", section or "answer", _STEPS[type(step)], how)
    if watch:
        watch(section, step)


_STEPS: dict[type, str] = {Ask: "asks", Check: "checks", Done: "proven", GaveUp: "given up"}
