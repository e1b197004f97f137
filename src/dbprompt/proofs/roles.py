"""Each role tries what it was granted, and what it was not, on every table.

Poor: a grant that looks right, and a table that PUBLIC may read, a default privilege that nobody thought of, a column
that came along with its table.
Better: the role becomes itself and tries: reading and writing a granted column works, one that is not granted is
refused, it can make no table, and a table that the owner makes afterwards is open to it as far as it was granted all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from dbprompt.checks.base_design import error, not_checked
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Exhibit, Finding, Report, Severity, Status, Tier, Verdict
from dbprompt.proofs.base import NoStageError, stage
from dbprompt.proofs.base_acting import NO_RIGHT, Acting, admit
from dbprompt.render.postgres import identifier
from dbprompt.render.postgres.security import OWNER, granted_tables
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.schema import Schema
from dbprompt.sections.security import Role

# ruff: noqa: S608  (names are quoted)

__all__ = ["roles_hold"]

_CHECKER = "postgresql, acting as each role"
_UNCOVERED = "of each table one column with and one without the right was tried"
_LATER = "dbprompt_made_later"
_REFUSED = {NO_RIGHT, "42P01", "3F000"}
"""Codes of a refusal; without a right on its schema a table that is there is not found."""
_RIGHTS = ("select", "insert", "update", "delete")


@dataclass(frozen=True, slots=True)
class _Table:
    """A table to try: its columns, and whether the design knows it (else it was made later)."""

    name: str
    columns: tuple[str, ...]
    known: bool = True


def roles_hold(subject: Subject, as_of: date) -> Report:
    """What every role can do, against what it was granted."""
    security, schema = subject.design.security, subject.design.schema
    if subject.section != "security" or security is None or schema is None:
        return Report()
    try:
        with stage(subject, as_of=as_of, roles=True) as ready:
            acting = admit(ready, subject, security, as_of)
            made, _ = acting.attempt(OWNER, "SELECT 1")
            if not made.ok:
                raise NoStageError(made.message)
            tables = _tables(acting, schema)
            tried = [
                (at, role, list(_tried(acting, role, subject.design, tables))) for at, role in enumerate(security.roles)
            ]
            return _report(tried, f"{ready.label}, acting as the role", ready.uncovered)
    except NoStageError as error:
        return _of_roles(not_checked(subject, checker=_CHECKER, why=str(error)))


def _of_roles(report: Report) -> Report:
    return Report(verdicts=tuple(one for one in report.verdicts if one.where.startswith("/roles/")))


def _tables(acting: Acting, schema: Schema) -> tuple[_Table, ...]:
    """The design's tables, and one that its owner makes only now."""
    sandbox = acting.stage.sandbox
    for sql in (f"SET ROLE {OWNER}", f"CREATE TABLE {_LATER} (id bigint)", "RESET ROLE"):
        if not (outcome := sandbox.run(sql)).ok:
            raise NoStageError(f"the owner could not make a table: {outcome.message}")
    known = (_Table(table.name, tuple(column.name for column in table.columns)) for table in schema.tables)
    return (*known, _Table(_LATER, ("id",), known=False))


@dataclass(frozen=True, slots=True)
class _Try:
    """One attempt: what was tried, whether it was granted, and what came of it (None: neither done nor refused)."""

    what: str
    table: str
    right: str
    granted: bool
    done: bool | None
    said: str = ""


def _tried(acting: Acting, role: Role, design: DatabaseDesign, tables: Sequence[_Table]) -> Iterator[_Try]:
    for table in tables:
        for right in _RIGHTS:
            columns = _granted(role, right, table, design)
            yield from _try_right(acting, role, right, table, columns)
    outcome, _ = acting.attempt(role.name, "CREATE TABLE dbprompt_probe (id bigint)")
    done = True if outcome.ok else False if outcome.code in _REFUSED else None
    yield _Try("make a table", "schema public", "create", role.purpose == "migration", done, outcome.message)


