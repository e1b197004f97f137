"""Migrations gone through on an engine: the first up and down on an empty database, each planned change on its tables.

Poor: a way back that nobody ever went; `SET NOT NULL` on 58 million rows, which looked harmless on twelve.
Better: every statement runs and its locks, rewrites and scans are seen; what they would take at today's rows is
reckoned; the catalogue after up and down is compared with the one before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date

from dbprompt.checks.base_migration import MODEL
from dbprompt.checks.changes import rows_now
from dbprompt.checks.engine import target_engine, target_major
from dbprompt.checks.subject import Subject
from dbprompt.errors import EngineUnavailableError, MissingExtraError, SetupError
from dbprompt.evidence import Exhibit, Finding, Report, Severity, Status, Tier, Verdict
from dbprompt.messages import Json
from dbprompt.migration import MigrationEvidence, verify_migration
from dbprompt.migration.evidence import step_row
from dbprompt.render.migrations.initial import initial_step
from dbprompt.render.migrations.plain_sql import script
from dbprompt.render.migrations.plan import Planned, planned_changes
from dbprompt.render.migrations.steps import Step
from dbprompt.render.postgres import UnsafeSqlError, ddl_statements

__all__ = ["initial_migration", "planned_changes_run"]

_FAMILY = {"postgresql", "timescaledb"}
_CHECKER = "postgresql"
_FILES = "/tool"
# Versions are recorded by the tool and the steps stand in files of their own, so these say nothing here.
_BESIDE = ("sql.portability", "migration.not_rerunnable", "migration.fails_in_one_transaction")
_GOING = {"drop_column", "rename_column", "change_type"}
_MADE_UP = "rows made up, a dozen a table"


def initial_migration(subject: Subject, as_of: date) -> Report:
    """The first migration makes everything on an empty database, and its way back leaves nothing behind."""
    if subject.design.migrations is None or target_engine(subject) not in _FAMILY:
        return Report()
    major = target_major(subject.brief)
    try:
        step = initial_step(subject.design, as_of=as_of, version=major)
    except UnsafeSqlError as error:
        return _not_run("initial migration", _FILES, f"an SQL text could leave its place: {error.reason}")
    evidence = _proven("", [step], version=major)
    if isinstance(evidence, str):
        return _not_run("initial migration", _FILES, evidence)
    # What is wrong here is not the model's to mend: the steps are written by us from sections that passed.
    findings = tuple(
        replace(one, where=_FILES, severity=_at_most_warning(one.severity), message=f"initial migration: {one.message}")
        for one in evidence.findings
        if one.severity is not Severity.ADVICE
    )
    up = _status(evidence)
    verdicts = (
        Verdict("initial migration", _FILES, up, Tier.ENGINE, _label(evidence), _not_run_by_engine(evidence)),
        _way_back(evidence, "initial migration", _FILES),
    )
    return Report(findings, verdicts)


def planned_changes_run(subject: Subject, as_of: date) -> Report:
    """Each planned change, up and down, on top of the design and the changes before it, at today's rows."""
    if subject.design.migrations is None or target_engine(subject) not in _FAMILY:
        return Report()
    major = target_major(subject.brief)
    planned = planned_changes(subject.design, as_of=as_of, version=major)
    return sum((_change(subject, one, as_of=as_of, major=major) for one in planned if one.steps), Report())


def _change(subject: Subject, one: Planned, *, as_of: date, major: int) -> Report:
    called = f"planned change {one.change.name}"
    try:
        statements = ddl_statements(one.before.only(("schema", "indexes")), as_of=as_of, version=major)
    except UnsafeSqlError as error:
        return _not_run(called, one.where, f"an SQL text could leave its place: {error.reason}")
    tables = {table.name for table in one.before.schema.tables} if one.before.schema else set()
    rows = {name: count for name, count in rows_now(subject).items() if name in tables}
    gone = [f"{one.change.table}.{one.change.column}"] if one.change.kind in {"drop_column", "change_type"} else []
    before, (kept, last) = ";\n".join(statement.sql for statement in statements), _split(one.steps)
    evidence = _proven(
        before, one.steps, last or one.steps, version=major, rows=rows, losing=gone, severity=_weights(one)
    )
    if isinstance(evidence, str):
        return _not_run(called, one.where, evidence)
    ways = [_way_back(evidence, called, one.where, last)]
    if last and kept:
        back = _proven(before, kept, version=major)
        until = f"{called} until {last[0].name}"
        ways.append(
            _way_back(back, until, one.where) if not isinstance(back, str) else _unknown(until, one.where, back)
        )
    places = tuple(_places(one.steps))
    findings = tuple(
        _placed(finding, places, one)
        for finding in evidence.findings
        if not (last and finding.code == "migration.down_incomplete")  # the verdict on the way back says so
    )
    unsized = sorted(tables - set(rows))
    gaps = [
        MODEL,
        _MADE_UP,
        f"rows of {', '.join(unsized)} are not known" if unsized else "",
        _not_run_by_engine(evidence),
    ]
    verdicts = (
        Verdict(called, one.where, _status(evidence), Tier.ENGINE, _label(evidence), _joined(gaps)),
        *ways,
    )
    return Report(findings, verdicts, (_exhibit(one, evidence, rows),))


