"""Rules about what a statement does while others wait for it. The engine saw the lock, the rewrite and the scan.

Poor: `CREATE INDEX orders_status ON orders (status)`: nobody can write to orders until it is built.
Better: `CREATE INDEX CONCURRENTLY orders_status ON orders (status)`, outside a transaction: it waits for
writers instead.

A lock that ends within a second by the model is advice; on a table of unknown size it is a warning.
"""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.checks.base_migration import Lock, Passage, Step, Task, Work, commands
from dbprompt.checks.sql.tree import Node, nodes
from dbprompt.evidence import Finding

__all__ = ["migration_locks"]


def migration_locks(passage: Passage) -> Iterator[Finding]:
    """Everything that a statement does to whole tables while it keeps others out."""
    for step in passage.steps:
        if step.ok:
            yield from _of(passage, step)


def _of(passage: Passage, step: Step) -> Iterator[Finding]:
    rewrites = step.does(Task.REWRITE)
    builds = step.does(Task.INDEX)
    scans = step.does(Task.SCAN)
    if rewrites:
        code, advice = _rewrite(step)
        yield _finding(
            passage, step, code, (*rewrites, *builds), f"it writes every row of {_tables(rewrites)} anew", advice
        )
    elif builds:
        code, advice = _build(step)
        yield _finding(passage, step, code, builds, f"it builds {_indexes(step)} on {_tables(builds)}", advice)
    elif scans:
        code, advice = _scan(step)
        yield _finding(passage, step, code, scans, f"it reads every row of {_tables(scans)}", advice)


def _finding(passage: Passage, step: Step, code: str, work: tuple[Work, ...], what: str, advice: str) -> Finding:
    lock = step.stops(work[0].table)
    held = f"under {lock.mode.words}" if lock else ""
    since = f", held since statement {lock.since + 1}" if lock and lock.since < step.number else ""
    message = f"{what} {held}{since}: {_waits(lock)} wait {passage.cost(*work)}. {advice}."
    return Finding(code, passage.severity(*work), step.where, message[:1].upper() + message[1:])


def _rewrite(step: Step) -> tuple[str, str]:
    for kind, name, definition in commands(step):
        if kind == "AlterColumnType":
            return "migration.type_change_rewrites", (
                f"Add a column of the new type, keep it filled by a trigger, copy {name} over in batches, then swap "
                "the names; or choose a type that needs no rewrite (a longer varchar, text)"
            )
        if kind == "AddColumn" and _stored(definition):
            return (
                "migration.rewrite",
                "Add a plain column, fill it in batches and keep it by a trigger, or compute it in a view",
            )
        if kind == "AddColumn":
            return "migration.volatile_default", (
                "Add the column without the default, set the default afterwards (it then counts for new rows only), "
                "and fill the old rows in batches. A constant or now() does not rewrite"
            )
    if step.parsed is not None and step.parsed.kind in {"VacuumStmt", "ClusterStmt"}:
        return (
            "migration.rewrite",
            "Use pg_repack, which locks for moments, or let a plain VACUUM free the space for new rows",
        )
    return (
        "migration.rewrite",
        "Copy the table in batches into a new one and swap their names, or do it while nobody works",
    )


def _build(step: Step) -> tuple[str, str]:
    if step.parsed is not None and step.parsed.kind == "ReindexStmt":
        return "migration.blocking_index", "Write REINDEX ... CONCURRENTLY, outside a transaction"
    for kind, _, _ in commands(step):
        if kind in {"AddConstraint", "AddColumn"}:
            return "migration.blocking_index", (
                "First CREATE UNIQUE INDEX CONCURRENTLY, outside a transaction, then ADD CONSTRAINT ... USING "
                "INDEX, which takes moments"
            )
        if kind == "AlterColumnType":
            return (
                "type_change_rewrites",
                "Add a column of the new type, index it concurrently, fill it in batches, swap names",
            )
    return "migration.blocking_index", (
        "Write CREATE INDEX CONCURRENTLY, outside a transaction; if it fails it leaves an invalid index, which has "
        "to be dropped before the next try"
    )


def _scan(step: Step) -> tuple[str, str]:
    for kind, name, definition in commands(step):
        if kind == "SetNotNull":
            return "migration.set_not_null_scan", (
                f"First ADD CONSTRAINT ... CHECK ({name} IS NOT NULL) NOT VALID, then VALIDATE CONSTRAINT in a "
                "transaction of its own; SET NOT NULL then trusts the check and reads nothing, and the check can go"
            )
        if kind == "AddConstraint" or (
            kind == "AddColumn" and any(key == "Constraint" for key, _ in nodes(definition))
        ):
            return "migration.constraint_not_valid_first", (
                "Add the constraint NOT VALID, which takes moments and holds for new rows, then VALIDATE CONSTRAINT "
                "in a transaction of its own, which lets others write"
            )
        if kind == "AlterColumnType":
            return "migration.type_change_rewrites", "Add a NOT VALID check for the narrower type and validate it first"
        if kind == "AttachPartition":
            return "migration.constraint_not_valid_first", (
                "Give the new partition a CHECK constraint that repeats its bounds, validated, before it is "
                "attached: the scan is then left out"
            )
    return "migration.blocking_scan", "Do that part in a transaction that holds no such lock, before or after this one"


def _stored(definition: Node) -> bool:
    return any(key == "Constraint" and node.get("contype") == "CONSTR_GENERATED" for key, node in nodes(definition))


def _indexes(step: Step) -> str:
    return "an index" if len(step.rebuilt) < 2 else f"{len(step.rebuilt)} indexes"


def _tables(work: tuple[Work, ...]) -> str:
    return " and ".join(dict.fromkeys(one.table for one in work))


def _waits(lock: Lock | None) -> str:
    return "reads and writes" if lock is not None and lock.mode.blocks_reads else "writes"
