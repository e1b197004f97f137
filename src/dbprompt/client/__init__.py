"""The face of a model: `Client` and `AsyncClient`, one class each."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

from pydantic import BaseModel

from dbprompt.brief import Brief
from dbprompt.calls.bounds import Bounds
from dbprompt.calls.line import AsyncCalls, AsyncLine, Calls, Line
from dbprompt.client.many import AsyncMany, Many
from dbprompt.client.options import Asked, Model, _Client
from dbprompt.client.streams import AsyncStreaming, Streaming
from dbprompt.drivers import adrive, drive
from dbprompt.errors import AskError
from dbprompt.evidence import Report
from dbprompt.jobs.ask import Answer, AnswerCheck, AskJob
from dbprompt.jobs.base import DEFAULT_PROMPT
from dbprompt.prompts.prompt import Prompt
from dbprompt.providers import AsyncProvider, Provider, open_async_provider, open_provider
from dbprompt.providers.base_halt import Halt, current_halt, halting
from dbprompt.result import Result
from dbprompt.sections import DatabaseDesign, Section, SectionName
from dbprompt.session import Candidate, Done, GaveUp, Session

if TYPE_CHECKING:  # who only runs a question of his own needs no engine and no check of a design
    from dbprompt.batch import AsyncBatch, Batch, BatchPolicy, OnWait
    from dbprompt.jobs.design import DesignJob

__all__ = ["DEFAULT_PROMPT", "AsyncClient", "Client", "Model"]

C = TypeVar("C")
T = TypeVar("T", bound=BaseModel)

_MOST_CHECKS = 32
"""Threads of an async client for checks; asyncio's own few also look up the addresses of new connections."""


