"""The face of a stream, sync and async, and what a client has to begin one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Mapping
from datetime import date
from typing import TYPE_CHECKING, Generic, Self, TypeVar, cast

from pydantic import BaseModel

from dbprompt.brief import Brief
from dbprompt.calls.bounds import Bounds
from dbprompt.calls.line import AsyncCalls, Calls
from dbprompt.client.base_stream import Course, Event, StreamedDesign, StreamedRun
from dbprompt.client.base_telling import InAThread, adesign_events, arun_events, design_events, run_events
from dbprompt.client.options import Asked, _Client
from dbprompt.evidence import Report
from dbprompt.jobs.ask import Answer, AnswerCheck
from dbprompt.jobs.base import DEFAULT_PROMPT
from dbprompt.messages import Usage
from dbprompt.partial import PartialAnswer, Unfinished
from dbprompt.prompts.prompt import Prompt
from dbprompt.providers import AsyncProvider, Provider
from dbprompt.result import Result
from dbprompt.sections import DatabaseDesign, Section, SectionName

if TYPE_CHECKING:
    from dbprompt.jobs.items import ItemCheck

__all__ = ["AsyncDesignStream", "AsyncStream", "AsyncStreaming", "DesignStream", "Stream", "Streaming"]

C = TypeVar("C")
R = TypeVar("R")
T = TypeVar("T", bound=BaseModel)
P = TypeVar("P", Provider, AsyncProvider)


class _Sync(Generic[R]):
    """A stream that is read with `for`, inside `with`."""

    _events: Generator[Event | R, None, None]
    _last: R | None = None

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Closes."""
        self.close()

    def close(self) -> None:
        """Ends it, wherever it is: the connection is closed, and nothing more is asked."""
        self._events.close()

    def __iter__(self) -> Self:
        """Itself."""
        return self

    def __next__(self) -> Event | R:
        """The next event; the first one sends the request."""
        event = next(self._events)
        self._last = cast("R", event)
        return event

    def result(self) -> R:
        """Reads on to the end.

        Raises:
            AskError: there is no proven answer; `partial` is what there is.
        """
        for _ in self:
            pass
        return _at_its_end(self._last)


class _Async(Generic[R]):
    """A stream that is read with `async for`, inside `async with`."""

    _events: AsyncGenerator[Event | R, None]
    _last: R | None = None

    async def __aenter__(self) -> Self:
        """Itself."""
        return self

    async def __aexit__(self, *error: object) -> None:
        """Closes."""
        await self.aclose()

    async def aclose(self) -> None:
        """As `close` of a sync stream."""
        await self._events.aclose()

    def __aiter__(self) -> Self:
        """Itself."""
        return self

    async def __anext__(self) -> Event | R:
        """The next event; the first one sends the request."""
        event = await anext(self._events)
        self._last = cast("R", event)
        return event

    async def result(self) -> R:
        """Reads on to the end, as `result` of a sync stream."""
        async for _ in self:
            pass
        return _at_its_end(self._last)


def _at_its_end(last: R | None) -> R:
    if not isinstance(last, Answer | Result):
        raise RuntimeError("the stream was closed before its end: there is no result")
    return last


class _OfRun(Generic[T]):
    _told: StreamedRun[T]

    @property
    def partial(self) -> T:
        """What is final by now, as an instance made without validation: what has not come is empty or None.

        Lists hold their finished items, which are typed and never change in this answer; a repair may replace them.
        """
        return self._told.partial

    @property
    def usage(self) -> Usage:
        """What was spent by now; at the end, all of it."""
        return self._told.usage()


class _OfDesign:
    _told: StreamedDesign

    @property
    def partial(self) -> DatabaseDesign:
        """The finished sections, and what is final of those that are being written: see `Stream.partial`."""
        return self._told.partial

    @property
    def unfinished(self) -> dict[SectionName, Unfinished[Section]]:
        """After an error: what was complete of the sections whose stream broke off."""
        return self._told.unfinished

    @property
    def usage(self) -> Usage:
        """What was spent by now; at the end, all of it."""
        return self._told.usage()


class Stream(_OfRun[T], _Sync[Answer[T]]):
    """An answer while it is being written: `TextDelta`, `ItemDone`, `Repairing`, and at the end the `Answer`."""

    def __init__(self, told: StreamedRun[T], calls: Calls) -> None:
        self._told, self._events = told, run_events(told, calls)


class AsyncStream(_OfRun[T], _Async[Answer[T]]):
    """The same as `Stream`, awaited."""

    def __init__(self, told: StreamedRun[T], calls: AsyncCalls, in_a_thread: InAThread) -> None:
        self._told, self._events = told, arun_events(told, calls, in_a_thread)


class DesignStream(_OfDesign, _Sync[Result]):
    """A design while it is being written: the events of `Stream` with their section, and at the end the `Result`."""

    def __init__(self, told: StreamedDesign, calls: Calls, side_by_side: int) -> None:
        self._told, self._events = told, design_events(told, calls, side_by_side)


class AsyncDesignStream(_OfDesign, _Async[Result]):
    """The same as `DesignStream`, awaited."""

    def __init__(self, told: StreamedDesign, calls: AsyncCalls, side_by_side: int, in_a_thread: InAThread) -> None:
        self._told, self._events = told, adesign_events(told, calls, side_by_side, in_a_thread)


