"""What a streamed call tells while it runs, and the course of one streamed conversation. Pure, as a session is.

```
Listen ─► Hear ─► TextDelta ─► ItemDone ... Hear ─► Check ─► (Repairing ─► Ask ─► Check ...) ─► Done | GaveUp
```
A course yields events, which are handed on, and steps, which are taken and whose outcome it is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar, assert_never, cast

from pydantic import BaseModel

from dbprompt.calls.trace import Trace
from dbprompt.drivers import Watch, tell
from dbprompt.errors import AskError
from dbprompt.evidence import Finding, Report, Severity, Status, Tier, Verdict
from dbprompt.jobs.ask import Answer, AskJob
from dbprompt.messages import Reply, Request, Usage
from dbprompt.partial import Item, PartialAnswer, Unfinished
from dbprompt.sections import SECTIONS, DatabaseDesign, Section, SectionName
from dbprompt.session import Ask, Check, Done, GaveUp, Session, Step

if TYPE_CHECKING:
    from dbprompt.jobs.design import DesignJob
    from dbprompt.jobs.items import ItemsCheck

__all__ = [
    "Begin",
    "Course",
    "Event",
    "Hear",
    "ItemDone",
    "Listen",
    "Look",
    "Repairing",
    "StreamedDesign",
    "StreamedRun",
    "TextDelta",
    "Watched",
]

T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the answer's text, as it came."""

    text: str
    section: str = ""


@dataclass(frozen=True, slots=True)
class ItemDone:
    """An element of a list is complete.

    Args:
        where: JSON pointer into the answer, `/tables/0`.
        value: the element, typed; None if it does not fit its type.
        findings: what is wrong with it by itself. The check of the whole may find more, and only that one counts.
        status: what the checks of single items say of it: `not_checked` if there is none for it.
        section: of a design.
    """

    where: str
    value: object
    findings: tuple[Finding, ...] = ()
    status: Status = Status.NOT_CHECKED
    section: str = ""


@dataclass(frozen=True, slots=True)
class Repairing:
    """The answer was wrong, and what is wrong is asked for again. That is not streamed: the end has what came of it."""

    findings: tuple[Finding, ...]
    section: str = ""


Event: TypeAlias = "TextDelta | ItemDone | Repairing"


@dataclass(frozen=True, slots=True)
class Watched:
    """A step of a section that goes beside others: whoever watches is told of it in its place among the events."""

    section: str
    step: Ask | Check[Any] | Done[Any] | GaveUp[Any]


@dataclass(frozen=True, slots=True)
class Listen:
    """Ask this, and be ready to hear the answer piece by piece."""

    request: Request


@dataclass(frozen=True, slots=True)
class Hear:
    """The next piece, or the reply at the end."""


@dataclass(frozen=True, slots=True)
class Begin:
    """Begin this check beside the stream; one runs at a time."""

    check: Callable[[], Report]


@dataclass(frozen=True, slots=True)
class Look:
    """What the check that was begun found; None if it is not over. `wait` stays until it is."""

    wait: bool = False


_HEAR, _LOOK, _WAIT = Hear(), Look(), Look(wait=True)

Told: TypeAlias = "Generator[Event | Listen | Hear | Begin | Look | Ask | Check[Any], Reply | str | Report | None, R]"
R = TypeVar("R")


@dataclass(slots=True)
class Course(Generic[T]):
    """One conversation whose first answer is streamed.

    Args:
        session: says what is asked and checked.
        answer: takes in the text.
        check_items: checks items while others are being written; None for no check.
        watch: is told each step of the session before it is taken.
    """

    session: Session[T]
    answer: PartialAnswer[T]
    check_items: ItemsCheck | None = None
    watch: Watch | None = None
    _fitting: list[Item] = field(default_factory=list)
    _waiting: list[Item] = field(default_factory=list)
    _checked: tuple[Item, ...] = ()

    @property
    def section(self) -> str:
        """Which it is of a design."""
        return self.session.origin.section

    @property
    def value(self) -> T:
        """What is final of the first answer; all of it, if it was there already and only its repair is asked for."""
        return self.answer.value if self.session.draft is None else self.session.draft

    @property
    def spent(self) -> Usage:
        """What its replies cost by now."""
        return sum((turn.usage for turn in self.session.turns), Usage())

    def run(self) -> Told[Done[T] | GaveUp[T]]:
        """The course, from the first ask to its end."""
        step: Step[T] = self.session.begin()
        while True:
            tell(self.watch, self.section, step)
            match step:
                case Ask(request=request, findings=findings):
                    if findings:
                        yield from self._tell_rest(Report())
                        yield Repairing(findings, self.section)
                        reply = cast("Reply", (yield step))
                    else:
                        reply = yield from self._streamed(request)
                    step = self.session.replied(reply)
                case Check(candidate=candidate):
                    report = cast("Report", (yield step))
                    yield from self._tell_rest(candidate.relocate(report))
                    step = self.session.checked(report)
                case Done() | GaveUp():
                    yield from self._tell_rest(Report())
                    return step
                case _:
                    assert_never(step)

    def _streamed(self, request: Request) -> Told[Reply]:
        """The first answer: its text, and its items as they are complete."""
        yield Listen(request)
        while True:
            heard = yield _HEAR
            if isinstance(heard, Reply):
                return heard
            text = cast("str", heard)
            yield TextDelta(text, self.section)
            self._waiting += self.answer.feed(text)
            if self._waiting or self._checked:
                yield from self._tell_items()

    def _tell_items(self) -> Told[None]:
        """Items that are judged by now; those that came meanwhile are judged next."""
        if self._checked:
            report = cast("Report | None", (yield _LOOK))
            if report is None:
                return
            yield from self._tell(self._checked, report)
            self._checked = ()
        items, self._waiting = tuple(self._waiting), []
        fitting = [item for item in items if not item.findings]
        if self.check_items is None or not fitting:
            yield from self._tell(items, Report())
            return
        self._fitting += fitting
        self._checked = items
        yield Begin(partial(self.check_items, tuple(self._fitting), fitting))

    def _tell_rest(self, whole: Report) -> Told[None]:
        """At the end of the text: what was still waiting is told with what the check of the whole says of it."""
        if self._checked:
            report = cast("Report", (yield _WAIT))
            yield from self._tell(self._checked, report)
        yield from self._tell(self._waiting, whole)
        self._checked, self._waiting = (), []

    def _tell(self, items: Sequence[Item], report: Report) -> Iterator[ItemDone]:
        for item in items:
            found = tuple(finding for finding in report.findings if _lies_in(finding.where, item.where))
            verdicts = [verdict for verdict in report.verdicts if _lies_in(verdict.where, item.where)]
            findings = (*item.findings, *found)
            yield ItemDone(item.where, item.value, findings, _status(findings, verdicts), self.section)


