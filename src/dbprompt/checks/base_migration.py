"""A migration as the rules see it: what each statement was seen to do, and what that means at the size of a table.

The engine is asked what happens; only how long it takes is reckoned, because the tables here hold a dozen rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from dbprompt.checks.sql.tree import Node, Parsed, nodes
from dbprompt.engines.base import Outcome
from dbprompt.engines.postgres.catalogue import Difference
from dbprompt.engines.postgres.observe import LockMode
from dbprompt.evidence import Severity

__all__ = [
    "HARMLESS_SECONDS", "MODEL", "Lock", "Loss", "Lost", "Passage", "Sizes", "Step", "Task", "Work", "commands",
    "duration", "name_of", "severity_of",
]  # fmt: skip

HARMLESS_SECONDS = 1.0
# Measured here on a million rows in memory: reading 380 MB/s, rewriting 76 MB/s, an index 1.0 to 1.4 s per million
# rows, changing rows 15 s per million with two indexes. A disk reads slower; the figures below are between the two.
_SCAN_BYTES = 200e6
_REWRITE_BYTES = 50e6
_INDEX_ROWS = 1e6
_CHANGE_ROWS = 1e5
MODEL = (
    "times are reckoned, not measured: reading 200 MB/s, rewriting 50 MB/s, an index 1 s per million rows, changing "
    "rows 10 s per million, at the row width of the rows made up here; expect a factor of three either way, and the "
    "wait for transactions that already run comes on top"
)


class Task(StrEnum):
    """What a statement did to every row of a table."""

    SCAN = "scan"
    REWRITE = "rewrite"
    INDEX = "index build"
    CHANGE = "row changes"


@dataclass(frozen=True, slots=True)
class Work:
    """One task on one table."""

    task: Task
    table: str


@dataclass(frozen=True, slots=True)
class Lock:
    """The strongest lock that a statement's transaction held on a relation which others may be using.

    Args:
        relation: its name.
        mode: of the lock.
        since: number of the statement that took it: an earlier one, if a transaction block still holds it.
        on: the table that it stops; the relation itself, or that of an index.
    """

    relation: str
    mode: LockMode
    since: int
    on: str


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large the tables really are.

    Args:
        rows: by table, as far as the caller said.
        widths: bytes a row of each table.
    """

    rows: Mapping[str, int]
    widths: Mapping[str, float]

    def of(self, table: str) -> int | None:
        """Rows of a table; None if nobody said."""
        found = self.rows.get(table)
        return found if found is not None else self.rows.get(f"public.{table}")

    def seconds(self, work: Work) -> float | None:
        """How long a task takes, by the model."""
        rows = self.of(work.table)
        if rows is None:
            return None
        size = rows * self.widths.get(work.table, 100.0)
        match work.task:
            case Task.SCAN:
                return size / _SCAN_BYTES
            case Task.REWRITE:
                return size / _REWRITE_BYTES
            case Task.INDEX:
                return rows / _INDEX_ROWS
            case Task.CHANGE:
                return rows / _CHANGE_ROWS


@dataclass(frozen=True, slots=True)
class Step:
    """One statement of a migration, and what the engine was seen to do.

    Args:
        number: from 0.
        where: `/up/N`.
        title: its beginning.
        outcome: the engine's answer; None if it did not meet the engine.
        locks: on relations that stood before the migration.
        work: on tables that stood before the migration.
        rewritten: tables whose file was replaced.
        rebuilt: indexes whose file was replaced.
        scanned: tables that were read from end to end.
        changed: rows updated or deleted, by table.
        in_transaction: whether it may run in a transaction block; None if that was not seen.
        block: number of the transaction block of the script that it stands in; None outside.
        lock_timeout: whether the script had set one.
        waits_for_writers: it was seen to wait for writers instead of stopping them.
        blocked_seconds: how long it stops others at the given sizes; None if it stops nobody or a size is not known.
        safe_forms: what it does right.
        observed: whether its locks could be read.
    """

    number: int
    where: str
    title: str
    outcome: Outcome | None = None
    locks: tuple[Lock, ...] = ()
    work: tuple[Work, ...] = ()
    rewritten: tuple[str, ...] = ()
    rebuilt: tuple[str, ...] = ()
    scanned: tuple[str, ...] = ()
    changed: tuple[tuple[str, int], ...] = ()
    in_transaction: bool | None = None
    block: int | None = None
    lock_timeout: bool = False
    waits_for_writers: bool = False
    blocked_seconds: float | None = None
    safe_forms: tuple[str, ...] = ()
    observed: bool = False
    parsed: Parsed | None = field(default=None, repr=False, compare=False)

    @property
    def ok(self) -> bool:
        """Whether the engine accepted it."""
        return self.outcome is not None and self.outcome.ok

    @property
    def strongest(self) -> Lock | None:
        """The strongest of its locks on tables."""
        return max(self.locks, key=lambda lock: (lock.mode, lock.relation == lock.on), default=None)

    @property
    def blocks(self) -> str:
        """Who waits for it: `reads and writes`, `writes` or nobody."""
        if any(lock.mode.blocks_reads for lock in self.locks):
            return "reads and writes"
        return "writes" if any(lock.mode.blocks_writes for lock in self.locks) else ""

    def stops(self, table: str) -> Lock | None:
        """The lock with which it keeps others from a table; None if it does not."""
        found = [lock for lock in self.locks if lock.on == table and lock.mode.blocks_writes]
        return max(found, key=lambda lock: lock.mode, default=None)

    def does(self, *tasks: Task) -> tuple[Work, ...]:
        """Its work of these kinds on tables that it keeps others from."""
        return tuple(work for work in self.work if work.task in tasks and self.stops(work.table))