class _Streaming(_Client[P]):
    """What a client makes of the options of a stream."""

    def _streamed_run(
        self,
        calls: Calls | AsyncCalls,
        prompt: Asked,
        variables: Mapping[str, object] | None,
        output: type[T],
        checks: Iterable[AnswerCheck[T]],
        item_checks: Mapping[str, ItemCheck] | None,
    ) -> StreamedRun[T]:
        own = None
        if item_checks:
            from dbprompt.jobs.items import OwnItems

            own = OwnItems(output, item_checks)
        job = self._ask_job(prompt, variables, output, (*checks, own.whole) if own else checks)
        course = Course(job.session(), PartialAnswer(output), own.early if own else None, self.watch)
        return StreamedRun(job, course, lambda: calls.meter.spent, calls.trace)


class Streaming(_Streaming[Provider]):
    """`stream` and `stream_design` of a `Client`."""

    def _calls(self, bounds: Bounds | None = None, what: str = "this job") -> Calls:
        raise NotImplementedError

    def stream(
        self,
        prompt: Asked,
        variables: Mapping[str, object] | None = None,
        *,
        output: type[T],
        checks: Iterable[AnswerCheck[T]] = (),
        item_checks: Mapping[str, ItemCheck] | None = None,
        bounds: Bounds | None = None,
    ) -> Stream[T]:
        """As `run`, handed on while it is being written: `with client.stream(...) as stream: for event in stream: ...`.

        The request is sent when the first event is asked for. Leaving the block early closes the connection. A repair
        is not streamed. An answer that breaks off or is cut off is an error with what was complete in `partial`.

        Args:
            prompt: as in `run`, as are `variables`, `output`, `checks` and `bounds`.
            variables: values for the prompt's slots.
            output: the pydantic model that the answer has to fit.
            checks: of the whole answer.
            item_checks: of single items, by the JSON pointer of their list, such as `{"/tables": check_table}`:
                functions that take the typed element and return findings, whose `where` points into the element. They
                run in a thread as soon as an element is complete, and count like `checks` at the end.
            bounds: how far this run may go, instead of the client's `per_job`.

        Raises:
            ValueError: `item_checks` names no list; nothing was asked.
        """
        calls = self._calls(bounds, "this stream")
        return Stream(self._streamed_run(calls, prompt, variables, output, checks, item_checks), calls)

    def stream_design(
        self,
        brief: Brief | None = None,
        *,
        prompt: str | Prompt = DEFAULT_PROMPT,
        variables: Mapping[str, object] | None = None,
        sections: Iterable[SectionName] | None = None,
        start: DatabaseDesign | None = None,
        as_of: date | None = None,
        ignore: Iterable[str] = (),
        severity: Mapping[str, str] | None = None,
        check_items: bool = True,
        bounds: Bounds | None = None,
    ) -> DesignStream:
        """As `design`, handed on while it is being written; events say which section they are of.

        Args:
            brief: as in `design`, as is everything else but `check_items`.
            prompt: the family that asks.
            variables: values for the prompt's slots.
            sections: which parts to ask for.
            start: a design to go on from.
            as_of: the day that partitions are laid out from.
            ignore: rules that do not count.
            severity: rules that weigh something else.
            check_items: whether a finished table, index or query runs on the engine while the next one is still being
                written, with those that came before it. The whole section is checked at its end in any case.
            bounds: how far this design may go, instead of the client's `per_job`.
        """
        job = self._design_job(brief, prompt, variables, sections, start, as_of, ignore, severity)
        calls = self._calls(bounds, "this design")
        told = StreamedDesign(job, lambda: calls.meter.spent, check_items, self.watch)
        return DesignStream(told, calls, self.side_by_side)


class AsyncStreaming(_Streaming[AsyncProvider]):
    """`stream` and `stream_design` of an `AsyncClient`. They are not awaited themselves: what they give is."""

    def _calls(self, bounds: Bounds | None = None, what: str = "this job") -> AsyncCalls:
        raise NotImplementedError

    def _in_a_thread(self, check: Callable[[C], Report]) -> Callable[[C], Awaitable[Report]]:
        raise NotImplementedError

    def stream(
        self,
        prompt: Asked,
        variables: Mapping[str, object] | None = None,
        *,
        output: type[T],
        checks: Iterable[AnswerCheck[T]] = (),
        item_checks: Mapping[str, ItemCheck] | None = None,
        bounds: Bounds | None = None,
    ) -> AsyncStream[T]:
        """As `Client.stream`: `async with client.stream(...) as stream: async for event in stream: ...`."""
        calls = self._calls(bounds, "this stream")
        told = self._streamed_run(calls, prompt, variables, output, checks, item_checks)
        return AsyncStream(told, calls, self._in_a_thread)

    def stream_design(
        self,
        brief: Brief | None = None,
        *,
        prompt: str | Prompt = DEFAULT_PROMPT,
        variables: Mapping[str, object] | None = None,
        sections: Iterable[SectionName] | None = None,
        start: DatabaseDesign | None = None,
        as_of: date | None = None,
        ignore: Iterable[str] = (),
        severity: Mapping[str, str] | None = None,
        check_items: bool = True,
        bounds: Bounds | None = None,
    ) -> AsyncDesignStream:
        """As `Client.stream_design`, awaited."""
        job = self._design_job(brief, prompt, variables, sections, start, as_of, ignore, severity)
        calls = self._calls(bounds, "this design")
        told = StreamedDesign(job, lambda: calls.meter.spent, check_items, self.watch)
        return AsyncDesignStream(told, calls, self.side_by_side, self._in_a_thread)
