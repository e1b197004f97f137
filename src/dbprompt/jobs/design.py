"""The design job: which sections, in what order, checked how. Pure but for the checks, which may run an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from dbprompt.brief import Brief
from dbprompt.calls.in_time import check_time
from dbprompt.calls.trace import Trace
from dbprompt.capacity import Capacity, capacity_of
from dbprompt.checks.base_design import artefacts
from dbprompt.checks.registry import design_checks
from dbprompt.checks.settings import RuleSettings
from dbprompt.checks.subject import Subject
from dbprompt.errors import AnswerError, AskError, EngineError, Problem, VariableError
from dbprompt.evidence import Evidence, Report, Status, Tier, Verdict
from dbprompt.jobs.base import JobSettings, failure, repair_items
from dbprompt.jobs.known import known_names
from dbprompt.ladder import climb
from dbprompt.messages import Origin, OutputSchema
from dbprompt.plans import plan_queries
from dbprompt.prompts.from_brief import fill_from_brief
from dbprompt.prompts.prompt import Filled, Prompt
from dbprompt.proofs import PROOFS
from dbprompt.render.postgres import outline
from dbprompt.result import Result, TurnUsage
from dbprompt.sections import SECTIONS, DatabaseDesign, Section, SectionName, all_needs, output_schema
from dbprompt.session import Candidate, Done, GaveUp, Session

__all__ = ["DesignJob"]


@dataclass(slots=True)
class DesignJob:
    """The state of one design.

    Args:
        prompt: the family that asks.
        brief: what the user knows; None if `variables` say it.
        filled: the prompt with its values: those that were given go before what the brief fills.
        sections: which to ask for; the prompt's sections by default.
        start: sections that are there already. They are checked first and asked for only where they fail.
        rules: which rules count, and how much.
        trace: every request and answer, if they are kept.
    """

    prompt: Prompt
    brief: Brief | None
    filled: Filled
    settings: JobSettings
    sections: tuple[SectionName, ...]
    provenance: str
    start: DatabaseDesign
    as_of: date
    rules: RuleSettings = field(default_factory=RuleSettings)
    design: DatabaseDesign = field(default_factory=DatabaseDesign)
    turns: list[TurnUsage] = field(default_factory=list)
    trace: Trace | None = None
    _reports: dict[SectionName, Report] = field(default_factory=dict)
    _capacity: Capacity | None = None

    @classmethod
    def of(
        cls,
        prompt: Prompt,
        brief: Brief | None,
        *,
        variables: Mapping[str, object] | None = None,
        sections: Iterable[SectionName] | None = None,
        start: DatabaseDesign | None = None,
        settings: JobSettings,
        provenance: str,
        as_of: date | None = None,
        ignore: Iterable[str] = (),
        severity: Mapping[str, str] | None = None,
    ) -> DesignJob:
        """A job at its beginning.

        Raises:
            VariableError: the prompt's variables cannot be filled, or `sections` names one that there is not; nothing
                was asked yet.
            RuleError: `ignore`, `severity` or the brief's `rules` name a rule that there is not.
        """
        wished = RuleSettings.of(brief.rules.ignore, brief.rules.severity, where="rules.") if brief else None
        asked = tuple(sections) if sections is not None else prompt.sections
        strangers = [name for name in asked if name not in SECTIONS]
        if strangers:
            known = f"there is no such section; write one of {', '.join(SECTIONS)}"
            raise VariableError("sections", [Problem("sections", repr(name), known) for name in strangers])
        capacity = capacity_of(brief) if brief else None
        told = {**(fill_from_brief(prompt.variables, brief, capacity) if brief else {}), **(variables or {})}
        return cls(
            prompt=prompt,
            brief=brief,
            filled=prompt.filled(told),
            settings=settings,
            sections=tuple(name for name in SECTIONS if name in asked),
            provenance=provenance,
            start=start or DatabaseDesign(),
            as_of=as_of or date.today(),
            rules=RuleSettings.of(ignore, severity, base=wished),
            _capacity=capacity,
        )

    def ready(self) -> tuple[SectionName, ...]:
        """The sections that can be asked for now, side by side."""
        todo = {*self.sections, *self._given()} - set(self._reports)
        return tuple(name for name in SECTIONS if name in todo and not todo & set(all_needs(name)))

    def _given(self) -> set[SectionName]:
        return {name for name in SECTIONS if self.start.section(name) is not None}

    def session(self, name: SectionName) -> Session[Section]:
        """The conversation for one section. A repair follows the same messages, which a provider has in its cache."""
        basis = self.design.only(all_needs(name))  # the same request, whatever else is finished by now
        schema = output_schema(SECTIONS[name], name, known_names(name, basis, self.brief))
        messages = self.filled.turn(name, design_so_far=outline(basis))
        return Session(
            output=SECTIONS[name],
            messages=messages,
            schema=schema,
            repair=lambda items: (*messages, *self.prompt.render_repair(name, repair_items(items))),
            attempts=self.settings.attempts,
            max_output_tokens=self.settings.max_output_tokens,
            origin=self._origin(name, schema),
            draft=self.start.section(name),
        )

    def _origin(self, name: SectionName, schema: OutputSchema) -> Origin:
        return Origin(self.prompt.name, self.prompt.version, self.prompt.turn_hash(name), schema.hash, name)

    def checker(self, name: SectionName) -> Callable[[Candidate[Section]], Report]:
        """Everything that is checked about one section in its place: rules, parsers, the engine."""
        checks = design_checks(
            name,
            run=climb,
            plans=plan_queries,
            proofs=PROOFS.get(name, ()),
            as_of=self.as_of,
            settings=self.rules,
        )

        def check(candidate: Candidate[Section]) -> Report:
            design = self.design.with_section(name, candidate.value)
            subject = Subject(design, name, self.brief, self._capacity, candidate.misshapen)
            return sum((_in_time(check, subject) for check in checks), Report())

        return check

    def finish_all(
        self,
        sessions: Sequence[Session[Section]],
        ends: Sequence[Done[Section] | GaveUp[Section] | BaseException],
    ) -> None:
        """Takes in how the sessions ended that went side by side.

        Raises:
            AskError: a section was given up, or could not be asked for; `partial` holds everything that was finished.
            EngineError: an engine failed by itself; `partial` as well.
        """
        errors: list[BaseException] = []
        for session, end in zip(sessions, ends, strict=True):
            if isinstance(end, BaseException):
                errors.append(end)
                self._break_off(session.origin.section, session, end)
            elif (given_up := self._finish(session.origin.section, session, end)) is not None:
                errors.append(given_up)
        if not errors:
            return
        first, *others = errors
        for other in others:
            first.add_note(f"In the same wave: {other}")
        if isinstance(first, AskError | EngineError):
            first.partial = self.result()
            first.trace = self.trace
        raise first

    def _finish(
        self, name: SectionName, session: Session[Section], end: Done[Section] | GaveUp[Section]
    ) -> AnswerError | None:
        self._count(name, session)
        if end.value is not None:
            self.design = self.design.with_section(name, end.value)
        self._reports[name] = end.report
        return failure(end, name, self.settings) if isinstance(end, GaveUp) else None

    def _break_off(self, name: SectionName, session: Session[Section], error: BaseException) -> None:
        """Keeps what there is of a section that broke off: its last candidate is worth repairing."""
        self._count(name, session)
        if isinstance(error, AskError) and (last := session.so_far()) is not None:
            value, self._reports[name] = last
            self.design = self.design.with_section(name, value)

    def _count(self, name: SectionName, session: Session[Section]) -> None:
        self.turns += [TurnUsage(name, turn.kind, turn.usage, turn.model, turn.instead_of) for turn in session.turns]

    def result(self) -> Result:
        """What there is by now, with its evidence."""
        reports = [report.below(f"/{name}") for name, report in self._reports.items()]
        return Result(
            design=self.design,
            evidence=Evidence.of([*reports, self._unchecked(Evidence.of(reports))]),
            usage_by_turn=tuple(self.turns),
            brief=self.brief,
            capacity=self._capacity,
            provenance=self.provenance,
            prompt=str(self.prompt),
            as_of=self.as_of,
            trace=self.trace,
        )

    def _unchecked(self, evidence: Evidence) -> Report:
        """A `not_checked` verdict for each artefact that no verdict names."""
        seen = {verdict.where for verdict in evidence.verdicts}
        silent = [
            (artefact.label, f"/{name}{artefact.where}")
            for name in SECTIONS
            if self.design.section(name) is not None
            for artefact in artefacts(Subject(self.design, name))
        ]
        return Report(
            verdicts=tuple(
                Verdict(label, where, Status.NOT_CHECKED, Tier.NOTHING, "none", "no check looked at it")
                for label, where in silent
                if where not in seen
            )
        )


def _in_time(check: Callable[[Subject], Report], subject: Subject) -> Report:
    check_time()
    return check(subject)
