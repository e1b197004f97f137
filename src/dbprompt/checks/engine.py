"""The section runs: its DDL, or each of its statements prepared, on a real PostgreSQL that is thrown away.

Poor: `CHECK (price > '0 EUR')`, `DEFAULT 'tomorrow'` for a date, an index method that has no operator class for the
column's type, `sum(status)`: every parser takes them.
Better: nothing is believed before PostgreSQL took it. Parsers catch 72 of 251 wrong statements, the engine all 251
(facts/sql_checking.md).

Whatever the section needs of earlier ones is made first and judged in its own section. What only trips over something
that failed before is inconclusive, and names the cause. The runner comes from above (`dbprompt.ladder.climb`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Protocol

from dbprompt.brief import Brief
from dbprompt.checks.base import QUERY_KINDS, Statement
from dbprompt.checks.base_design import Artefact, artefacts, item_of, not_checked
from dbprompt.checks.catalogue import family_of
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Report, Severity, Status, Verdict
from dbprompt.render.postgres import DEFAULT_VERSION, UnsafeSqlError, ddl_statements, single_statement
from dbprompt.render.postgres.audit import audit_statements
from dbprompt.render.postgres.security import security_statements
from dbprompt.render.queries import query_statements
from dbprompt.sections import SectionName

__all__ = ["Run", "on_engine", "target_engine", "target_major", "without_doubles"]

_FAMILY = {"postgresql", "timescaledb"}
_CHECKER = "postgresql"
_LOADED: Mapping[SectionName, tuple[SectionName, ...]] = {
    "schema": ("schema",),
    "indexes": ("schema", "indexes"),
    "views": ("schema", "views"),
    "queries": ("schema", "indexes", "views", "queries"),
    "security": ("schema", "security"),
}
"""The sections whose statements meet the engine, and with what they are loaded."""


class Run(Protocol):
    """What tries statements in one sandbox, in order, and then has queries prepared."""

    def __call__(
        self, statements: Sequence[Statement], queries: Sequence[Statement] = (), *, version: int | None = None
    ) -> Report:
        """Findings and verdicts, each at the `where` of its statement."""


def on_engine(subject: Subject, *, run: Run, as_of: date) -> Report:
    """Runs the section under check.

    Args:
        subject: the section in its design.
        run: see `Run`.
        as_of: the day that partitions are counted from.
    """
    if subject.section not in _LOADED or not artefacts(subject):
        return Report()
    if (target := target_engine(subject)) not in _FAMILY:
        why = f"the design is for {target}, and the engine that is built in is PostgreSQL"
        return not_checked(subject, checker=target, why=why)
    if subject.misshapen:
        why = "not run while items have the wrong shape: what refers to them would fail for their sake"
        return not_checked(subject, checker=_CHECKER, why=why)
    major = target_major(subject.brief)
    try:
        tables = _ddl(subject, as_of=as_of, major=major)
    except UnsafeSqlError as unsafe:
        why = f"not run while an SQL text could leave its place: {unsafe.reason}"
        return not_checked(subject, checker=_CHECKER, why=why)
    queries = _queries(subject) if subject.section == "queries" else ()
    return _of_section(subject, run(tables, queries, version=major))


def target_engine(subject: Subject) -> str:
    """The engine that the design is for: the decision's, else the brief's, else PostgreSQL."""
    if subject.design.selection is not None:
        return subject.design.selection.decision.engine.value
    if subject.brief is not None and not subject.brief.target.free_choice:
        return subject.brief.target.primary
    return "postgresql"


def target_major(brief: Brief | None) -> int:
    """The major version of PostgreSQL that the brief asks for, else the newest that is written for."""
    return (brief.target.postgres_major if brief else None) or DEFAULT_VERSION


def _ddl(subject: Subject, *, as_of: date, major: int) -> tuple[Statement, ...]:
    """The DDL of the section and of those before it; `where` points into the whole design."""
    design = subject.design.only(_LOADED[subject.section])
    written = (
        *ddl_statements(design, as_of=as_of, version=major),
        *security_statements(design, as_of=as_of, version=major, brief=subject.brief),
        *audit_statements(design),
    )
    return tuple(Statement(one.pointer, one.artefact, one.sql) for one in written)


def _queries(subject: Subject) -> tuple[Statement, ...]:
    """The statements to prepare. A query with a text that is not one statement has a finding, and is left out whole."""
    found: list[Statement] = []
    unsafe: set[str] = set()
    for one in query_statements(subject.design):
        try:
            sql = single_statement(one.sql)
        except UnsafeSqlError:
            unsafe.add(item_of(one.where))
        else:
            found.append(Statement(f"/queries{one.where}", one.artefact, sql, one.parameter_types, QUERY_KINDS))
    return tuple(one for one in found if item_of(one.where.removeprefix("/queries")) not in unsafe)


def _of_section(subject: Subject, report: Report) -> Report:
    """What the report says of this section, with one verdict an artefact and checker."""
    prefix = f"/{subject.section}"
    own = f"{prefix}/"
    findings = tuple(
        replace(finding, where=finding.where.removeprefix(prefix))
        for finding in report.findings
        if finding.where.startswith(own)
    )
    verdicts = [
        replace(one, where=item_of(one.where.removeprefix(prefix)))
        for one in report.verdicts
        if one.where.startswith(own)
    ]
    merged = [verdict for artefact in artefacts(subject) for verdict in _merged(artefact, verdicts)]
    met = {verdict.where for verdict in merged}
    if subject.section == "security":
        return Report(findings, tuple(merged))  # what is no role, policy or trigger has nothing to run
    left_out = not_checked(subject, checker=_CHECKER, why="not run: its text is not one statement")
    return Report(findings, (*merged, *(verdict for verdict in left_out.verdicts if verdict.where not in met)))


_WORST_FIRST = (Status.FAILED, Status.INCONCLUSIVE, Status.NOT_CHECKED, Status.PASSED)


def _merged(artefact: Artefact, verdicts: Iterable[Verdict]) -> Iterable[Verdict]:
    """The verdicts of the statements that make one artefact, joined by checker: a table is as good as its worst."""
    by_checker: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.where == artefact.where:
            by_checker.setdefault(verdict.checker, []).append(verdict)
    for group in by_checker.values():
        worst = min(group, key=lambda verdict: _WORST_FIRST.index(verdict.status))
        uncovered = dict.fromkeys(one.uncovered for one in group if one.status is worst.status and one.uncovered)
        yield replace(worst, artefact=artefact.label, where=artefact.where, uncovered="; ".join(uncovered))


def without_doubles(lower: Report, engine: Report) -> Report:
    """The engine's report without errors at items in which a rule found the cause, and without what was said before."""
    told = {item_of(finding.where) for finding in lower.errors}
    said = {(item_of(finding.where), family_of(finding.code)) for finding in (*lower.findings, *lower.ignored)}
    kept = tuple(
        finding
        for finding in engine.findings
        if (finding.severity is not Severity.ERROR or item_of(finding.where) not in told)
        and (item_of(finding.where), family_of(finding.code)) not in said
    )
    return replace(engine, findings=kept)