def _granted(role: Role, right: str, table: _Table, design: DatabaseDesign) -> frozenset[str]:
    """The columns that a right was granted on; all of them by a grant on the table, or by the role's purpose."""
    if role.purpose == "migration" or (role.purpose == "backup" and right == "select"):
        return frozenset(table.columns)
    found: set[str] = set()
    for grant in role.grants:
        covers = table.name in granted_tables(grant, design) if table.known else not grant.tables
        if right in grant.privileges and covers:
            found |= set(grant.columns or table.columns)
    return frozenset(found)


def _try_right(acting: Acting, role: Role, right: str, table: _Table, granted: frozenset[str]) -> Iterator[_Try]:
    """A column that is granted and one that is not; rows are deleted whole."""
    with_right = [column for column in table.columns if column in granted]
    without = [column for column in table.columns if column not in granted]
    for column, is_granted in ((with_right[:1], True), (without[:1], False)):
        if not column or (right == "delete" and granted and not is_granted):
            continue
        outcome, _ = acting.attempt(role.name, _sql(right, table.name, column[0]))
        done = True if outcome.ok else False if outcome.code in _REFUSED else None
        what = f"{right} {table.name}" + ("" if right == "delete" else f".{column[0]}")
        yield _Try(what, table.name, right, is_granted, done, outcome.message)


def _sql(right: str, table: str, column: str) -> str:
    """A statement that needs this right on this column and touches no row; rights are looked at all the same."""
    table, column = identifier(table), identifier(column)
    match right:
        case "select":
            return f"SELECT {column} FROM {table} LIMIT 0"
        case "insert":
            return f"EXPLAIN INSERT INTO {table} ({column}) VALUES (DEFAULT)"
        case "update":
            return f"UPDATE {table} SET {column} = DEFAULT WHERE false"
        case _:
            return f"DELETE FROM {table} WHERE false"


def _report(tried: list[tuple[int, Role, list[_Try]]], checker: str, uncovered: str) -> Report:
    findings: list[Finding] = []
    verdicts: list[Verdict] = []
    for at, role, tries in tried:
        where = f"/roles/{at}"
        told = [*_findings(role, where, tries)]
        findings += told
        open_ones = [one for one in tries if one.done is None]
        status = Status.FAILED if told else Status.INCONCLUSIVE if open_ones else Status.PASSED
        reason = f"{open_ones[0].what}: {open_ones[0].said}" if open_ones and not told else ""
        noted = "; ".join(filter(None, (reason or _UNCOVERED, uncovered)))
        verdicts.append(Verdict(f"role {role.name}", where, status, Tier.ENGINE, checker, noted))
    return Report(tuple(findings), tuple(verdicts), (_exhibit(tried),))


def _findings(role: Role, where: str, tries: list[_Try]) -> Iterator[Finding]:
    for one in tries:
        if one.done is True and not one.granted:
            message = f"role {role.name} can {_plain(one)}, which no grant of it says"
            yield Finding("access.more_than_granted", Severity.ERROR, where, message)
        elif one.done is False and one.granted:
            message = f"role {role.name} was granted to {_plain(one)}, and is refused: {one.said}"
            yield error("access.less_than_granted", where, message)


def _plain(one: _Try) -> str:
    return one.what.replace(_LATER, "a table that is made later")


def _exhibit(tried: list[tuple[int, Role, list[_Try]]]) -> Exhibit:
    """What each role did, one line a role and table: s, i, u, d for what worked, in brackets where only in part."""
    lines = []
    for _, role, tries in tried:
        for table in dict.fromkeys(one.table for one in tries if one.right != "create"):
            letters = []
            for right in _RIGHTS:
                outcomes = {one.done for one in tries if one.table == table and one.right == right}
                if True in outcomes:
                    letters.append(f"({right})" if False in outcomes else right)
            if letters:
                called = "tables made later" if table == _LATER else table
                lines.append(f"{role.name} {called}: {', '.join(letters)}")
    return Exhibit("/roles", "what each role could do, (...) for some columns", "\n".join(lines))