def _split(steps: Sequence[Step]) -> tuple[Sequence[Step], Sequence[Step]]:
    """The steps whose way back is exact, and those from the first on whose is not: that one ends the exact ones'."""
    at = next((at for at, step in enumerate(steps) if step.way_back != "exact"), len(steps))
    return steps[:at], steps[at:]


def _weights(one: Planned) -> dict[str, str]:
    """What the recipe does on purpose, in a step that says after which release it may run, is no more than advice."""
    weights = {"migration.down_incomplete": "advice"} if _split(one.steps)[1] else {}
    return {**weights, "migration.drop_or_rename_breaks_readers": "advice"} if one.change.kind in _GOING else weights


def _proven(
    before: str,
    steps: Sequence[Step],
    back: Sequence[Step] | None = None,
    *,
    version: int,
    rows: dict[str, int] | None = None,
    losing: Iterable[str] = (),
    severity: dict[str, str] | None = None,
) -> MigrationEvidence | str:
    """The evidence of steps as one migration, with the way back of `back` if not of all; or why there is none."""
    up = "\n".join(script(step.up, transactional=step.transactional) for step in steps)
    down = "\n".join(script(step.down, transactional=step.transactional) for step in reversed(back or steps))
    try:
        return verify_migration(
            before, up, down, rows=rows, version=version, losing=losing, ignore=_BESIDE, severity=severity
        )
    except (EngineUnavailableError, MissingExtraError) as error:
        return str(error)
    except SetupError as error:
        return f"the design before it does not load: {error}"


def _places(steps: Sequence[Step]) -> Iterator[tuple[str, str]]:
    """For each statement of the joined script: the step that it is of, and its text."""
    for step in steps:
        around = ("BEGIN", "COMMIT") if step.transactional and step.up else ()
        yield from ((step.name, sql) for sql in (*around[:1], *step.up, *around[1:]))


def _placed(finding: Finding, places: Sequence[tuple[str, str]], one: Planned) -> Finding:
    """The finding at the change, with the step and statement that it is about."""
    root, _, number = finding.where.removeprefix("/").partition("/")
    about = "its way back" if root == "down" else "as a whole"
    if root == "up" and number.isdecimal() and int(number) < len(places):
        name, sql = places[int(number)]
        about = f"step {name}, {' '.join(sql.split())[:80]}"
    return replace(finding, where=one.where, message=f"{one.change.name}: {about}: {finding.message}")


def _status(evidence: MigrationEvidence) -> Status:
    if evidence.errors or any(step.outcome is not None and not step.ok for step in evidence.steps):
        undecided = not evidence.errors
        return Status.INCONCLUSIVE if undecided else Status.FAILED
    return Status.PASSED


def _way_back(evidence: MigrationEvidence, called: str, where: str, steps: Sequence[Step] = ()) -> Verdict:
    """Whether the catalogue after up and down is the one before; and what the steps say of their way back."""
    found = next((one for one in evidence.verdicts if one.artefact == "way back" and one.where == "/down"), None)
    differs = bool(evidence.undone) or any(one.code == "migration.down_incomplete" for one in evidence.findings)
    status = Status.INCONCLUSIVE if found is None else Status.FAILED if differs else Status.PASSED
    declared = [f"{step.name}: {_WAYS[step.way_back]}" for step in steps if step.way_back != "exact"]
    rest = found.uncovered if found else "the engine did not get so far"
    if declared and status is Status.FAILED:
        status, rest = Status.INCONCLUSIVE, ""
    return Verdict(f"way back of {called}", where, status, Tier.ENGINE, _label(evidence), _joined([*declared, rest]))


_WAYS = {"without_values": "its way back brings the structure and not the values", "none": "there is no way back"}


def _label(evidence: MigrationEvidence) -> str:
    return next((one.checker for one in evidence.verdicts if one.tier is Tier.ENGINE), _CHECKER)


def _not_run_by_engine(evidence: MigrationEvidence) -> str:
    """Statements that did not meet the engine, as words."""
    left = [step.title for step in evidence.steps if step.outcome is None]
    return f"not run: {', '.join(left)}" if left else ""


def _joined(parts: Iterable[str]) -> str:
    return "; ".join(part for part in parts if part)


def _at_most_warning(severity: Severity) -> Severity:
    return Severity.WARNING if severity is Severity.ERROR else severity


def _exhibit(one: Planned, evidence: MigrationEvidence, rows: dict[str, int]) -> Exhibit:
    """Locks, rewrites and scans, a line a statement; transaction brackets and settings are left out."""
    told = [(step, row) for step in evidence.steps if (row := step_row(step)) and step.locks]
    lines = ["statement | lock | who waits | rewrites | reads | safe form"]
    lines += [" | ".join((*row[:5], row[6])) for _, row in told]
    data: list[Json] = [
        {"statement": row[0], "lock": row[1], "waits": row[2], "rewrites": row[3], "reads": row[4], "safe": row[6]}
        for _, row in told
    ]
    table = one.change.table or ""
    size = f" at {rows[table]:,} rows" if table in rows else ""
    return Exhibit(one.where, f"locks of {one.change.name}{size}", "\n".join(lines), data)


def _unknown(called: str, where: str, why: str) -> Verdict:
    return Verdict(called, where, Status.NOT_CHECKED, Tier.NOTHING, _CHECKER, why)


def _not_run(called: str, where: str, why: str) -> Report:
    return Report(verdicts=(_unknown(called, where, why),))
