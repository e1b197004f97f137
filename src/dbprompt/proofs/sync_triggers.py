"""A stored copy follows its source: rows of the source change, and the copy is what the design's UPDATE would make it.

What the copy should be nobody says in SQL but the trigger itself. So its function is hung on a second trigger, and
after each change every source row is touched: if that changes the copy, the design's own trigger had missed
something, an event or the parent that a row came from. And where no change of the source changes the copy at all, it
follows nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from dbprompt.checks.base_design import error
from dbprompt.checks.subject import Subject
from dbprompt.engines.base import Answer
from dbprompt.engines.postgres.seeding import Seeds
from dbprompt.evidence import Report, Status
from dbprompt.proofs.base import NoStageError, Stage
from dbprompt.proofs.base_rows import Rows, refusal, told, tried
from dbprompt.render.postgres import identifier
from dbprompt.render.postgres.sync_triggers import create_trigger, sync_statements
from dbprompt.sections.schema import Column, ColumnType, Schema, Table
from dbprompt.sections.upkeep import SyncTrigger, Upkeep

__all__ = ["copies_follow"]

_TOUCH = "dbprompt_touch"


class _WrongError(Exception):
    """The copy is not what it should be."""


@dataclass(frozen=True, slots=True)
class _Change:
    """One change of the source, in words and as SQL."""

    words: str
    sql: str


def copies_follow(subject: Subject, as_of: date) -> Report:
    """Every sync trigger of the section `upkeep`."""

    def trial(ready: Stage, seeds: Seeds) -> Report:
        syncs, schema = subject.design.upkeep.sync_triggers if subject.design.upkeep else (), subject.design.schema
        report = Report()
        for at, sync in enumerate(syncs if schema else ()):
            where = f"/sync_triggers/{at}"
            made = [one.sql for one in sync_statements(Upkeep(sync_triggers=syncs)) if one.where == where]
            report += _tried(ready, seeds, sync, schema, where, made) if schema else Report()
        return report

    if not (subject.design.upkeep and subject.design.upkeep.sync_triggers):
        return Report()
    report = tried(subject, as_of, ("schema",), trial)  # the rows come first: a trigger that fails would keep them out
    mine = tuple(one for one in report.verdicts if one.where.startswith("/sync_triggers"))
    return Report(report.findings, mine)


def _tried(ready: Stage, seeds: Seeds, sync: SyncTrigger, schema: Schema, where: str, made: Sequence[str]) -> Report:
    artefact = f"sync trigger {sync.name}"
    for name in (sync.table, sync.copy_table):
        if refused := seeds.refused.get(name):
            why = f"no row could be made up for {name}: {refused}"
            return Report(verdicts=(told(ready, artefact, where, Status.INCONCLUSIVE, why),))
    source, target = schema.table(sync.table), schema.table(sync.copy_table)
    if source is None or target is None:
        return Report()
    alone = _with_sibling(ready, source)
    for sql in made:
        outcome = ready.run(sql)
        if not outcome.ok:
            message = f"trigger {sync.name} cannot be made: {outcome.message}; mend its UPDATE"
            wrong = (error("upkeep.copy_does_not_follow", f"{where}/sql", message),)
            found = wrong if outcome.answer is Answer.REFUSED else ()
            return Report(found, (told(ready, artefact, where, refusal(outcome), outcome.message),))
    try:
        seen = _follows(ready, sync, source, target)
    except _WrongError as wrong:
        finding = error("upkeep.copy_does_not_follow", f"{where}/sql", f"trigger {sync.name}: {wrong}")
        return Report((finding,), (told(ready, artefact, where, Status.FAILED),))
    except NoStageError as why:
        return Report(verdicts=(told(ready, artefact, where, Status.INCONCLUSIVE, str(why)),))
    finally:
        ready.sandbox.run("ROLLBACK")
    uncovered = f"tried on a dozen rows: {', '.join(seen)}; changes in sessions side by side{alone}"
    return Report(verdicts=(told(ready, artefact, where, Status.PASSED, uncovered),))


def _with_sibling(ready: Stage, source: Table) -> str:
    """Gives the first row a sibling with the same parents, so that touching that shows what its parents should have."""
    outcome = ready.sandbox.run(_insert(source, _first(source)))
    needless = outcome.ok or not source.foreign_keys
    return "" if needless else f"; parents that lose their last row: {outcome.message}"


def _follows(ready: Stage, sync: SyncTrigger, source: Table, target: Table) -> list[str]:
    """The changes that the copy followed.

    Raises:
        _WrongError: it did not follow one of them, or follows none.
        NoStageError: nothing can be said.
    """
    copy = f"{sync.copy_table}.{sync.copy_column}"
    touch, read = _touch(sync, source), _read(target, sync.copy_column)
    _must(ready, *touch)  # rows that were made up hold anything: now they hold what the trigger makes of them
    settled = _rows(ready, read)
    _must(ready, *touch)
    if _rows(ready, read) != settled:
        raise NoStageError(
            f"{copy} changes each time a row is touched, so the trigger adds up and has nothing to compare"
        )
    seen, moved = [], False
    for change in _changes(source):
        _must(ready, "BEGIN")
        done = ready.sandbox.run(change.sql)
        if done.ok:
            after = _rows(ready, read)
            _must(ready, *touch)
            wanted = _rows(ready, read)
            if after != wanted:
                raise _WrongError(
                    f"after {change.words} of {source.name}, {copy} is not what its UPDATE gives for the rows that are "
                    f"there (events are {', '.join(sync.events)}); list every event that changes it, and name the rows "
                    "by both NEW and OLD where a row can move from one parent to another"
                )
            moved = moved or after != settled
            seen.append(change.words)
        _must(ready, "ROLLBACK")
    if not seen:
        raise NoStageError(f"no change of {source.name} was possible on made-up rows")
    if not moved:
        done_so_far = ", ".join(seen)
        raise _WrongError(f"{done_so_far} of {source.name} changed nothing in {copy}; it has to be set from there")
    return seen


_OTHER = {
    **dict.fromkeys((ColumnType.SMALLINT, ColumnType.INTEGER, ColumnType.BIGINT, ColumnType.DECIMAL), "{0} + 1"),
    **dict.fromkeys((ColumnType.REAL, ColumnType.DOUBLE), "{0} + 1"),
    **dict.fromkeys((ColumnType.TEXT, ColumnType.VARCHAR, ColumnType.CITEXT), "{0} || 'x'"),
    **dict.fromkeys((ColumnType.DATE,), "{0} + 1"),
    **dict.fromkeys((ColumnType.TIMESTAMP, ColumnType.TIMESTAMPTZ), "{0} + interval '1 day'"),
    ColumnType.BOOLEAN: "NOT {0}",
}


def _changes(source: Table) -> Iterator[_Change]:
    """One row deleted, one of each column changed, one moved to another parent, one added."""
    name, first = identifier(source.name), _first(source)
    keys = {column for key in source.foreign_keys for column in key.columns}
    for column in source.columns:
        if column.identity or column.generated is not None:
            continue
        named = identifier(column.name)
        if column.name in keys:
            other = f"(SELECT b.{named} FROM {name} b WHERE b.{named} <> {name}.{named} LIMIT 1)"  # noqa: S608
            words = f"moving a row by {column.name}"
        elif column.type is ColumnType.ENUM:
            kind = identifier(column.enum or "")
            other = f"(SELECT one FROM unnest(enum_range(NULL::{kind})) one WHERE one <> {named} LIMIT 1)"  # noqa: S608
            words = f"an update of {column.name}"
        elif column.type in _OTHER and not column.array:
            other, words = _OTHER[column.type].format(named), f"an update of {column.name}"
        else:
            continue
        yield _Change(words, f"UPDATE {name} SET {named} = {other} WHERE ctid = {first}")  # noqa: S608
    yield _Change("a delete", f"DELETE FROM {name} WHERE ctid = {first}")  # noqa: S608
    yield _Change("an insert", _insert(source, first, 6000))


def _first(source: Table) -> str:
    return f"(SELECT ctid FROM {identifier(source.name)} ORDER BY ctid LIMIT 1)"  # noqa: S608


def _insert(source: Table, first: str, step: int = 5000) -> str:
    """One more row like the first, with another key."""
    name, keys = identifier(source.name), {column for key in source.foreign_keys for column in key.columns}
    unique = {*source.primary_key, *(column for one in source.uniques for column in one.columns)} - keys
    taken = [column for column in source.columns if not (column.identity or column.generated is not None)]
    values = ", ".join(_new(column, step) if column.name in unique else identifier(column.name) for column in taken)
    names = ", ".join(identifier(column.name) for column in taken)
    return f"INSERT INTO {name} ({names}) SELECT {values} FROM {name} WHERE ctid = {first}"  # noqa: S608


def _new(column: Column, step: int) -> str:
    named = identifier(column.name)
    if column.type in {ColumnType.SMALLINT, ColumnType.INTEGER, ColumnType.BIGINT, ColumnType.DECIMAL}:
        return f"{named} + {step}"
    if column.type is ColumnType.UUID:
        return "gen_random_uuid()"
    return _OTHER[column.type].format(named) if column.type in _OTHER else named


def _touch(sync: SyncTrigger, source: Table) -> tuple[str, ...]:
    """Runs the trigger's function for every row that is there. Its trigger stands no longer than that."""
    column = next(c for c in source.columns if not c.identity and c.generated is None)
    name, of = identifier(column.name), identifier(source.name)
    make = create_trigger(sync, _TOUCH, ("update",))
    return make, f"UPDATE {of} SET {name} = {name}", f"DROP TRIGGER {_TOUCH} ON {of}"  # noqa: S608


def _read(target: Table, column: str) -> str:
    key = ", ".join(identifier(name) for name in target.primary_key) or "ctid"
    return f"SELECT {key}, {identifier(column)} FROM {identifier(target.name)} ORDER BY {key}"  # noqa: S608


def _must(ready: Stage, *statements: str) -> None:
    for sql in statements:
        outcome = ready.sandbox.run(sql)
        if not outcome.ok:
            raise _WrongError(f"it fails on made-up rows: {outcome.message}")


def _rows(ready: Stage, sql: str) -> Rows:
    outcome, rows = ready.sandbox.fetch(sql)
    if not outcome.ok:
        raise NoStageError(outcome.message)
    return rows
