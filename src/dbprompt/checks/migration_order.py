"""Rules about the order of a migration: what shares a transaction, what comes in batches, how long a lock may wait.

Poor: `BEGIN; ALTER TABLE orders ADD COLUMN region text; UPDATE orders SET region = 'eu'; COMMIT`: nobody reads orders
while every row is changed.
Better: the ALTER TABLE alone under a `lock_timeout`; then the UPDATE in batches, each in a transaction of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.checks.base_migration import Passage, Step, Task, Work
from dbprompt.engines.base import Outcome
from dbprompt.evidence import Finding, Severity

__all__ = ["BATCHED", "ENUM_IN_USE", "NOT_IN_BLOCK", "migration_order"]

NOT_IN_BLOCK = "25001"
ENUM_IN_USE = "55P04"
BATCHED = "changes rows in batches"


def migration_order(passage: Passage) -> Iterator[Finding]:
    """Transactions, batches and time-outs."""
    for step in passage.steps:
        yield from _in_block(step)
        if step.ok:
            yield from _backfill(passage, step)
    yield from _together(passage)
    yield from _no_lock_timeout(passage)
    if passage.left_open:
        message = "A transaction block is never ended: whoever runs this script loses all of it. End it with COMMIT."
        yield Finding("migration.left_open", Severity.ERROR, "/up", message)


def _in_block(step: Step) -> Iterator[Finding]:
    code = step.outcome.code if step.outcome is not None else ""
    if code == NOT_IN_BLOCK and step.outcome is not None:
        message = (
            f"{step.outcome.message}: it stands between BEGIN and COMMIT. Move it out of the transaction, and tell the "
            "migration tool not to open one (atomic = False, disable_ddl_transaction!, transaction: false)."
        )
        yield Finding("migration.concurrent_in_transaction", Severity.ERROR, step.where, message)
    elif code == ENUM_IN_USE:
        yield _enum(step, Severity.ERROR)


def _enum(step: Step, severity: Severity, when: str = "") -> Finding:
    message = (
        f"{when}{'it' if when else 'It'} uses an enum value in the transaction that adds it, which fails. Add the "
        "value in a migration of its own, before this one."
    )
    return Finding("migration.enum_value_used_in_transaction", severity, step.where, message)


def _together(passage: Passage) -> Iterator[Finding]:
    for number, outcome in passage.together:
        step = passage.steps[number]
        if outcome.code == ENUM_IN_USE:
            yield _enum(step, Severity.WARNING, "Under a tool that runs the file in one transaction ")
        else:
            yield Finding("migration.fails_in_one_transaction", Severity.ADVICE, step.where, _words(outcome))


def _words(outcome: Outcome) -> str:
    return (
        f"Under a tool that runs the file in one transaction it fails: {outcome.message}. Split the file, or tell "
        "the tool not to open a transaction."
    )


def _backfill(passage: Passage, step: Step) -> Iterator[Finding]:
    changes = tuple(work for work in step.work if work.task is Task.CHANGE)
    if not changes:
        return
    held = [
        lock for lock in step.locks if lock.mode.blocks_writes and lock.since < step.number and step.block is not None
    ]
    if held:
        first = max(held, key=lambda lock: lock.mode)
        message = (
            f"It changes rows while the transaction still holds {first.mode.words} on {first.relation}, taken by "
            f"statement {first.since + 1}: "
            f"{'nobody reads or writes' if first.mode.blocks_reads else 'nobody writes'} there meanwhile, "
            f"{_cost(passage, step, changes)}. Commit the DDL first, then change the rows in batches."
        )
        yield Finding("migration.backfill_with_ddl", _severity(passage, step, changes), step.where, message)
    if BATCHED not in step.safe_forms:
        seen = f"{sum(count for _, count in step.changed)} of the rows made up here"
        message = (
            f"It changes rows of {', '.join(work.table for work in changes)} in one go "
            f"({seen}): their writers wait, and vacuum cannot clean up, "
            f"{passage.cost(*changes)}. Do it in batches of some thousand keys, each in a transaction of its own, "
            "apart from the DDL."
        )
        yield Finding("migration.backfill_unbatched", passage.severity(*changes), step.where, message)


def _severity(passage: Passage, step: Step, changes: tuple[Work, ...]) -> Severity:
    return Severity.WARNING if BATCHED in step.safe_forms else passage.severity(*changes)


def _cost(passage: Passage, step: Step, changes: tuple[Work, ...]) -> str:
    return "for the length of a batch" if BATCHED in step.safe_forms else passage.cost(*changes)


def _no_lock_timeout(passage: Passage) -> Iterator[Finding]:
    bare = [
        step
        for step in passage.steps
        if step.ok and step.blocks and not step.lock_timeout and not step.waits_for_writers
    ]
    if not bare:
        return
    tables = list(dict.fromkeys(lock.on for step in bare for lock in step.locks if lock.mode.blocks_writes))
    large = [name for name in tables if (rows := passage.sizes.of(name)) is None or rows >= _BUSY_ROWS]
    message = (
        f"{_count(len(bare))} {'asks' if len(bare) == 1 else 'ask'} for a lock that stops others on "
        f"{', '.join(tables)}, without a lock_timeout: while it waits behind one long query, everybody else waits "
        "behind it. Begin with SET lock_timeout = '2s' and repeat the statement when it times out."
    )
    severity = Severity.WARNING if large else Severity.ADVICE
    yield Finding("migration.no_lock_timeout", severity, bare[0].where, message)


_BUSY_ROWS = 100_000


def _count(number: int) -> str:
    return "It" if number == 1 else f"{number} statements, this one first,"
