"""Takes the steps of courses and hands on their events: sync with threads, async with tasks. No rule is here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import aclosing, closing
from contextvars import copy_context
from queue import SimpleQueue
from typing import Any, TypeAlias, TypeVar, cast

from pydantic import BaseModel

from dbprompt.calls.line import AsyncCalls, Calls
from dbprompt.client.base_stream import (
    Begin,
    Course,
    Event,
    Hear,
    Listen,
    Look,
    StreamedDesign,
    StreamedRun,
    Watched,
)
from dbprompt.errors import AskError
from dbprompt.evidence import Report
from dbprompt.jobs.ask import Answer
from dbprompt.messages import Reply
from dbprompt.providers.base_halt import Halt, halting
from dbprompt.result import Result
from dbprompt.sections import Section
from dbprompt.session import Ask, Candidate, Check, Done, GaveUp

__all__ = ["InAThread", "adesign_events", "arun_events", "design_events", "run_events"]

C = TypeVar("C", bound=BaseModel)
T = TypeVar("T", bound=BaseModel)

End: TypeAlias = "Done[C] | GaveUp[C]"
InAThread: TypeAlias = "Callable[[Callable[[Any], Report]], Callable[[Any], Awaitable[Report]]]"
"""Makes a check one that is awaited, because it runs in a thread."""


def run_events(told: StreamedRun[T], calls: Calls) -> Generator[Event | Answer[T], None, None]:
    """A run, in the caller's thread; checks of items have a thread of their own."""
    check = calls.checking("", told.job.check)
    threads = ThreadPoolExecutor(1, "dbprompt item check")
    try:
        with calls.seeing.job("run", streamed=True), closing(_taken(told.course, calls, check, threads)) as steps:
            for step in steps:
                yield told.ended(step) if isinstance(step, Done | GaveUp) else step
    except AskError as error:
        told.broken(error)
        raise
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


async def arun_events(
    told: StreamedRun[T], calls: AsyncCalls, in_a_thread: InAThread
) -> AsyncGenerator[Event | Answer[T], None]:
    """The same, in the caller's task."""
    check = in_a_thread(calls.checking("", told.job.check))
    try:
        with calls.seeing.job("run", streamed=True):
            async with aclosing(_ataken(told.course, calls, check, in_a_thread)) as steps:
                async for step in steps:
                    yield told.ended(step) if isinstance(step, Done | GaveUp) else step
    except AskError as error:
        told.broken(error)
        raise


def design_events(told: StreamedDesign, calls: Calls, side_by_side: int) -> Generator[Event | Result, None, None]:
    """Sections go in threads; the caller's thread hands on what they tell."""
    told.job.trace, halt = calls.trace, Halt()
    queue: SimpleQueue[Event | Watched | Future[End[Section]]] = SimpleQueue()
    sections = ThreadPoolExecutor(side_by_side, "dbprompt")
    checks = ThreadPoolExecutor(side_by_side, "dbprompt item check")
    running: list[Future[End[Section]]] = []

    def section(course: Course[Section]) -> End[Section]:
        check = calls.checking(course.section, told.job.checker(course.section))
        with halting(halt), calls.seeing.section(course.section) as seen:
            with closing(_taken(course, calls, check, checks)) as steps:
                for step in steps:
                    halt.check()
                    if isinstance(step, Done | GaveUp):
                        break
                    queue.put(step)
            if isinstance(step, GaveUp):
                seen.ended(step.reason)
            return cast("End[Section]", step)

    try:
        with calls.seeing.job("design", streamed=True):
            while wave := told.wave(queue.put):
                running = []
                for course in wave:
                    running.append(sections.submit(copy_context().run, section, course))
                    running[-1].add_done_callback(queue.put)
                ended = 0
                while ended < len(running):
                    got = queue.get()
                    if isinstance(got, Future):
                        ended += 1
                    else:
                        yield from told.handed_on(got)
                told.ended([one.exception() or one.result() for one in running])
        yield told.job.result()
    finally:
        if not all(one.done() for one in running):  # else it would only shut connections that others may use by now
            halt.set()
        sections.shutdown(wait=False, cancel_futures=True)
        checks.shutdown(wait=False, cancel_futures=True)


