"""Partitions come and rows go: the functions that lifecycle promises, tried on rows.

A row for a period without a partition is refused before the function ran and taken after it; run again it makes
nothing. What has expired leaves, what is young stays. Days are counted from a day that is given, not from today.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from dbprompt.checks.base_design import error
from dbprompt.checks.subject import Subject
from dbprompt.engines.postgres.seeding import Seeds
from dbprompt.evidence import Report, Status
from dbprompt.proofs.base import NoStageError, Stage
from dbprompt.proofs.base_rows import number, refusal, told, tried
from dbprompt.render.postgres import identifier
from dbprompt.render.postgres.lifecycle import delete_routine, drop_routine, is_split_by_time, make_routine
from dbprompt.sections.lifecycle import TableLifecycle
from dbprompt.sections.schema import Column, Table

__all__ = ["rows_come_and_go"]

_BOUND = """
SELECT substring(pg_get_expr(c.relpartbound, c.oid) FROM '{end} \\(''([^'']+)''\\)') AS bound
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = '{table}'::regclass
ORDER BY (substring(pg_get_expr(c.relpartbound, c.oid) FROM '{end} \\(''([^'']+)''\\)'))::timestamptz {way} LIMIT 1
"""
_NO_PARTITION = "no partition of relation"
_REFERRED = "23503"
_STEPS = {"day": "1 day", "week": "1 week", "month": "1 month", "quarter": "3 months", "year": "1 year"}


class _WrongError(Exception):
    """Something that should have happened did not."""


def rows_come_and_go(subject: Subject, as_of: date) -> Report:
    """Every table whose partitions are made, or whose rows leave by themselves."""

    def trial(ready: Stage, seeds: Seeds) -> Report:
        ready.sandbox.run("SET timezone = 'UTC'")
        lives = subject.design.lifecycle.tables if subject.design.lifecycle else ()
        schema = subject.design.schema
        reports = (
            _tried(ready, seeds, life, table, f"/tables/{at}")
            for at, life in enumerate(lives)
            if schema is not None and (table := schema.table(life.table)) is not None
        )
        return sum(reports, Report())

    return tried(subject, as_of, ("schema", "lifecycle"), trial)


def _tried(ready: Stage, seeds: Seeds, life: TableLifecycle, table: Table, where: str) -> Report:
    if not life.partitions_ahead and life.leaves_by not in {"drop_partition", "delete_in_batches"}:
        return Report()
    artefact = f"lifecycle of {life.table}"
    if refused := seeds.refused.get(table.name):
        why = f"no row could be made up for {table.name}: {refused}"
        return Report(verdicts=(told(ready, artefact, where, Status.INCONCLUSIVE, why),))
    try:
        seen = list(_steps(ready, life, table))
    except _WrongError as wrong:
        finding = error("lifecycle.does_not_work", where, f"on made-up rows of {table.name}: {wrong}")
        return Report((finding,), (told(ready, artefact, where, Status.FAILED),))
    except NoStageError as error_:
        return Report(verdicts=(told(ready, artefact, where, Status.INCONCLUSIVE, str(error_)),))
    archive = "that detached partitions are copied and dropped" if life.archive_to else ""
    uncovered = "; ".join(part for part in (f"tried on a dozen rows: {', '.join(seen)}", archive) if part)
    return Report(verdicts=(told(ready, artefact, where, Status.PASSED, uncovered),))


def _steps(ready: Stage, life: TableLifecycle, table: Table) -> Iterator[str]:
    """What was seen, step by step."""
    if life.partitions_ahead and is_split_by_time(table):
        yield _make(ready, life, table)
    if life.leaves_by == "drop_partition" and life.keep_days and is_split_by_time(table):
        yield _drop(ready, life.keep_days, table)
    if life.leaves_by == "delete_in_batches" and life.keep_days and life.age_column:
        yield _delete(ready, life.keep_days, table, life.age_column)


def _make(ready: Stage, life: TableLifecycle, table: Table) -> str:
    end = _bound(ready, table, "TO", "DESC")
    call = f"SELECT {identifier(make_routine(table.name))}({life.partitions_ahead}, '{end}'::timestamptz::date)"
    before = ready.sandbox.run(_copy(table, f"'{end}'"))
    if before.ok or not before.message.startswith(_NO_PARTITION):
        raise NoStageError(f"a row beyond the last partition was not refused for want of one: {before.message}")
    made = number(ready, call)
    after = ready.sandbox.run(_copy(table, f"'{end}'"))
    if not after.ok and after.message.startswith(_NO_PARTITION):
        raise _WrongError(f"{make_routine(table.name)} ran, and a row for the next period is refused: {after.message}")
    if not after.ok:
        raise NoStageError(f"a row for the next period is refused, but not for want of a partition: {after.message}")
    again, grain = number(ready, call), table.partitioning.granularity if table.partitioning else None
    reached, wanted = (
        _bound(ready, table, "TO", "DESC"),
        f"{life.partitions_ahead + 1} * interval '{_STEPS[grain or 'month']}'",
    )
    if not number(ready, f"SELECT ('{reached}'::timestamptz = '{end}'::timestamptz + {wanted})::int"):
        raise _WrongError(f"{make_routine(table.name)} made partitions from {end} until {reached}")
    if made != life.partitions_ahead + 1 or again:
        raise _WrongError(f"{make_routine(table.name)} made {made} partitions, and {again} when it ran again")
    return f"a row for the next period was refused before and taken after {make_routine(table.name)}"


def _drop(ready: Stage, keep_days: int, table: Table) -> str:
    first, expires = _bound(ready, table, "FROM", "ASC"), _bound(ready, table, "TO", "ASC")
    name, age = identifier(table.name), identifier(table.partitioning.column if table.partitioning else "")
    for moment in (first, expires):
        placed = ready.sandbox.run(_copy(table, f"'{moment}'"))
        if not placed.ok:
            raise NoStageError(f"no row could be put at {moment}: {placed.message}")
    young = number(ready, f"SELECT count(*) FROM {name} WHERE {age} >= '{expires}'")  # noqa: S608
    call = f"SELECT {identifier(drop_routine(table.name))}({keep_days}, '{expires}'::timestamptz::date + {keep_days})"
    outcome, gone = ready.sandbox.fetch(call)
    if not outcome.ok:
        if outcome.code == _REFERRED:
            raise NoStageError(f"rows that refer to {table.name} stand in the way: {outcome.message}")
        raise _WrongError(f"{drop_routine(table.name)} is refused: {outcome.message}")
    old = number(ready, f"SELECT count(*) FROM {name} WHERE {age} < '{expires}'")  # noqa: S608
    left = number(ready, f"SELECT count(*) FROM {name} WHERE {age} >= '{expires}'")  # noqa: S608
    if old or left != young or gone[0][0] != "1":
        raise _WrongError(f"{drop_routine(table.name)} left {old} expired rows and {left} of {young} young ones")
    return f"{drop_routine(table.name)} took the expired partition and left {young} young rows"


def _delete(ready: Stage, keep_days: int, table: Table, column: str) -> str:
    name, age = identifier(table.name), identifier(column)
    half = f"SELECT ctid FROM {name} LIMIT (SELECT count(*) / 2 FROM {name})"  # noqa: S608
    for sql in (
        f"UPDATE {name} SET {age} = now()",  # noqa: S608
        f"UPDATE {name} SET {age} = now() - make_interval(days => {2 * keep_days}) WHERE ctid IN ({half})",  # noqa: S608
    ):
        outcome = ready.sandbox.run(sql)
        if not outcome.ok:
            raise NoStageError(f"rows of {table.name} could not be made old: {outcome.message}")
    cutoff = f"now() - make_interval(days => {keep_days})"
    young = number(ready, f"SELECT count(*) FROM {name} WHERE {age} >= {cutoff}")  # noqa: S608
    outcome = ready.sandbox.run(f"CALL {identifier(delete_routine(table.name))}({keep_days}, 2)")
    if not outcome.ok:
        if outcome.code == _REFERRED or refusal(outcome) is Status.INCONCLUSIVE:
            raise NoStageError(f"rows that refer to {table.name} stand in the way: {outcome.message}")
        raise _WrongError(f"{delete_routine(table.name)} is refused: {outcome.message}")
    old = number(ready, f"SELECT count(*) FROM {name} WHERE {age} < {cutoff}")  # noqa: S608
    left = number(ready, f"SELECT count(*) FROM {name} WHERE {age} >= {cutoff}")  # noqa: S608
    if old or left != young:
        raise _WrongError(f"{delete_routine(table.name)} left {old} expired rows and {left} of {young} young ones")
    return f"{delete_routine(table.name)} took the expired rows, two a transaction, and left {young} young ones"


def _bound(ready: Stage, table: Table, end: str, way: str) -> str:
    outcome, rows = ready.sandbox.fetch(_BOUND.format(end=end, way=way, table=identifier(table.name)))
    if not outcome.ok or not rows or not rows[0][0]:
        raise NoStageError(f"{table.name} has no partition with bounds: {outcome.message}")
    return rows[0][0]


def _copy(table: Table, moment: str) -> str:
    """One more row like the first, at another moment: whatever is unique holds the partition's column too."""
    by = table.partitioning.column if table.partitioning else ""
    taken = [column.name for column in table.columns if not _is_made(column)]
    values = ", ".join(f"{moment}" if name == by else identifier(name) for name in taken)
    names = ", ".join(map(identifier, taken))
    name = identifier(table.name)
    return f"INSERT INTO {name} ({names}) SELECT {values} FROM {name} ORDER BY {identifier(by)} LIMIT 1"  # noqa: S608


def _is_made(column: Column) -> bool:
    return column.identity or column.generated is not None
