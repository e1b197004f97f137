"""What a call asks its driver to do, and the two drivers: one sync, one async. Every rule is in the call."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator, Sequence
from contextlib import aclosing, closing
from dataclasses import dataclass
from typing import TypeAlias, TypeVar, cast

from dbprompt.calls.bounds import Meter
from dbprompt.errors import ConnectionFailedError, DeadlineError
from dbprompt.messages import Reply, Request
from dbprompt.providers.base import AsyncProvider, AsyncStreamingProvider, Provider, StreamingProvider, before
from dbprompt.providers.base_halt import pause

__all__ = ["Begun", "Call", "Pause", "Send", "afollow", "afollow_stream", "follow", "follow_stream"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Send:
    """Ask model number `model` once, within so many seconds; go on with its reply, or throw in how it failed.

    `until` is the meter whose time ends then.
    """

    model: int
    request: Request
    within_s: float
    until: Meter


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Begun:
    """What came of a `Send` of which pieces were already handed on: nobody can take them back."""

    end: Reply | Exception


Call: TypeAlias = "Generator[Send | Pause, Reply | Begun | None, Reply]"
"""One call: yields what is to be done, is told what came of it, and returns the reply."""


def follow(call: Call, providers: Sequence[Provider], *, sleep: Callable[[float], object] = pause) -> Reply:
    """Does what the call says, to its end."""
    with closing(call):  # whatever ends it, what it holds back is given back
        try:
            step = next(call)
            while True:
                if isinstance(step, Pause):
                    sleep(step.seconds)
                    step = call.send(None)
                    continue
                try:
                    with before(time.monotonic() + step.within_s):
                        reply = providers[step.model].send(step.request)
                except Exception as error:
                    step = call.throw(error)
                else:
                    step = call.send(reply)
        except StopIteration as end:
            return cast("Reply", end.value)


async def afollow(
    call: Call, providers: Sequence[AsyncProvider], *, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
) -> Reply:
    """The same, awaited; a request that is still running at its end is cancelled."""
    with closing(call):
        try:
            step = next(call)
            while True:
                if isinstance(step, Pause):
                    await sleep(step.seconds)
                    step = call.send(None)
                    continue
                provider = providers[step.model]
                end_s = time.monotonic() + step.within_s
                try:
                    with before(end_s):
                        reply = await _in_time(provider.send(step.request), step, provider, end_s)
                except Exception as error:
                    step = call.throw(error)
                else:
                    step = call.send(reply)
        except StopIteration as end:
            return cast("Reply", end.value)


def follow_stream(
    call: Call, providers: Sequence[Provider], *, sleep: Callable[[float], object] = pause
) -> Generator[str | Reply, None, None]:
    """Does what the call says; hands on the pieces of the answer as they come, and at the end the reply."""
    with closing(call):
        begun, reply = False, None
        try:
            step = next(call)
            while True:
                if isinstance(step, Pause):
                    sleep(step.seconds)
                    step = call.send(None)
                    continue
                begun, reply, provider = False, None, providers[step.model]
                try:
                    with closing(_pieces(provider, step)) as pieces:
                        for piece in pieces:
                            if isinstance(piece, str):
                                begun = True
                                yield piece
                            else:
                                reply = piece
                    if reply is None:
                        raise _broke_off(provider)
                except Exception as error:
                    step = call.send(Begun(error)) if begun else call.throw(error)
                else:
                    step = call.send(Begun(reply) if begun else reply)
        except StopIteration as end:
            reply = cast("Reply", end.value)
        yield from _last_pieces(reply, begun=begun)


async def afollow_stream(
    call: Call, providers: Sequence[AsyncProvider], *, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
) -> AsyncGenerator[str | Reply, None]:
    """The same, awaited."""
    with closing(call):
        begun, reply = False, None
        try:
            step = next(call)
            while True:
                if isinstance(step, Pause):
                    await sleep(step.seconds)
                    step = call.send(None)
                    continue
                begun, reply, provider = False, None, providers[step.model]
                try:
                    async with aclosing(_apieces(provider, step)) as pieces:
                        async for piece in pieces:
                            if isinstance(piece, str):
                                begun = True
                                yield piece
                            else:
                                reply = piece
                    if reply is None:
                        raise _broke_off(provider)
                except Exception as error:
                    step = call.send(Begun(error)) if begun else call.throw(error)
                else:
                    step = call.send(Begun(reply) if begun else reply)
        except StopIteration as end:
            reply = cast("Reply", end.value)
        for piece in _last_pieces(reply, begun=begun):
            yield piece


def _pieces(provider: Provider, step: Send) -> Generator[str | Reply, None, None]:
    """The pieces and the reply; of a provider that does not stream, the reply alone."""
    end = time.monotonic() + step.within_s
    if not isinstance(provider, StreamingProvider):
        with before(end):
            reply = provider.send(step.request)
        yield reply
        return
    pieces = provider.stream(step.request)
    try:
        while True:
            with before(end):  # not around the yield: what the reader does with a piece is not part of the request
                piece = next(pieces, None)
            if piece is None:
                return
            yield piece
            if time.monotonic() > end and not isinstance(piece, Reply):
                raise _late(provider, step)
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            close()


async def _apieces(provider: AsyncProvider, step: Send) -> AsyncGenerator[str | Reply, None]:
    end = time.monotonic() + step.within_s
    if not isinstance(provider, AsyncStreamingProvider):
        with before(end):
            reply = await _in_time(provider.send(step.request), step, provider, end)
        yield reply
        return
    pieces = provider.stream(step.request)
    alarm = _Alarm(end)
    try:
        while True:
            try:
                alarm.reading = asyncio.current_task()
                with before(end):
                    piece = await anext(pieces, None)
            except asyncio.CancelledError as error:
                if not alarm.rang_alone():
                    raise
                raise _late(provider, step) from error
            finally:
                alarm.reading = None
            if piece is None:
                return
            if alarm.rang_alone():
                raise _late(provider, step)
            yield piece
            if time.monotonic() > end and not isinstance(piece, Reply):
                raise _late(provider, step)
    finally:
        alarm.stop()
        close = getattr(pieces, "aclose", None)
        if close is not None:
            await close()


class _Alarm:
    """One timer for a whole stream. At the end it cancels the reading of a piece, and never what is done with one.

    `asyncio.timeout` around each piece does the same, and costs as much as everything else that a piece costs.
    """

    __slots__ = ("_before", "_rung", "_timer", "reading")

    def __init__(self, end: float) -> None:
        self.reading: asyncio.Task[object] | None = None
        self._rung: asyncio.Task[object] | None = None
        self._before = 0
        left = end - time.monotonic()
        self._timer = None if math.isinf(left) else asyncio.get_running_loop().call_later(left, self._ring)

    def _ring(self) -> None:
        if self.reading is not None:
            self._rung, self._before = self.reading, self.reading.cancelling()
            self._rung.cancel()

    def rang_alone(self) -> bool:
        """Whether it has cancelled the reading, and nobody else has."""
        task, self._rung = self._rung, None
        return task is not None and task.uncancel() <= self._before

    def stop(self) -> None:
        """Calls it off."""
        if self._timer is not None:
            self._timer.cancel()


async def _in_time(asked: Awaitable[T], step: Send, provider: AsyncProvider, end: float) -> T:
    if math.isinf(end):
        return await asked
    try:
        async with asyncio.timeout(end - time.monotonic()) as bound:
            return await asked
    except TimeoutError as error:
        if not bound.expired():
            raise
        raise _late(provider, step) from error


def _late(provider: Provider | AsyncProvider, step: Send) -> DeadlineError:
    return DeadlineError(f"{provider.name}:{provider.model} was still answering at {step.until.deadline}.")


def _broke_off(provider: Provider | AsyncProvider) -> ConnectionFailedError:
    return ConnectionFailedError(f"{provider.name}:{provider.model} broke off before the end of its answer.")


def _last_pieces(reply: Reply, *, begun: bool) -> Iterator[str | Reply]:
    if not begun and reply.text:
        yield reply.text
    yield reply