class Lost(StrEnum):
    """What became of data."""

    TABLE = "table"
    COLUMN = "column"
    ROWS = "rows"
    VALUES = "values"


@dataclass(frozen=True, slots=True)
class Loss:
    """Data that is no longer what it was.

    Args:
        what: a table, a column, rows, or values that are others now.
        table: its name before.
        column: of a column or values.
        count: rows concerned.
        lives_on: the new column in which every one of its values was found again; empty if there is none.
        after_down: it is a loss after `up` and `down`, too; None if there was no `down`.
        blank: of values: how many were NULL.
        updated: values that an UPDATE sets, so that they are meant to be others after `up`.
    """

    what: Lost
    table: str
    column: str = ""
    count: int = 0
    lives_on: str = ""
    after_down: bool | None = None
    blank: int = 0
    updated: bool = False

    @property
    def name(self) -> str:
        """`orders.total`, or `orders`."""
        return f"{self.table}.{self.column}" if self.column else self.table


@dataclass(frozen=True, slots=True)
class Passage:
    """One migration, gone through.

    Args:
        steps: of `up`, in order.
        sizes: of the tables.
        losing: names that the caller means to lose.
        losses: what `up` did to the data.
        again: failures of the second run: statement number and engine's answer.
        drift: what the second run changed although it went through.
        together: failures if the script runs in one transaction, that do not occur otherwise.
        left_open: a transaction block was never ended.
        has_down: there is a `down`.
        undone: what differs from before after `up` and `down`.
        down_failed: statements of `down` that the engine refused.
        relations: names of tables and views after `up`.
        invalid: indexes that `up` left invalid.
    """

    steps: tuple[Step, ...]
    sizes: Sizes
    losing: frozenset[str] = frozenset()
    losses: tuple[Loss, ...] = ()
    again: tuple[tuple[int, Outcome], ...] = ()
    drift: tuple[str, ...] = ()
    together: tuple[tuple[int, Outcome], ...] = ()
    left_open: bool = False
    has_down: bool = False
    undone: tuple[Difference, ...] = ()
    down_failed: tuple[int, ...] = ()
    relations: frozenset[str] = frozenset()
    invalid: tuple[str, ...] = ()

    def severity(self, *work: Work) -> Severity:
        """How bad it is to stop others for this work."""
        known = [seconds for one in work if (seconds := self.sizes.seconds(one)) is not None]
        return severity_of(sum(known) if known else None)

    def cost(self, *work: Work) -> str:
        """How long the work takes, as words."""
        tables = sorted({one.table for one in work})
        rows = [f"{name} at {count:,} rows" for name in tables if (count := self.sizes.of(name)) is not None]
        known = [seconds for one in work if (seconds := self.sizes.seconds(one)) is not None]
        return (
            f"{duration(sum(known))} for {', '.join(rows)}" if rows else f"for as long as {', '.join(tables)} is large"
        )


def severity_of(seconds: float | None) -> Severity:
    """Harmless below a second; a warning where the size is not known."""
    if seconds is None:
        return Severity.WARNING
    return Severity.ERROR if seconds >= HARMLESS_SECONDS else Severity.ADVICE


def duration(seconds: float) -> str:
    """A reckoned time without false precision."""
    if seconds < HARMLESS_SECONDS:
        return "less than a second"
    if seconds < 90:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"


def commands(step: Step) -> Iterator[tuple[str, str, Node]]:
    """The parts of an ALTER TABLE: kind without `AT_`, name, definition."""
    body = step.parsed.body if step.parsed is not None and step.parsed.kind == "AlterTableStmt" else {}
    for kind, node in nodes(body.get("cmds")):
        if kind == "AlterTableCmd":
            inside = node.get("def")
            definition = next(iter(inside.values()), None) if isinstance(inside, dict) else None
            name = str(node.get("name", ""))
            yield (
                str(node.get("subtype", "")).removeprefix("AT_"),
                name,
                definition if isinstance(definition, dict) else {},
            )


def name_of(relation: object) -> str:
    """The name in a RangeVar node, with its schema unless that is `public`."""
    if not isinstance(relation, dict):
        return ""
    schema, name = relation.get("schemaname"), str(relation.get("relname", ""))
    return name if schema in {None, "public"} else f"{schema}.{name}"