async def adesign_events(
    told: StreamedDesign, calls: AsyncCalls, side_by_side: int, in_a_thread: InAThread
) -> AsyncGenerator[Event | Result, None]:
    """Sections go in tasks; the caller's task hands on what they tell."""
    told.job.trace, turn = calls.trace, asyncio.Semaphore(side_by_side)
    queue: asyncio.Queue[Event | Watched | asyncio.Future[End[Section]]] = asyncio.Queue()
    running: Sequence[asyncio.Future[End[Section]]] = ()

    async def section(course: Course[Section]) -> End[Section]:
        check = in_a_thread(calls.checking(course.section, told.job.checker(course.section)))
        async with turn:
            with calls.seeing.section(course.section) as seen:
                async with aclosing(_ataken(course, calls, check, in_a_thread)) as steps:
                    async for step in steps:
                        if isinstance(step, Done | GaveUp):
                            break
                        queue.put_nowait(step)
                if isinstance(step, GaveUp):
                    seen.ended(step.reason)
                return cast("End[Section]", step)

    try:
        with calls.seeing.job("design", streamed=True):
            while wave := told.wave(queue.put_nowait):
                running = [asyncio.ensure_future(section(course)) for course in wave]
                for one in running:
                    one.add_done_callback(queue.put_nowait)
                ended = 0
                while ended < len(running):
                    got = await queue.get()
                    if isinstance(got, asyncio.Future):
                        ended += 1
                    else:
                        for event in told.handed_on(got):
                            yield event
                told.ended([one.exception() or one.result() for one in running])
        yield told.job.result()
    finally:
        for one in running:
            one.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _taken(
    course: Course[C], calls: Calls, check: Callable[[Candidate[C]], Report], threads: ThreadPoolExecutor
) -> Generator[Event | End[C], None, None]:
    """Takes the steps of a course; hands on its events, and at last its end."""
    pieces: Generator[str | Reply, None, None] | None = None
    running: Future[Report] | None = None
    with closing(course.run()) as steps:
        try:
            step = next(steps)
            while True:
                said: Reply | str | Report | None = None
                try:
                    match step:
                        case Hear() if pieces is not None:
                            said = next(pieces)
                        case Listen(request=request):
                            pieces = calls.stream(request)
                        case Ask(request=request):
                            said = calls.send(request)
                        case Check(candidate=candidate):
                            said = check(candidate)
                        case Begin(check=early):
                            running = threads.submit(copy_context().run, calls.in_time(early))
                        case Look(wait=wait) if running is not None:
                            said = running.result() if wait or running.done() else None
                        case _:
                            yield cast("Event", step)
                except Exception as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(said)
        except StopIteration as over:
            end = cast("End[C]", over.value)
        finally:
            if pieces is not None:
                pieces.close()
    yield end


async def _ataken(
    course: Course[C], calls: AsyncCalls, check: Callable[[Candidate[C]], Awaitable[Report]], in_a_thread: InAThread
) -> AsyncGenerator[Event | End[C], None]:
    """The same, awaited."""
    pieces: AsyncGenerator[str | Reply, None] | None = None
    running: asyncio.Future[Report] | None = None
    begun = in_a_thread(calls.in_time(_begun))
    with closing(course.run()) as steps:
        try:
            step = next(steps)
            while True:
                said: Reply | str | Report | None = None
                try:
                    match step:
                        case Hear() if pieces is not None:
                            said = await anext(pieces)
                        case Listen(request=request):
                            pieces = calls.stream(request)
                        case Ask(request=request):
                            said = await calls.send(request)
                        case Check(candidate=candidate):
                            said = await check(candidate)
                        case Begin():
                            running = asyncio.ensure_future(begun(step))
                        case Look(wait=wait) if running is not None:
                            said = await running if wait or running.done() else None
                        case _:
                            yield cast("Event", step)
                except Exception as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(said)
        except StopIteration as over:
            end = cast("End[C]", over.value)
        finally:
            if running is not None:
                running.cancel()
            if pieces is not None:
                await pieces.aclose()
    yield end


def _begun(begin: Begin) -> Report:
    return begin.check()
