"""The record of changes, seen at work: changed rows leave their trace, and nobody who made them can wipe it out.

Poor: a trigger on three of four tables; a record that holds the very token it should not; an application that may
DELETE what it did; a purge that takes a row a day too early.
Better: each recorded table gets rows, one of which a role changes: the record has who, for whom, which row, the old
value and the new one; a hidden column shows as a hash; TRUNCATE is seen too; every role tries to read, write and empty
the record; and the purge is called on rows one day younger and one day older than their days.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from dbprompt.checks.base_design import error, not_checked
from dbprompt.checks.subject import Subject
from dbprompt.engines.postgres.seeding import Mode, Seeds, seed
from dbprompt.engines.postgres.seeding.tables import Hints
from dbprompt.evidence import Exhibit, Finding, Report, Status, Tier, Verdict
from dbprompt.proofs.base import NoStageError, stage
from dbprompt.proofs.base_acting import Acting, admit
from dbprompt.render.postgres import identifier, literal
from dbprompt.render.postgres.audit import APP_USER, RECORD
from dbprompt.render.postgres.security import OWNER, granted_tables
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.schema import Table
from dbprompt.sections.security import Role, Security

# ruff: noqa: S608  (names and texts are quoted)

__all__ = ["audit_holds"]

_CHECKER = "postgresql, acting as each role"
_SOMEBODY = "dbprompt-probe"
_BATCH = 2
"""Rows of the record that one transaction of the purge takes here."""


def audit_holds(subject: Subject, as_of: date) -> Report:
    """What the record holds after changes, and who can change the record."""
    security = subject.design.security
    if subject.section != "security" or security is None or not security.recorded:
        return Report()
    # Whether rows are recorded does not hang on who sees them: the row policies have a proof of their own.
    without = security.model_copy(update={"policies": ()})
    try:
        with stage(subject, as_of=as_of, roles=True) as ready:
            acting = admit(ready, subject, without, as_of)
            seeds = seed(ready.sandbox, Hints({}), Mode.TAME)
            events = [
                _Event(acting, subject.design, without, at, seeds)
                for at, event in enumerate(security.audit)
                if event.means == "trigger"
            ]
            reports = [event.report() for event in events]
            return sum(reports, _guarded(acting, without, events[0].where))
    except NoStageError as stopped:
        report = not_checked(subject, checker=_CHECKER, why=str(stopped))
        places = {f"/audit/{at}" for at, event in enumerate(security.audit) if event.means == "trigger"}
        return Report(verdicts=tuple(one for one in report.verdicts if one.where in places))


@dataclass(slots=True)
class _Event:
    """One event that triggers record, tried on each of its tables."""

    acting: Acting
    design: DatabaseDesign
    security: Security
    at: int
    seeds: Seeds

    @property
    def where(self) -> str:
        return f"/audit/{self.at}"

    def report(self) -> Report:
        """Its tables one by one."""
        findings: list[Finding] = []
        missed: list[str] = []
        shown: list[str] = []
        for name in self.security.audit[self.at].tables:
            table = self.design.schema.table(name) if self.design.schema else None
            if table is None:
                continue
            if not self.seeds.rows.get(name):
                missed.append(f"{name} took no rows: {self.seeds.refused.get(name, 'unknown')}")
                continue
            findings += [*self._inserted(table), *self._truncated(table), *self._purged(name)]
            changed = self._changed(table, shown)
            if changed is None:
                missed.append(f"no value of {name} could be changed for a try")
            findings += changed or ()
        stage = self.acting.stage
        status = Status.FAILED if findings else Status.INCONCLUSIVE if missed else Status.PASSED
        noted = "; ".join(filter(None, (*missed, stage.uncovered)))
        verdict = Verdict("audit of data_changes", self.where, status, Tier.ENGINE, f"{stage.label}, {_ACTING}", noted)
        exhibits = (Exhibit(self.where, "what a change left in the record", "\n".join(shown)),) if shown else ()
        return Report(tuple(findings), (verdict,), exhibits)

    def _ask(self, sql: str) -> list[tuple[str | None, ...]]:
        outcome, rows = self.acting.stage.fetch(sql)
        if not outcome.ok:
            raise NoStageError(f"the record could not be read: {outcome.message}")
        return rows

    def _inserted(self, table: Table) -> Iterator[Finding]:
        name, hidden = table.name, self.security.masked(table.name)
        ((count,),) = self._ask(
            f"SELECT count(*) FROM {RECORD} WHERE table_name = {literal(name)} AND action = 'insert'"
        )
        if int(count or 0) != self.seeds.rows[name]:
            message = f"{self.seeds.rows[name]} rows were written into {name}, and the record has {count} of them"
            yield error("obligations.not_recorded", self.where, message)
        for column in hidden:
            open_ones = f"new_values ->> {literal(column)} NOT LIKE 'sha256:%'"
            ((count,),) = self._ask(f"SELECT count(*) FROM {RECORD} WHERE table_name = {literal(name)} AND {open_ones}")
            if int(count or 0):
                message = f"the record shows {name}.{column}, which is no matter of access control, in {count} rows"
                yield error("obligations.record_shows", self.where, message)

    def _changed(self, table: Table, shown: list[str]) -> list[Finding] | None:
        """A role changes one row; None if nobody could."""
        for actor, columns in self._actors(table):
            for column in columns:
                change = self._change(table, column)
                if change is None:
                    continue
                old, new, sql = change
                look = (
                    f"SELECT old_values ->> {literal(column)}, new_values ->> {literal(column)}, changed_by, app_user, "
                    f"row_key::text FROM {RECORD} WHERE table_name = {literal(table.name)} AND action = 'update'"
                )
                outcome, rows = self.acting.attempt(actor, sql, {APP_USER: _SOMEBODY}, then=look)
                if not outcome.ok:
                    continue
                return list(self._seen(table, column, (old, new), actor, rows, shown))
        return None

    def _seen(
        self,
        table: Table,
        column: str,
        values: tuple[str | None, str | None],
        actor: str,
        rows: list[tuple[str | None, ...]],
        shown: list[str],
    ) -> Iterator[Finding]:
        called = f"{table.name}.{column}"
        if len(rows) != 1:
            message = f"{actor} changed {called} of one row, and the record has {len(rows)} entries of it"
            yield error("obligations.not_recorded", self.where, message)
            return
        old, new, changed_by, app_user, key = rows[0]
        shown.append(f"{table.name} {key}: {column} from {old} to {new} by {changed_by} for {app_user}")
        if column not in self.security.masked(table.name) and (old, new) != values:
            message = f"{called} went from {values[0]} to {values[1]}, and the record says from {old} to {new}"
            yield error("obligations.not_recorded", self.where, message)
        if changed_by != actor or app_user != _SOMEBODY or (table.primary_key and not key):
            message = f"{actor} changed {called} for {_SOMEBODY}, and the record says {changed_by} for {app_user}"
            yield error("obligations.not_recorded", self.where, f"{message}, row {key}")

    def _actors(self, table: Table) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Who may update a table and read it, and which columns; the owner last."""
        plain = tuple(
            c.name for c in table.columns if not c.identity and c.generated is None and c.name not in table.primary_key
        )
        for role in self.security.roles:
            columns = [name for name in plain if self._may(role, "update", table, name)]
            if columns and all(self._may(role, "select", table, c.name) for c in table.columns):
                yield role.name, tuple(columns)
        yield OWNER, plain

    def _may(self, role: Role, right: str, table: Table, column: str) -> bool:
        return any(
            right in grant.privileges
            and table.name in granted_tables(grant, self.design)
            and column in (grant.columns or (column,))
            for grant in role.grants
        )

    def _change(self, table: Table, column: str) -> tuple[str | None, str | None, str] | None:
        """Another value for one row: old, new, and the statement; from another row, or another label of an enum."""
        name, sql = identifier(column), identifier(table.name)
        values = f"SELECT DISTINCT {name}::text, format('%L', {name}) FROM {sql} WHERE {name} IS NOT NULL ORDER BY 1"
        rows = self._ask(f"{values} LIMIT 2")
        labels = [(label, literal(label)) for label in self._labels(table, column) if rows and label != rows[0][0]]
        rows = [*rows, *labels]
        if len(rows) < 2:
            return None
        (old, old_literal), (new, new_literal) = rows[:2]
        one = f"(SELECT min(ctid) FROM {sql} WHERE {name} = {old_literal})"
        return old, new, f"UPDATE {sql} SET {name} = {new_literal} WHERE ctid = {one} AND {name} = {old_literal}"

    def _labels(self, table: Table, column: str) -> tuple[str, ...]:
        found = table.column(column)
        enums = self.design.schema.enums if self.design.schema else ()
        return next((enum.values for enum in enums if found and enum.name == found.enum), ())

    def _truncated(self, table: Table) -> Iterator[Finding]:
        look = f"SELECT count(*) FROM {RECORD} WHERE table_name = {literal(table.name)} AND action = 'truncate'"
        outcome, rows = self.acting.attempt(OWNER, f"TRUNCATE {identifier(table.name)} CASCADE", then=look)
        if not outcome.ok or rows != [("1",)]:
            message = f"{table.name} was emptied by TRUNCATE, and the record does not say so {outcome.message}"
            yield error("obligations.not_recorded", self.where, message.strip())

    def _purged(self, name: str) -> Iterator[Finding]:
        """One row a day younger and some a day older than their days, more than one batch takes."""
        days = self.security.recorded[name]
        rows = ", ".join(
            f"(now() - interval '{age} days', {literal(name)}, 'delete', '{_SOMEBODY}')"
            for age in (days - 1, *[days + 1] * (2 * _BATCH + 1))
        )
        wrote = f"INSERT INTO {RECORD} (changed_at, table_name, action, changed_by) VALUES {rows}"
        sandbox = self.acting.stage.sandbox
        outcome = sandbox.run(wrote)  # no transaction: the purge commits each of its batches
        try:
            sandbox.run(f"SET ROLE {OWNER}")
            gone = sandbox.run(f"CALL audit.purge_all({_BATCH})")
            sandbox.run("RESET ROLE")
            _, left = sandbox.fetch(
                f"SELECT extract(day FROM now() - changed_at)::int FROM {RECORD} WHERE changed_by = '{_SOMEBODY}'"
            )
        finally:
            sandbox.run(f"DELETE FROM {RECORD} WHERE changed_by = '{_SOMEBODY}'")
        if not (outcome.ok and gone.ok and left == [(str(days - 1),)]):
            message = f"of records of {name} that are {days - 1} and {days + 1} days old, the purge left {left}"
            yield error(
                "obligations.record_not_kept", self.where, f"{message} {outcome.message or gone.message}".strip()
            )


_ACTING = "acting as each role"


def _guarded(acting: Acting, security: Security, where: str) -> Report:
    """Every role tries to read, add to, change and empty the record."""
    readers = {role for event in security.audit for role in event.read_by}
    findings: list[Finding] = []
    tries = {
        "read": f"SELECT id FROM {RECORD} LIMIT 0",
        "add to": f"EXPLAIN INSERT INTO {RECORD} (action) VALUES ('update')",
        "change": f"UPDATE {RECORD} SET action = 'update' WHERE false",
        "delete from": f"DELETE FROM {RECORD} WHERE false",
        "empty": f"TRUNCATE {RECORD}",
    }
    for role in security.roles:
        may_read = role.name in readers or role.purpose == "backup"
        for what, sql in tries.items():
            outcome, _ = acting.attempt(role.name, sql)
            if outcome.ok and not (what == "read" and may_read):
                message = f"role {role.name} can {what} the record of changes"
                findings.append(error("obligations.record_open", where, message))
            elif not outcome.ok and what == "read" and may_read:
                message = f"role {role.name} shall read the record of changes and cannot: {outcome.message}"
                findings.append(error("obligations.record_open", where, message))
    return Report(tuple(findings))
