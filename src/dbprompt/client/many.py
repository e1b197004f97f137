"""`Client.map` and `AsyncClient.map`: many designs or many answers, so many at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast, overload

from pydantic import BaseModel

from dbprompt.brief import Brief
from dbprompt.calls.bounds import Bounds
from dbprompt.calls.line import AsyncCalls, AsyncLine, Calls, Line
from dbprompt.client.base_many import OnEnd, amany, many, prepared
from dbprompt.client.options import _Client
from dbprompt.errors import AskError
from dbprompt.jobs.ask import Answer, AnswerCheck, AskJob
from dbprompt.jobs.base import DEFAULT_PROMPT
from dbprompt.library import load_prompt
from dbprompt.prompts.prompt import Prompt
from dbprompt.providers import AsyncProvider, Provider
from dbprompt.result import Result
from dbprompt.sections import SectionName

if TYPE_CHECKING:
    from dbprompt.jobs.design import DesignJob

__all__ = ["AsyncMany", "Many"]

T = TypeVar("T", bound=BaseModel)
P = TypeVar("P", Provider, AsyncProvider)

_MOST_WAITING = 8


class _Many(_Client[P]):
    """What both share: every job is made before the first is asked."""

    def _map_jobs(
        self,
        items: Iterable[Brief] | Iterable[Mapping[str, object]],
        prompt: str | Prompt,
        output: type[T] | None,
        checks: Iterable[AnswerCheck[T]],
        variables: Mapping[str, object] | None,
        sections: Iterable[SectionName] | None,
        as_of: date | None,
        ignore: Iterable[str],
        severity: Mapping[str, str] | None,
    ) -> list[DesignJob] | list[AskJob[T]]:
        known = load_prompt(prompt) if isinstance(prompt, str) else prompt
        if output is not None:
            given = tuple(checks)
            return prepared(
                cast("Iterable[Mapping[str, object]]", items), lambda one: self._ask_job(known, one, output, given)
            )
        wanted, left_out = tuple(sections) if sections is not None else None, tuple(ignore)
        day = as_of or date.today()

        def job(brief: Brief) -> DesignJob:
            if not isinstance(brief, Brief):
                raise TypeError(f"map takes briefs, or variables together with output=; this is {type(brief).__name__}")
            return self._design_job(brief, known, variables, wanted, None, day, left_out, severity)

        return prepared(cast("Iterable[Brief]", items), job)


def _crowded(whole: Calls | AsyncCalls) -> bool:
    """Whether enough of them wait for a model's rate limits by now.

    One that waits spends its own time; and with so many in the queue, no room in the limits goes unused.
    """
    if whole.meter.left_s() <= 0:
        return False
    line = whole.line
    return any(aim.pace is not None and aim.pace.waiting(line.clock()) >= _MOST_WAITING for aim in line.aims)


class Many(_Many[Provider]):
    """`map` of a `Client`."""

    _line: Line

    def _designed(self, job: DesignJob, calls: Calls) -> Result:
        raise NotImplementedError

    def _answered(self, job: AskJob[T], calls: Calls) -> Answer[T]:
        raise NotImplementedError

    @overload
    def map(
        self,
        items: Iterable[Brief],
        *,
        prompt: str | Prompt = DEFAULT_PROMPT,
        variables: Mapping[str, object] | None = None,
        sections: Iterable[SectionName] | None = None,
        as_of: date | None = None,
        ignore: Iterable[str] = (),
        severity: Mapping[str, str] | None = None,
        at_once: int = 8,
        bounds: Bounds | None = None,
        on_end: OnEnd[Result] | None = None,
    ) -> list[Result | AskError]: ...

    @overload
    def map(
        self,
        items: Iterable[Mapping[str, object]],
        *,
        prompt: str | Prompt,
        output: type[T],
        checks: Iterable[AnswerCheck[T]] = (),
        at_once: int = 8,
        bounds: Bounds | None = None,
        on_end: OnEnd[Answer[T]] | None = None,
    ) -> list[Answer[T] | AskError]: ...

    def map(
        self,
        items: Iterable[Brief] | Iterable[Mapping[str, object]],
        *,
        prompt: str | Prompt = DEFAULT_PROMPT,
        output: type[T] | None = None,
        checks: Iterable[AnswerCheck[T]] = (),
        variables: Mapping[str, object] | None = None,
        sections: Iterable[SectionName] | None = None,
        as_of: date | None = None,
        ignore: Iterable[str] = (),
        severity: Mapping[str, str] | None = None,
        at_once: int = 8,
        bounds: Bounds | None = None,
        on_end: OnEnd[Result] | OnEnd[Answer[T]] | None = None,
    ) -> list[Result | AskError] | list[Answer[T] | AskError]:
        """Asks for many designs, or with `output` your own question many times; their ends in order.

        Each is a result, or the error that says why there is none: one that fails loses nothing of the others. All of
        them keep to the rate limits of the model. What stops everything (Ctrl-C, an engine that failed by itself, an
        error of `on_end`) calls off what is under way before it comes out.

        Args:
            items: briefs; or values for the prompt's slots, once for each answer.
            prompt: as in `design` and `run`.
            output: the pydantic model that an answer has to fit.
            checks: as in `run`.
            variables: beside briefs: values that are the same for all.
            sections: as in `design`, as are `as_of`, `ignore` and `severity`.
            as_of: the day that partitions are laid out from; today by default.
            ignore: rules that do not count.
            severity: rules that weigh something else.
            at_once: how many at a time. The sections of each design still go side by side.
            bounds: how far all of them together may go. The client's `per_job` holds for each.
            on_end: is told the number of each (from 0) and its end, as it ends; in the thread that called.

        Raises:
            VariableError: the prompt's variables cannot be filled for some items; nothing was asked.
            EngineError: an engine failed by itself; it would fail for every item.
        """
        jobs = self._map_jobs(items, prompt, output, checks, variables, sections, as_of, ignore, severity)
        whole = self._line.job(bounds, seeing=self._seeing(), what="this map")

        def run(job: DesignJob | AskJob[T]) -> Result | Answer[T]:
            calls = whole.part(self.per_job, seeing=self._seeing().below(whole.seeing), what="this item")
            return self._answered(job, calls) if isinstance(job, AskJob) else self._designed(job, calls)

        with whole.seeing.job("map"):
            ends = many(
                [partial(run, job) for job in jobs],
                at_once=at_once,
                on_end=cast("OnEnd[object] | None", on_end),
                crowded=partial(_crowded, whole),
                one_model=len(self._aims) == 1,
            )
        return cast("list[Result | AskError] | list[Answer[T] | AskError]", ends)


class AsyncMany(_Many[AsyncProvider]):
    """`map` of an `AsyncClient`."""

    _line: AsyncLine

    async def _designed(self, job: DesignJob, calls: AsyncCalls) -> Result:
        raise NotImplementedError

    async def _answered(self, job: AskJob[T], calls: AsyncCalls) -> Answer[T]:
        raise NotImplementedError

    @overload
    async def map(
        self,
        items: Iterable[Brief],
        *,
        prompt: str | Prompt = DEFAULT_PROMPT,
        variables: Mapping[str, object] | None = None,
        sections: Iterable[SectionName] | None = None,
        as_of: date | None = None,
        ignore: Iterable[str] = (),
        severity: Mapping[str, str] | None = None,
        at_once: int = 8,
        bounds: Bounds | None = None,
        on_end: OnEnd[Result] | None = None,
    ) -> list[Result | AskError]: ...

    @overload
    async def map(
        self,
        items: Iterable[Mapping[str, object]],
        *,
        prompt: str | Prompt,
        output: type[T],
        checks: Iterable[AnswerCheck[T]] = (),
        at_once: int = 8,
        bounds: Bounds | None = None,
        on_end: OnEnd[Answer[T]] | None = None,
    ) -> list[Answer[T] | AskError]: ...

    async def map(
        self,
        items: Iterable[Brief] | Iterable[Mapping[str, object]],
        *,
        prompt: str | Prompt = DEFAULT_PROMPT,
        output: type[T] | None = None,
        checks: Iterable[AnswerCheck[T]] = (),
        variables: Mapping[str, object] | None = None,
        sections: Iterable[SectionName] | None = None,
        as_of: date | None = None,
        ignore: Iterable[str] = (),
        severity: Mapping[str, str] | None = None,
        at_once: int = 8,
        bounds: Bounds | None = None,
        on_end: OnEnd[Result] | OnEnd[Answer[T]] | None = None,
    ) -> list[Result | AskError] | list[Answer[T] | AskError]:
        """As `Client.map`; cancelling it cancels everything that is under way."""
        jobs = self._map_jobs(items, prompt, output, checks, variables, sections, as_of, ignore, severity)
        whole = self._line.job(bounds, seeing=self._seeing(), what="this map")

        async def run(job: DesignJob | AskJob[T]) -> Result | Answer[T]:
            calls = whole.part(self.per_job, seeing=self._seeing().below(whole.seeing), what="this item")
            if isinstance(job, AskJob):
                return await self._answered(job, calls)
            return await self._designed(job, calls)

        with whole.seeing.job("map"):
            ends = await amany(
                [partial(run, job) for job in jobs],
                at_once=at_once,
                on_end=cast("OnEnd[object] | None", on_end),
                crowded=partial(_crowded, whole),
                one_model=len(self._aims) == 1,
            )
        return cast("list[Result | AskError] | list[Answer[T] | AskError]", ends)