@dataclass(slots=True)
class StreamedRun(Generic[T]):
    """A run that is streamed: its course, and what it comes to.

    Args:
        job: the question.
        course: of its one conversation.
        usage: what was spent by now.
        trace: every request and answer, if they are kept.
    """

    job: AskJob[T]
    course: Course[T]
    usage: Callable[[], Usage]
    trace: Trace | None = None
    _answer: Answer[T] | None = None

    @property
    def partial(self) -> T:
        """What is final of the first answer; at the end, the answer that was proven."""
        return self.course.answer.value if self._answer is None else self._answer.value

    def ended(self, end: Done[T] | GaveUp[T]) -> Answer[T]:
        """The answer.

        Raises:
            AnswerError: there is none.
        """
        self._answer = self.job.finish(self.course.session, end, self.trace)
        return self._answer

    def broken(self, error: AskError) -> None:
        """Gives the error what there is: the last candidate, or what was complete of an answer that broke off."""
        self.job.unfinished(error, self.course.session, self.trace)
        if error.partial is None:
            error.partial = self.course.answer.unfinished(self.usage())


@dataclass(slots=True)
class StreamedDesign:
    """A design that is streamed: wave after wave of courses, and what they come to.

    Args:
        job: the design.
        usage: what was spent by now.
        check_items: whether items are checked beside the stream.
        watch: is told each step.
    """

    job: DesignJob
    usage: Callable[[], Usage]
    check_items: bool = True
    watch: Watch | None = None
    unfinished: dict[SectionName, Unfinished[Section]] = field(default_factory=dict)
    _wave: tuple[Course[Section], ...] = ()

    def wave(self, put: Callable[[Watched], None]) -> tuple[Course[Section], ...]:
        """The courses that can go side by side now; none at the end. Their steps are put where their events go."""
        watch: Watch | None = None if self.watch is None else lambda section, step: put(Watched(section, step))
        self._wave = tuple(self._course(name, watch) for name in self.job.ready())
        return self._wave

    def _course(self, name: SectionName, watch: Watch | None) -> Course[Section]:
        from dbprompt.jobs.items import section_items

        check = section_items(self.job, name) if self.check_items else None
        return Course(self.job.session(name), PartialAnswer(SECTIONS[name]), check, watch)

    def handed_on(self, got: Event | Watched) -> Iterator[Event]:
        """The event; a step is told to whoever watches, by whoever reads the stream."""
        if not isinstance(got, Watched):
            yield got
        elif self.watch is not None:
            self.watch(got.section, got.step)

    def ended(self, ends: Sequence[Done[Section] | GaveUp[Section] | BaseException]) -> None:
        """Takes in how the wave ended.

        Raises:
            AskError, EngineError: as `DesignJob.finish_all`; `unfinished` has what was complete of its sections.
        """
        wave, self._wave = self._wave, ()
        for course, end in zip(wave, ends, strict=True):
            if isinstance(end, AskError) or (isinstance(end, GaveUp) and end.value is None):
                self.unfinished[course.section] = course.answer.unfinished(course.spent)
        self.job.finish_all([course.session for course in wave], ends)

    @property
    def partial(self) -> DatabaseDesign:
        """The finished sections, and what is final of those that are being written."""
        design = self.job.design
        for course in self._wave:
            design = design.with_section(course.section, course.value)
        return design


_WORST_FIRST = (Status.FAILED, Status.INCONCLUSIVE, Status.NOT_CHECKED, Status.PASSED)


def _status(findings: Sequence[Finding], verdicts: Sequence[Verdict]) -> Status:
    """An error fails it; else the engine's word counts, and without an engine the most careful one."""
    if any(finding.severity is Severity.ERROR for finding in findings):
        return Status.FAILED
    on_engine = [verdict.status for verdict in verdicts if verdict.tier is Tier.ENGINE]
    told = on_engine or [verdict.status for verdict in verdicts]
    return min(told, key=_WORST_FIRST.index, default=Status.NOT_CHECKED)


def _lies_in(where: str, item: str) -> bool:
    return where == item or where.startswith(f"{item}/")
