"""The job for people who bring their own prompt, schema and checks: one answer, proven by their checks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

from pydantic import BaseModel

from dbprompt.calls.in_time import check_time
from dbprompt.calls.trace import Trace
from dbprompt.errors import AskError
from dbprompt.evidence import Evidence, Finding, Report, Severity, Status, Tier, Verdict
from dbprompt.jobs.base import JobSettings, failure, repair_items
from dbprompt.messages import Message, Origin, TurnUsage, Usage
from dbprompt.patch import BrokenItem
from dbprompt.prompts.prompt import Prompt, render_default_repair
from dbprompt.sections import output_schema
from dbprompt.session import Candidate, Done, GaveUp, Session

__all__ = ["Answer", "AnswerCheck", "AskJob"]

T = TypeVar("T", bound=BaseModel)

AnswerCheck: TypeAlias = Callable[[T], "Report | Iterable[Finding] | None"]
"""A check of your own: the typed answer in, a `Report` or findings out; nothing wrong is None or an empty list."""


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """A typed answer that passed every check.

    Args:
        value: the answer.
        evidence: what was checked, and by what.
        usage_by_turn: what each request cost, the first ask and the repairs.
        trace: every request and answer, if they are kept.
    """

    value: T
    evidence: Evidence
    usage_by_turn: tuple[TurnUsage, ...]
    trace: Trace | None = field(default=None, repr=False, compare=False)

    @property
    def usage(self) -> Usage:
        """What it cost in all."""
        return sum((turn.usage for turn in self.usage_by_turn), Usage())


@dataclass(frozen=True, slots=True)
class AskJob(Generic[T]):
    """One question with the caller's own model and checks."""

    messages: tuple[Message, ...]
    output: type[T]
    checks: tuple[AnswerCheck[T], ...]
    settings: JobSettings
    origin: Origin

    @classmethod
    def of(
        cls,
        asked: Prompt | Sequence[Message],
        variables: Mapping[str, object] | None,
        *,
        output: type[T],
        checks: Iterable[AnswerCheck[T]],
        settings: JobSettings,
    ) -> AskJob[T]:
        """A job at its beginning.

        Raises:
            VariableError: the prompt's variables cannot be filled.
            TypeError: variables were given for messages, which have none.
        """
        if not (isinstance(output, type) and issubclass(output, BaseModel)):
            raise TypeError(f"output is a pydantic model class, not {output!r}")
        schema = output_schema(output)
        if isinstance(asked, Prompt):
            messages = asked.render(**(variables or {}))
            origin = Origin(asked.name, asked.version, asked.hash, schema.hash)
        else:
            if variables:
                raise TypeError("variables fill a prompt; messages have none")
            messages, origin = tuple(asked), Origin(schema_hash=schema.hash)
            if not messages:
                raise TypeError("there is no message to ask with")
        return cls(messages, output, tuple(checks), settings, origin)

    def session(self) -> Session[T]:
        """The conversation."""
        return Session(
            output=self.output,
            messages=self.messages,
            schema=output_schema(self.output),
            repair=self._repair,
            attempts=self.settings.attempts,
            max_output_tokens=self.settings.max_output_tokens,
            origin=self.origin,
        )

    def _repair(self, items: Sequence[BrokenItem]) -> tuple[Message, ...]:
        return (*self.messages, *render_default_repair(repair_items(items)))

    def check(self, candidate: Candidate[T]) -> Report:
        """The caller's checks, in order."""
        report = Report()
        for check in self.checks:
            check_time()
            found = check(candidate.value)
            report += found if isinstance(found, Report) else self._report(check, found)
        return report

    def _report(self, check: AnswerCheck[T], found: Iterable[Finding] | None) -> Report:
        name = str(getattr(check, "__qualname__", type(check).__qualname__))
        findings = () if found is None else tuple(found) if isinstance(found, Iterable) else (found,)
        strange = [one for one in findings if not isinstance(one, Finding)]
        if strange:
            raise TypeError(f"check {name} gave {strange[0]!r}: return a Report, findings, or None if nothing is wrong")
        failed = any(finding.severity is Severity.ERROR for finding in findings)
        status = Status.FAILED if failed else Status.PASSED
        verdict = Verdict(self.output.__name__, "", status, Tier.RULE, name, "only what this check looks at")
        return Report(findings, (verdict,))

    def finish(self, session: Session[T], end: Done[T] | GaveUp[T], trace: Trace | None = None) -> Answer[T]:
        """The answer.

        Raises:
            AnswerError: the session gave up.
        """
        if isinstance(end, GaveUp):
            raise self.unfinished(failure(end, self.output.__name__, self.settings), session, trace)
        return Answer(end.value, Evidence.of([end.report]), _turns(session), trace)

    def unfinished(self, error: AskError, session: Session[T], trace: Trace | None = None) -> AskError:
        """The error with what there is: the last candidate, what is wrong with it, and what it cost."""
        error.trace = trace
        if (last := session.so_far()) is not None:
            error.partial = Answer(last[0], Evidence.of([last[1]]), _turns(session), trace)
        return error


def _turns(session: Session[T]) -> tuple[TurnUsage, ...]:
    return tuple(TurnUsage("answer", turn.kind, turn.usage, turn.model, turn.instead_of) for turn in session.turns)