class Client(Many, Streaming):  # noqa: D101  its docstring is made of its options
    __doc__ = "A model, asked and waited for.\n\n" + (_Client.__doc__ or "").split("\n\n", 1)[1]

    def __post_init__(self) -> None:
        super().__post_init__()
        self._line = Line(aims=self._aims, policy=self.retry, per_call=self.per_call, on_wait=self.on_wait)

    def _opened(self, model: Model) -> Provider:
        return open_provider(model.name, **self._told(model))

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Closes."""
        self.close()

    def close(self) -> None:
        """Gives the connections back."""
        self._line.close()

    def _calls(self, bounds: Bounds | None = None, what: str = "this job") -> Calls:
        return self._line.job(bounds or self.per_job, seeing=self._seeing(), what=what)

    def design(
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
        bounds: Bounds | None = None,
    ) -> Result:
        """Asks for a database design and hands back what was proven.

        Sections that do not need each other are asked for side by side; one that fails lets those beside it finish.

        Args:
            brief: what you know of the application.
            prompt: the family that asks: a name, `name@version`, a path or a `Prompt`.
            variables: values for the prompt's slots, instead of or beside a brief.
            sections: which parts to ask for; all that the prompt knows by default.
            start: a design to go on from, such as `error.partial.design`: its sections are checked first, and asked
                for only where they fail.
            as_of: the day that partitions are laid out from; today by default.
            ignore: rules that do not count, by id (`types.char`) or family (`types.*`); `dbprompt rules` lists them.
            severity: rules that weigh something else than usual, such as `{"indexes.redundant": "error"}`.
            bounds: how far this design may go, instead of the client's `per_job`.

        Raises:
            UnprovenError: a section was still wrong after the last repair; `partial` holds everything else.
            BudgetError, DeadlineError: a bound was reached; `partial` likewise.
            AskError: any other reason why no proven design was had; `partial` likewise.
            VariableError: the prompt's variables cannot be filled; nothing was asked.
            RuleError: `ignore`, `severity` or the brief's `rules` name a rule that there is not; nothing was asked.
        """
        job = self._design_job(brief, prompt, variables, sections, start, as_of, ignore, severity)
        return self._designed(job, self._calls(bounds, "this design"))

    def _designed(self, job: DesignJob, calls: Calls) -> Result:
        """The job, from its first wave to its result."""
        job.trace, halt = calls.trace, current_halt() or Halt()
        with calls.seeing.job("design"), ThreadPoolExecutor(self.side_by_side, "dbprompt") as pool, halting(halt):
            while ready := job.ready():
                sessions = [job.session(name) for name in ready]
                try:
                    ends = self._ends(pool, job, sessions, calls)
                except BaseException:  # Ctrl-C: what is under way ends with it
                    halt.set()
                    raise
                job.finish_all(sessions, ends)
        return job.result()

    def _ends(
        self, pool: ThreadPoolExecutor, job: DesignJob, sessions: Sequence[Session[Section]], calls: Calls
    ) -> list[Done[Section] | GaveUp[Section] | BaseException]:
        """How the sessions end; one that has nothing beside it needs no thread."""
        if len(sessions) > 1:
            running = [pool.submit(copy_context().run, self._section, job, one, calls) for one in sessions]
            wait(running)
            return [one.exception() or one.result() for one in running]
        try:
            return [self._section(job, sessions[0], calls)]
        except Exception as error:  # as a thread would hold it
            return [error]

    def _section(self, job: DesignJob, session: Session[Section], calls: Calls) -> Done[Section] | GaveUp[Section]:
        name = session.origin.section
        with calls.seeing.section(name) as seen:
            end = drive(session, calls.send, calls.checking(name, job.checker(name)), watch=self.watch)
            if isinstance(end, GaveUp):
                seen.ended(end.reason)
        return end

    def run(
        self,
        prompt: Asked,
        variables: Mapping[str, object] | None = None,
        *,
        output: type[T],
        checks: Iterable[AnswerCheck[T]] = (),
        bounds: Bounds | None = None,
    ) -> Answer[T]:
        """Asks your own question and repairs the answer until your checks pass.

        Args:
            prompt: a prompt (name, path or object), or messages.
            variables: values for the prompt's slots.
            output: the pydantic model that the answer has to fit.
            checks: functions that take the typed answer and return findings; `where` in a finding is a JSON pointer.
            bounds: how far this run may go, instead of the client's `per_job`.

        Raises:
            UnprovenError: your checks still failed after the last repair; `partial` is the last answer.
            BudgetError, DeadlineError: a bound was reached; `partial` likewise.
            AskError: any other reason why there is no answer.
        """
        job = self._ask_job(prompt, variables, output, checks)
        return self._answered(job, self._calls(bounds, "this run"))

    def _answered(self, job: AskJob[T], calls: Calls) -> Answer[T]:
        """The job, from its first request to its answer."""
        session = job.session()
        with calls.seeing.job("run"):
            try:
                end = drive(session, calls.send, calls.checking("", job.check), watch=self.watch)
            except AskError as error:
                job.unfinished(error, session, calls.trace)
                raise
            return job.finish(session, end, calls.trace)

    def batch(self, folder: str | Path, *, policy: BatchPolicy | None = None, on_wait: OnWait | None = None) -> Batch:
        """The same calls through the provider's batch API, many at once: `client.batch("state").design(briefs)`.

        Args:
            folder: where the state stands; one for each list that is asked. A killed process goes on from there.
            policy: how long, how often and how patiently.
            on_wait: is told of each wait.
        """
        from dbprompt.batch import Batch

        return Batch(self._batch_options(folder, policy, on_wait))


class AsyncClient(AsyncMany, AsyncStreaming):  # noqa: D101
    __doc__ = "The same as `Client`, awaited.\n\n" + (_Client.__doc__ or "").split("\n\n", 1)[1]

    def __post_init__(self) -> None:
        super().__post_init__()
        self._line = AsyncLine(aims=self._aims, policy=self.retry, per_call=self.per_call, on_wait=self.on_wait)
        self._threads: ThreadPoolExecutor | None = None
        self._threads_of = 0

    def _opened(self, model: Model) -> AsyncProvider:
        return open_async_provider(model.name, **self._told(model))

    async def __aenter__(self) -> Self:
        """Itself."""
        return self

    async def __aexit__(self, *error: object) -> None:
        """Closes."""
        await self.aclose()

    async def aclose(self) -> None:
        """Gives the connections back."""
        if self._threads is not None:
            self._threads.shutdown(wait=False)
            self._threads = None
        await self._line.aclose()

    def _calls(self, bounds: Bounds | None = None, what: str = "this job") -> AsyncCalls:
        return self._line.job(bounds or self.per_job, seeing=self._seeing(), what=what)

    def _in_a_thread(self, check: Callable[[C], Report]) -> Callable[[C], Awaitable[Report]]:
        """Checks are plain code, and may wait for an engine."""
        loop = asyncio.get_running_loop()
        if self._threads is None or self._threads_of != os.getpid():  # a forked child has none of its parent's threads
            self._threads, self._threads_of = ThreadPoolExecutor(_MOST_CHECKS, "dbprompt"), os.getpid()
        threads = self._threads
        return lambda candidate: loop.run_in_executor(threads, copy_context().run, check, candidate)

    async def design(
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
        bounds: Bounds | None = None,
    ) -> Result:
        """As `Client.design`."""
        job = self._design_job(brief, prompt, variables, sections, start, as_of, ignore, severity)
        return await self._designed(job, self._calls(bounds, "this design"))

    async def _designed(self, job: DesignJob, calls: AsyncCalls) -> Result:
        """As `Client._designed`."""
        job.trace, turn = calls.trace, asyncio.Semaphore(self.side_by_side)
        with calls.seeing.job("design"):
            while ready := job.ready():
                sessions = [job.session(name) for name in ready]
                running = (self._section(job, session, calls, turn) for session in sessions)
                job.finish_all(sessions, await asyncio.gather(*running, return_exceptions=True))
        return job.result()

    async def _section(
        self, job: DesignJob, session: Session[Section], calls: AsyncCalls, turn: asyncio.Semaphore
    ) -> Done[Section] | GaveUp[Section]:
        name = session.origin.section
        check = self._in_a_thread(calls.checking(name, job.checker(name)))
        async with turn:
            with calls.seeing.section(name) as seen:
                end = await adrive(session, calls.send, check, watch=self.watch)
                if isinstance(end, GaveUp):
                    seen.ended(end.reason)
        return end

    async def run(
        self,
        prompt: Asked,
        variables: Mapping[str, object] | None = None,
        *,
        output: type[T],
        checks: Iterable[AnswerCheck[T]] = (),
        bounds: Bounds | None = None,
    ) -> Answer[T]:
        """As `Client.run`."""
        job = self._ask_job(prompt, variables, output, checks)
        return await self._answered(job, self._calls(bounds, "this run"))

    async def _answered(self, job: AskJob[T], calls: AsyncCalls) -> Answer[T]:
        """As `Client._answered`."""
        session, seen = job.session(), calls.checking("", job.check)
        check = self._in_a_thread(seen) if job.checks else _at_once(seen)
        with calls.seeing.job("run"):
            try:
                end = await adrive(session, calls.send, check, watch=self.watch)
            except AskError as error:
                job.unfinished(error, session, calls.trace)
                raise
            return job.finish(session, end, calls.trace)

    def batch(
        self, folder: str | Path, *, policy: BatchPolicy | None = None, on_wait: OnWait | None = None
    ) -> AsyncBatch:
        """As `Client.batch`; its calls are awaited."""
        from dbprompt.batch import AsyncBatch

        return AsyncBatch(self._batch_options(folder, policy, on_wait))


def _at_once(check: Callable[[Candidate[T]], Report]) -> Callable[[Candidate[T]], Awaitable[Report]]:
    """A check that takes no time needs no thread."""

    async def checked(candidate: Candidate[T]) -> Report:
        return check(candidate)

    return checked
