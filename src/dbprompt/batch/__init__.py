"""Batches: the same conversations, asked through a provider's batch API; cheaper, slower, and safe against a kill."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from pydantic import BaseModel

from dbprompt.batch.base import BatchPolicy, BatchWait, Ended, OnWait, StillWaitingError
from dbprompt.batch.base_course import Course, Waves
from dbprompt.batch.base_folder import BatchFolder, open_folder
from dbprompt.batch.replayed import ReplayedLine
from dbprompt.batch.rounds import drive_batches, drive_rounds
from dbprompt.batch.waves import ask_waves, design_waves, lanes
from dbprompt.brief import Brief
from dbprompt.calls.prices import Price
from dbprompt.calls.seeing import Seeing
from dbprompt.drivers import Watch
from dbprompt.errors import AskError
from dbprompt.jobs.ask import Answer, AnswerCheck, AskJob
from dbprompt.jobs.base import DEFAULT_PROMPT, JobSettings
from dbprompt.jobs.design import DesignJob
from dbprompt.library import load_prompt
from dbprompt.prompts.prompt import Prompt
from dbprompt.providers import Provider
from dbprompt.providers.base_batch import BatchApi
from dbprompt.result import Result
from dbprompt.sections import SectionName

if TYPE_CHECKING:
    from dbprompt.providers.tape import Tape

__all__ = [
    "AsyncBatch",
    "Batch",
    "BatchFolder",
    "BatchOptions",
    "BatchPolicy",
    "BatchWait",
    "Course",
    "Ended",
    "OnWait",
    "StillWaitingError",
    "design_waves",
    "drive_batches",
    "lanes",
    "open_folder",
]

R = TypeVar("R")
T = TypeVar("T", bound=BaseModel)

_Courses: TypeAlias = "Callable[[BatchFolder, Callable[[], Seeing]], Iterator[Course[R]]]"
"""Begins the jobs, each with what it shows of itself."""


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """What a client tells its batches.

    Args:
        open_api: opens the model's batch API.
        replay: opens what answers from a recording instead; None if there is none to answer.
        folder: where the state stands.
        settings: bounds of a job.
        provenance: where answers come from.
        policy: how long, how often and how patiently.
        workers: how many checks run at the same time.
        watch: is told the section and each step.
        on_wait: is told of each wait.
        tape: in mode `record`, keeps each exchange as if it had been a call by itself.
        seeing: makes what a job, or all of them, show of themselves.
        in_words: whether schemas are said in words.
        price: what the model costs in a batch; None if nobody told.
    """

    open_api: Callable[[], BatchApi]
    folder: Path
    settings: JobSettings
    provenance: str
    policy: BatchPolicy
    workers: int
    replay: Callable[[], Provider] | None = None
    watch: Watch | None = None
    on_wait: OnWait | None = None
    tape: Tape | None = None
    seeing: Callable[[], Seeing] = Seeing
    in_words: bool = False
    price: Price | None = None


class Batch:
    """The calls of a client, many at once, through the provider's batch API. Made by `Client.batch`.

    It waits for minutes or hours. A process that is killed loses nothing: the same call with the same folder goes on,
    hands in nothing twice, and keeps every answer. What expired or failed at the provider is handed in again. Requests
    and answers are in the folder, keys never.
    """

    def __init__(self, options: BatchOptions) -> None:
        self._options = options

    def design(
        self,
        briefs: Iterable[Brief],
        *,
        prompt: str | Prompt = DEFAULT_PROMPT,
        variables: Mapping[str, object] | None = None,
        sections: Iterable[SectionName] | None = None,
        as_of: date | None = None,
        ignore: Iterable[str] = (),
        severity: Mapping[str, str] | None = None,
    ) -> list[Result | AskError]:
        """Asks for many designs; in their order, each a result or why there is none (`error.partial` is what there is).

        Args:
            briefs: what you know of each application.
            prompt: the family that asks: a name, `name@version`, a path or a `Prompt`.
            variables: values for the prompt's slots, the same for all.
            sections: which parts to ask for; all that the prompt knows by default.
            as_of: the day that partitions are laid out from; by default the day of the folder's first start.
            ignore: rules that do not count, by id or family.
            severity: rules that weigh something else than usual.

        Raises:
            VariableError: the prompt's variables cannot be filled for one of them; nothing was asked.
            RuleError: a rule is named that there is not; nothing was asked.
            EngineError: an engine failed by itself; the answers are kept.
            OutputError: the folder cannot be written, or another process is at it.
        """
        return self._design(briefs, prompt, variables, sections, as_of, ignore, severity, None)

    def run(
        self,
        prompt: str | Prompt,
        variables: Iterable[Mapping[str, object]],
        *,
        output: type[T],
        checks: Iterable[AnswerCheck[T]] = (),
    ) -> list[Answer[T] | AskError]:
        """Asks your own question many times; in order, each an answer that passed your checks, or why there is none.

        Args:
            prompt: a prompt (name, path or object).
            variables: values for the prompt's slots, once for each answer.
            output: the pydantic model that the answers have to fit.
            checks: functions that take a typed answer and return findings.
        """
        return self._run(prompt, variables, output, checks, None)

    def _design(
        self,
        briefs: Iterable[Brief],
        prompt: str | Prompt,
        variables: Mapping[str, object] | None,
        sections: Iterable[SectionName] | None,
        as_of: date | None,
        ignore: Iterable[str],
        severity: Mapping[str, str] | None,
        stop: Event | None,
    ) -> list[Result | AskError]:
        known = load_prompt(prompt) if isinstance(prompt, str) else prompt
        asked, left_out, wanted = tuple(sections) if sections is not None else None, tuple(ignore), tuple(briefs)

        def courses(folder: BatchFolder, seen: Callable[[], Seeing]) -> Iterator[Course[Result]]:
            day = folder.as_of(as_of)
            # Which lane is whose depends on the briefs alone, so that a list may grow between two starts.
            for brief, lane in zip(wanted, lanes(brief.model_dump_json() for brief in wanted), strict=True):
                seeing = seen()
                job = DesignJob.of(
                    known,
                    brief,
                    variables=variables,
                    sections=asked,
                    settings=self._options.settings,
                    provenance=self._options.provenance,
                    as_of=day,
                    ignore=left_out,
                    severity=severity,
                )
                job.trace = seeing.trace
                yield self._course(design_waves(job, seeing), lane, seeing)

        return self._drive(courses, stop)

    def _run(
        self,
        prompt: str | Prompt,
        variables: Iterable[Mapping[str, object]],
        output: type[T],
        checks: Iterable[AnswerCheck[T]],
        stop: Event | None,
    ) -> list[Answer[T] | AskError]:
        known, kept = load_prompt(prompt) if isinstance(prompt, str) else prompt, tuple(checks)
        settings = self._options.settings
        jobs = [AskJob.of(known, filled, output=output, checks=kept, settings=settings) for filled in variables]

        def courses(_: BatchFolder, seen: Callable[[], Seeing]) -> Iterator[Course[Answer[T]]]:
            for job, lane in zip(jobs, lanes(repr(job.messages) for job in jobs), strict=True):
                seeing = seen()
                yield self._course(ask_waves(job, seeing), lane, seeing)

        return self._drive(courses, stop)

    def _course(self, waves: Waves[R], lane: str, seeing: Seeing) -> Course[R]:
        return Course(waves, lane, self._options.watch, seeing, self._options.in_words)

    def _drive(self, courses: _Courses[R], stop: Event | None) -> list[R | AskError]:
        told = self._options
        if told.replay is not None:
            with closing(told.replay()) as provider, self._begun(courses) as (_, begun):
                line, asked = ReplayedLine(provider, told.price), f"{provider.name}:{provider.model}"
                return drive_rounds(begun, line.ask, asked=asked, attempts=told.policy.attempts, workers=told.workers)
        with closing(told.open_api()) as api, self._begun(courses) as (folder, begun):
            return drive_batches(
                begun,
                api,
                folder,
                policy=told.policy,
                workers=told.workers,
                tape=told.tape,
                stop=stop,
                on_wait=told.on_wait,
                price=told.price,
            )

    @contextmanager
    def _begun(self, courses: _Courses[R]) -> Iterator[tuple[BatchFolder, list[Course[R]]]]:
        """The folder, and the jobs that are seen below this batch."""
        told, whole = self._options, self._options.seeing()
        with open_folder(told.folder) as folder, whole.job("batch"):
            yield folder, list(courses(folder, lambda: told.seeing().below(whole)))


class AsyncBatch:
    """The same as `Batch`, awaited: it waits in a thread, and ends with its task. Made by `AsyncClient.batch`."""

    def __init__(self, options: BatchOptions) -> None:
        self._batch = Batch(options)

    async def design(
        self,
        briefs: Iterable[Brief],
        *,
        prompt: str | Prompt = DEFAULT_PROMPT,
        variables: Mapping[str, object] | None = None,
        sections: Iterable[SectionName] | None = None,
        as_of: date | None = None,
        ignore: Iterable[str] = (),
        severity: Mapping[str, str] | None = None,
    ) -> list[Result | AskError]:
        """As `Batch.design`."""
        stop = Event()
        call = self._batch._design
        try:
            return await asyncio.to_thread(call, briefs, prompt, variables, sections, as_of, ignore, severity, stop)
        finally:
            stop.set()

    async def run(
        self,
        prompt: str | Prompt,
        variables: Iterable[Mapping[str, object]],
        *,
        output: type[T],
        checks: Iterable[AnswerCheck[T]] = (),
    ) -> list[Answer[T] | AskError]:
        """As `Batch.run`."""
        stop = Event()
        try:
            return await asyncio.to_thread(self._batch._run, prompt, variables, output, checks, stop)
        finally:
            stop.set()
