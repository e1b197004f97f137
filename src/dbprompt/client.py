"""The face of a model: `Client` and `AsyncClient`, one class each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import KW_ONLY, dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Literal, Self, TypeAlias, TypeVar

from pydantic import BaseModel

from dbprompt.batch import AsyncBatch, Batch, BatchOptions, BatchPolicy, OnWait
from dbprompt.brief import Brief
from dbprompt.drivers import Watch, adrive, drive
from dbprompt.jobs.ask import Answer, AnswerCheck, AskJob
from dbprompt.jobs.base import DEFAULT_PROMPT, JobSettings
from dbprompt.jobs.design import DesignJob
from dbprompt.library import load_prompt
from dbprompt.messages import Message
from dbprompt.prompts.prompt import Prompt
from dbprompt.providers import (
    AsyncProvider,
    Provider,
    ResponseFormat,
    RetryPolicy,
    open_async_provider,
    open_batch_api,
    open_provider,
)
from dbprompt.result import Result
from dbprompt.sections import DatabaseDesign, Section, SectionName
from dbprompt.session import Done, GaveUp, Session

if TYPE_CHECKING:
    from dbprompt.providers.tape import Tape

__all__ = ["DEFAULT_PROMPT", "AsyncClient", "Client"]

T = TypeVar("T", bound=BaseModel)
P = TypeVar("P", Provider, AsyncProvider)

Asked: TypeAlias = "str | Prompt | Sequence[Message]"


@dataclass(repr=False)
class _Client(Generic[P]):
    """What both clients are told.

    Args:
        model: `anthropic:MODEL`, `openai:MODEL`, or a provider of your own.
        base_url: an OpenAI-compatible server for `openai:MODEL`.
        api_key: by default taken from ANTHROPIC_API_KEY or OPENAI_API_KEY.
        timeout_s: seconds that a server may be silent within one request.
        temperature: the API's own default if not given.
        response_format: what a compatible server takes; found out by asking if not given.
        attempts: repair rounds a section.
        side_by_side: sections that do not need each other and are asked for at the same time.
        max_output_tokens: where an answer is cut off; a cut-off answer is an error, never half an object.
        retry: how often and how long a failing provider is asked again.
        recording: a file of recorded exchanges; with it nothing reaches the network unless `mode` says so.
        mode: what is done with a recording that is given as a path.
        watch: is told the section and each step, for progress.
    """

    model: str | P
    _: KW_ONLY
    base_url: str | None = None
    api_key: str | None = None
    timeout_s: float = 600.0
    temperature: float | None = None
    response_format: ResponseFormat | None = None
    attempts: int = 3
    side_by_side: int = 4
    max_output_tokens: int = 16_000
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    recording: str | Path | Tape | None = None
    mode: Literal["replay", "record", "live"] = "replay"
    watch: Watch | None = None

    def __post_init__(self) -> None:
        if self.attempts < 0 or self.max_output_tokens < 1 or self.side_by_side < 1:
            raise ValueError("attempts must be at least 0, max_output_tokens and side_by_side at least 1")
        self._tape = self._opened_tape()
        self._provider: P = self._opened(self.model) if isinstance(self.model, str) else self.model

    def _opened(self, model: str) -> P:
        raise NotImplementedError

    def _opened_tape(self) -> Tape | None:
        if self.recording is None:
            return None
        from dbprompt.providers.tape import Tape

        return self.recording if isinstance(self.recording, Tape) else Tape.open(self.recording, mode=self.mode)

    def __repr__(self) -> str:
        """The model, never the key."""
        return f"{type(self).__name__}({self._provider.name}:{self._provider.model})"

    @property
    def provenance(self) -> str:
        """Where answers come from: a live model, or a recording and who wrote it."""
        if self._tape is None or self._tape.mode == "live":
            return f"live, {self._provider.name}:{self._provider.model}"
        verb = "replayed from" if self._tape.mode == "replay" else "recorded to"
        return f"{verb} {self._tape.provenance_summary()}"

    def _settings(self) -> JobSettings:
        return JobSettings(attempts=self.attempts, max_output_tokens=self.max_output_tokens)

    def _design_job(
        self,
        brief: Brief | None,
        prompt: str | Prompt,
        variables: Mapping[str, object] | None,
        sections: Iterable[SectionName] | None,
        start: DatabaseDesign | None,
        as_of: date | None,
        ignore: Iterable[str],
        severity: Mapping[str, str] | None,
    ) -> DesignJob:
        return DesignJob.of(
            load_prompt(prompt) if isinstance(prompt, str) else prompt,
            brief,
            variables=variables,
            sections=sections,
            start=start,
            settings=self._settings(),
            provenance=self.provenance,
            as_of=as_of,
            ignore=ignore,
            severity=severity,
        )

    def _ask_job(
        self,
        asked: Asked,
        variables: Mapping[str, object] | None,
        output: type[T],
        checks: Iterable[AnswerCheck[T]],
    ) -> AskJob[T]:
        known = load_prompt(asked) if isinstance(asked, str) else asked
        return AskJob.of(known, variables, output=output, checks=checks, settings=self._settings())

    def _batch_options(self, folder: str | Path, policy: BatchPolicy | None, on_wait: OnWait | None) -> BatchOptions:
        if not isinstance(self.model, str):
            raise TypeError(f"a batch asks anthropic:MODEL or openai:MODEL, not a provider of your own ({self!r})")
        if self._tape is not None and self._tape.mode == "replay":
            raise ValueError("a recording answers at once: replay it with design() or run(), not in a batch")
        open_api = partial(
            open_batch_api,
            self.model,
            base_url=self.base_url,
            api_key=self.api_key,
            timeout_s=self.timeout_s,
            temperature=self.temperature,
            response_format=self.response_format,
        )
        return BatchOptions(
            open_api=open_api,
            folder=Path(folder),
            settings=self._settings(),
            provenance=self.provenance,
            policy=policy or BatchPolicy(),
            workers=self.side_by_side,
            watch=self.watch,
            on_wait=on_wait,
            tape=self._tape,
        )


class Client(_Client[Provider]):  # noqa: D101  its docstring is made of its options
    __doc__ = "A model, asked and waited for.\n\n" + (_Client.__doc__ or "").split("\n\n", 1)[1]

    def _opened(self, model: str) -> Provider:
        return open_provider(
            model,
            base_url=self.base_url,
            api_key=self.api_key,
            timeout_s=self.timeout_s,
            temperature=self.temperature,
            response_format=self.response_format,
            tape=self._tape,
        )

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Closes."""
        self.close()

    def close(self) -> None:
        """Gives the connections back."""
        self._provider.close()

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

        Raises:
            UnprovenError: a section was still wrong after the last repair; `partial` holds everything else.
            AskError: any other reason why no proven design was had; `partial` likewise.
            VariableError: the prompt's variables cannot be filled; nothing was asked.
            RuleError: `ignore`, `severity` or the brief's `rules` name a rule that there is not; nothing was asked.
        """
        job = self._design_job(brief, prompt, variables, sections, start, as_of, ignore, severity)
        with ThreadPoolExecutor(self.side_by_side, thread_name_prefix="dbprompt") as pool:
            while ready := job.ready():
                sessions = [job.session(name) for name in ready]
                try:
                    ends = self._ends(pool, job, sessions)
                except BaseException:  # Ctrl-C: requests that are under way end with their connections
                    self.close()
                    raise
                job.finish_all(sessions, ends)
        return job.result()

    def _ends(
        self, pool: ThreadPoolExecutor, job: DesignJob, sessions: Sequence[Session[Section]]
    ) -> list[Done[Section] | GaveUp[Section] | BaseException]:
        """How the sessions end; one that has nothing beside it needs no thread."""
        if len(sessions) > 1:
            running = [pool.submit(self._section, job, session) for session in sessions]
            wait(running)
            return [one.exception() or one.result() for one in running]
        try:
            return [self._section(job, sessions[0])]
        except Exception as error:  # as a thread would hold it
            return [error]

    def _section(self, job: DesignJob, session: Session[Section]) -> Done[Section] | GaveUp[Section]:
        check = job.checker(session.origin.section)
        return drive(session, self._provider, check, retry=self.retry, watch=self.watch)

    def run(
        self,
        prompt: Asked,
        variables: Mapping[str, object] | None = None,
        *,
        output: type[T],
        checks: Iterable[AnswerCheck[T]] = (),
    ) -> Answer[T]:
        """Asks your own question and repairs the answer until your checks pass.

        Args:
            prompt: a prompt (name, path or object), or messages.
            variables: values for the prompt's slots.
            output: the pydantic model that the answer has to fit.
            checks: functions that take the typed answer and return findings; `where` in a finding is a JSON pointer.

        Raises:
            UnprovenError: your checks still failed after the last repair.
            AskError: any other reason why there is no answer.
        """
        job = self._ask_job(prompt, variables, output, checks)
        session = job.session()
        return job.finish(session, drive(session, self._provider, job.check, retry=self.retry, watch=self.watch))

    def batch(self, folder: str | Path, *, policy: BatchPolicy | None = None, on_wait: OnWait | None = None) -> Batch:
        """The same calls through the provider's batch API, many at once: `client.batch("state").design(briefs)`.

        Args:
            folder: where the state stands; one for each list that is asked. A killed process goes on from there.
            policy: how long, how often and how patiently.
            on_wait: is told of each wait.
        """
        return Batch(self._batch_options(folder, policy, on_wait))


class AsyncClient(_Client[AsyncProvider]):  # noqa: D101
    __doc__ = "The same as `Client`, awaited.\n\n" + (_Client.__doc__ or "").split("\n\n", 1)[1]

    def _opened(self, model: str) -> AsyncProvider:
        return open_async_provider(
            model,
            base_url=self.base_url,
            api_key=self.api_key,
            timeout_s=self.timeout_s,
            temperature=self.temperature,
            response_format=self.response_format,
            tape=self._tape,
        )

    async def __aenter__(self) -> Self:
        """Itself."""
        return self

    async def __aexit__(self, *error: object) -> None:
        """Closes."""
        await self.aclose()

    async def aclose(self) -> None:
        """Gives the connections back."""
        await self._provider.aclose()

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
    ) -> Result:
        """As `Client.design`."""
        job = self._design_job(brief, prompt, variables, sections, start, as_of, ignore, severity)
        turn = asyncio.Semaphore(self.side_by_side)
        while ready := job.ready():
            sessions = [job.session(name) for name in ready]
            running = (self._section(job, session, turn) for session in sessions)
            job.finish_all(sessions, await asyncio.gather(*running, return_exceptions=True))
        return job.result()

    async def _section(
        self, job: DesignJob, session: Session[Section], turn: asyncio.Semaphore
    ) -> Done[Section] | GaveUp[Section]:
        check = job.checker(session.origin.section)
        async with turn:
            return await adrive(session, self._provider, check, retry=self.retry, watch=self.watch)

    async def run(
        self,
        prompt: Asked,
        variables: Mapping[str, object] | None = None,
        *,
        output: type[T],
        checks: Iterable[AnswerCheck[T]] = (),
    ) -> Answer[T]:
        """As `Client.run`."""
        job = self._ask_job(prompt, variables, output, checks)
        session = job.session()
        return job.finish(session, await adrive(session, self._provider, job.check, retry=self.retry, watch=self.watch))

    def batch(
        self, folder: str | Path, *, policy: BatchPolicy | None = None, on_wait: OnWait | None = None
    ) -> AsyncBatch:
        """As `Client.batch`; its calls are awaited."""
        return AsyncBatch(self._batch_options(folder, policy, on_wait))
