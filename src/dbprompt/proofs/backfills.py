"""A backfill is stopped in the middle and started again: it fills every row, none of them twice, and stops no writer.

The stop is certain and not a race: another session holds one row in the middle, and the call is cancelled while it
waits for it, as by an operator's Ctrl-C.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date

from dbprompt.checks.base_design import error
from dbprompt.checks.engine import target_engine, target_major
from dbprompt.checks.subject import Subject
from dbprompt.engines.base import Answer, Outcome
from dbprompt.engines.postgres.observe import LockMode, Observer
from dbprompt.engines.postgres.sandbox import PostgresSandbox
from dbprompt.engines.postgres.seeding import Mode, seed
from dbprompt.engines.postgres.seeding.tables import Hints
from dbprompt.evidence import Exhibit, Finding, Report, Status, Tier, Verdict
from dbprompt.proofs.base import NoStageError, stage
from dbprompt.render.migrations.plan import Planned, planned_changes
from dbprompt.render.migrations.steps import Batch
from dbprompt.render.postgres import identifier

__all__ = ["backfills_resume"]

_FAMILY = {"postgresql", "timescaledb"}
_FEWEST_ROWS = 4
_CANCELLED = "57014"
_PATIENCE_MS = 300


class _StoppedError(Exception):
    """Something on the way did not work, so nothing more can be said; the message says what."""


class _RefusedError(Exception):
    """The engine does not take the value of a row; the message is its own."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the trial saw.

    Args:
        rows: in the table.
        first: rows that had a value when the call was cancelled.
        moved_on: the cancelled call had finished its first batch, and not its last.
        left: rows without a value at the end.
        twice: rows that were written again although they were done.
        late: a row that was written in the meantime has no value.
        locks: the strongest lock that the call held on each table.
        batch_rows: in a batch.
    """

    rows: int
    first: int
    moved_on: bool
    left: int
    twice: int
    late: bool
    locks: tuple[tuple[str, LockMode], ...]
    batch_rows: int


def backfills_resume(subject: Subject, as_of: date) -> Report:
    """Every backfill of the planned changes, on rows."""
    if subject.design.migrations is None or target_engine(subject) not in _FAMILY:
        return Report()
    planned = planned_changes(subject.design, as_of=as_of, version=target_major(subject.brief))
    return sum((_tried(subject, one, as_of) for one in planned if _batch(one)), Report())


def _batch(one: Planned) -> Batch | None:
    return next((step.batch for step in one.steps if step.batch is not None), None)


def _tried(subject: Subject, one: Planned, as_of: date) -> Report:
    batch = _batch(one)
    if batch is None:
        return Report()
    called = f"backfill of {batch.table}.{batch.column}"
    where = f"{one.where}/backfill"
    try:
        with stage(replace(subject, design=one.before), as_of=as_of) as ready:
            seen, label, uncovered = _trial(ready.sandbox, one, batch), ready.label, ready.uncovered
    except NoStageError as none:
        return Report(verdicts=(Verdict(called, where, Status.NOT_CHECKED, Tier.NOTHING, "postgresql", str(none)),))
    except _RefusedError as refused:
        message = (
            f"filling {batch.table}.{batch.column} with {batch.expression} fails on rows that the schema allows: "
            f"{refused}. Write one expression of the column's type over columns of {batch.table}"
        )
        verdict = Verdict(called, where, Status.FAILED, Tier.ENGINE, "postgresql", str(refused))
        return Report((error("changes.backfill_refused", where, message),), (verdict,))
    except _StoppedError as stopped:
        return Report(verdicts=(Verdict(called, where, Status.INCONCLUSIVE, Tier.ENGINE, "postgresql", str(stopped)),))
    findings = tuple(_findings(one, batch, seen, where))
    status = Status.FAILED if findings or _wrong(seen) else Status.PASSED
    gaps = "; ".join(
        filter(None, (f"on {seen.rows} rows made up, {seen.batch_rows} in a batch", *_wrong(seen), uncovered))
    )
    return Report(
        findings, (Verdict(called, where, status, Tier.ENGINE, label, gaps),), (_exhibit(called, where, seen),)
    )


def _findings(one: Planned, batch: Batch, seen: _Seen, where: str) -> Iterator[Finding]:
    may_be_null = one.change.kind in {"rename_column", "change_type"} and not _required(one)
    if (seen.left or seen.late) and not may_be_null:
        message = (
            f"the backfill of {batch.table}.{batch.column} gave {seen.left} of {seen.rows} rows no value: "
            f"{batch.expression} is null where a column that may be null is. Give every row a value, such as "
            "coalesce(a, b)"
        )
        yield error("changes.backfill_incomplete", where, message)


def _required(one: Planned) -> bool:
    table = one.before.schema.table(one.change.table or "") if one.before.schema else None
    column = one.change.new_column or (table.column(one.change.column or "") if table else None)
    return column is not None and not column.nullable


def _wrong(seen: _Seen) -> tuple[str, ...]:
    """What is not the design's fault but ours."""
    blocked = [f"{mode.words} on {name}" for name, mode in seen.locks if mode.blocks_writes]
    return tuple(
        words
        for words, holds in (
            (f"{seen.twice} rows were written twice", seen.twice > 0),
            ("it was not stopped in the middle", not seen.moved_on),
            (f"it held {', '.join(blocked)}", bool(blocked)),
        )
        if holds
    )


def _trial(sandbox: PostgresSandbox, one: Planned, batch: Batch) -> _Seen:
    """Rows, the steps before the backfill, a call that is cancelled in the middle, and one that goes on."""
    seeds = seed(sandbox, Hints({}), Mode.WILD)
    rows = seeds.rows.get(batch.table, 0)
    if rows < _FEWEST_ROWS:
        why = seeds.refused.get(batch.table, f"only {rows} rows fit")
        raise _StoppedError(f"{batch.table} has too few rows here: {why}")
    for step in one.steps:
        if step.batch is not None:
            break
        brackets = ("BEGIN", "COMMIT") if step.transactional else ("", "")
        for sql in filter(None, (brackets[0], *step.up, brackets[1])):
            _done(sandbox.run(sql), sql)
    at_a_time = max(1, rows // _FEWEST_ROWS)
    call = f"CALL {identifier(batch.procedure)}({at_a_time}, 0)"
    late = _written_meanwhile(sandbox, one, batch)
    with _held_row(sandbox, batch, at_a_time + 1):
        for setting in ("SET lock_timeout = 0", f"SET statement_timeout = '{_PATIENCE_MS}ms'"):
            _done(sandbox.run(setting), setting)
        stopped = sandbox.run(call)
    if stopped.answer is Answer.REFUSED:
        raise _RefusedError(stopped.message)
    if stopped.code != _CANCELLED:
        raise _StoppedError(f"the call was not cancelled: {stopped.message or 'it came to its end'}")
    for setting in ("RESET lock_timeout", "RESET statement_timeout"):
        _done(sandbox.run(setting), setting)
    before, moved_on = _filled(sandbox, batch), _moved_on(sandbox, batch, at_a_time)
    observer = Observer(sandbox)
    observed = observer.run(call)
    if observed.outcome.answer is Answer.REFUSED:
        raise _RefusedError(observed.outcome.message)
    _done(observed.outcome, call)
    _done(sandbox.run(call), call)  # there is nothing left to do
    after = _filled(sandbox, batch)
    names = {oid: relation.name for oid, relation in observed.before.items() if relation.kind in "rp"}
    locks = tuple(sorted((names[oid], mode) for oid, mode in observed.locks.items() if oid in names))
    twice = sum(after.get(key) != version for key, version in before.items())
    return _Seen(rows, len(before), moved_on, rows - len(after), twice, late, locks, at_a_time)


def _written_meanwhile(sandbox: PostgresSandbox, one: Planned, batch: Batch) -> bool:
    """Whether a row that an older release writes after the first step stays without a value."""
    table = one.before.schema.table(batch.table) if one.before.schema else None
    keys = {name for name, _ in batch.key}
    free = [
        column.name
        for column in (table.columns if table else ())
        if column.name not in keys and not column.identity and column.generated is None
        and not (table and table.partitioning and table.partitioning.column == column.name)
        and column.name not in {one.change.column, batch.column}
    ]  # fmt: skip
    if not free:
        return False
    name, column = identifier(free[0]), identifier(batch.column)
    last = ", ".join(f"{identifier(key)} DESC" for key, _ in batch.key)
    picked = f"SELECT tableoid, ctid FROM {identifier(batch.table)} ORDER BY {last} LIMIT 1"  # noqa: S608
    update = f"UPDATE {identifier(batch.table)} SET {name} = {name} WHERE (tableoid, ctid) = ({picked})"  # noqa: S608
    outcome = sandbox.run(update)
    if outcome.answer is Answer.REFUSED:
        raise _RefusedError(outcome.message)
    _done(outcome, update)
    _, found = sandbox.fetch(
        f"SELECT {column} IS NULL FROM {identifier(batch.table)} ORDER BY {last} LIMIT 1"  # noqa: S608
    )
    return bool(found) and found[0][0] == "t"


@contextmanager
def _held_row(sandbox: PostgresSandbox, batch: Batch, number: int) -> Iterator[None]:
    """Another session that holds one row, counted from 1 in the order of the key."""
    keys = ", ".join(identifier(key) for key, _ in batch.key)
    table = _place(sandbox, batch)
    # Picked first and locked then: FOR UPDATE with OFFSET would lock the rows that it passes over, too.
    picked = f"SELECT tableoid, ctid FROM {table} ORDER BY {keys} OFFSET {number - 1} LIMIT 1"  # noqa: S608
    sql = f"SELECT 1 FROM {table} WHERE (tableoid, ctid) = ({picked}) FOR UPDATE"  # noqa: S608
    other = sandbox.server.connect_admin(sandbox.name)
    try:
        if not other.query("BEGIN").ok or not other.query(sql).ok:
            raise _StoppedError(f"no row of {batch.table} could be held")
        yield
        other.query("ROLLBACK")
    finally:
        other.close()


def _place(sandbox: PostgresSandbox, batch: Batch) -> str:
    """The table with its schema: another session's search path is not the sandbox's."""
    found = sandbox.rows(
        "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.relname = $1 AND c.relkind IN ('r', 'p') AND n.nspname NOT LIKE 'pg\\_%'",
        batch.table,
    )
    if not found:
        raise _StoppedError(f"{batch.table} is not there")
    return str(found[0][0])


def _filled(sandbox: PostgresSandbox, batch: Batch) -> dict[tuple[str | None, ...], str | None]:
    """The rows that have a value, by key, each with the transaction that wrote it."""
    keys = ", ".join(f"{identifier(key)}::text" for key, _ in batch.key)
    sql = f"SELECT xmin, {keys} FROM {identifier(batch.table)} WHERE {identifier(batch.column)} IS NOT NULL"  # noqa: S608
    outcome, rows = sandbox.fetch(sql)
    _done(outcome, sql)
    return {row[1:]: row[0] for row in rows}


def _moved_on(sandbox: PostgresSandbox, batch: Batch, at_a_time: int) -> bool:
    """Whether the next key, as the progress says, is the first of the second batch."""
    keys = ", ".join(identifier(key) for key, _ in batch.key)
    following = ", ".join(f"next_{number}" for number in range(1, len(batch.key) + 1))
    second = f"SELECT {keys} FROM {identifier(batch.table)} ORDER BY {keys} OFFSET {at_a_time} LIMIT 1"  # noqa: S608
    sql = f"SELECT ({following}) = ({second}) AND NOT finished FROM {identifier(batch.progress)}"  # noqa: S608
    outcome, found = sandbox.fetch(sql)
    _done(outcome, sql)
    return bool(found) and found[0][0] == "t"


def _done(outcome: Outcome, sql: str) -> None:
    if not outcome.ok:
        raise _StoppedError(f"{' '.join(sql.split())[:60]}: {outcome.message}")


def _exhibit(called: str, where: str, seen: _Seen) -> Exhibit:
    lines = [
        f"{seen.rows} rows, {seen.batch_rows} in a batch",
        f"cancelled in the middle: {seen.first} rows had a value",
        f"started again: {seen.rows - seen.left} rows have one, {seen.twice} were written twice",
        *(
            f"{mode.words} on {name}: {'stops writers' if mode.blocks_writes else 'stops nobody'}"
            for name, mode in seen.locks
        ),
    ]
    return Exhibit(where, f"{called}, stopped and started again", "\n".join(lines))
