"""A migration as typed steps, in order: every form, from plain SQL to Liquibase, is written from this one list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal, TypeAlias

__all__ = [
    "Batch",
    "Phase",
    "Step",
    "Versioned",
    "Way",
    "in_transaction",
    "milliseconds",
    "outside",
    "version_of",
    "versioned",
]

Phase: TypeAlias = Literal["initial", "expand", "backfill", "contract"]
Way: TypeAlias = Literal["exact", "without_values", "none"]


@dataclass(frozen=True, slots=True)
class Batch:
    """A backfill: which rows, in which order, how many at a time.

    Args:
        table: whose rows are changed.
        key: the columns that the rows are walked through by, with their SQL types.
        column: that is filled.
        expression: the value, in parentheses, from columns of the same row.
        batch_rows: rows in one transaction.
        pause_ms: what it waits between two.
        procedure: its name.
        progress: the table that keeps how far it came.
    """

    table: str
    key: tuple[tuple[str, str], ...]
    column: str
    expression: str
    batch_rows: int
    pause_ms: int
    procedure: str
    progress: str


@dataclass(frozen=True, slots=True)
class Step:
    """One version of the schema: what leads there, and back.

    Args:
        name: lower_snake_case, `orders_promised_delivery_on_expand`.
        phase: expand adds, backfill fills, contract makes the new rule hold and takes away what is old.
        up: statements without a closing semicolon.
        down: the way back; empty where nothing has to be done.
        transactional: all of it in one transaction; else each statement by itself, and none of them inside one.
        note: what it does, and what to know about it.
        where: JSON pointer into the section `migrations`, `/changes/0`; empty for the initial migration.
        after: what has to be true before it is run, such as a release of the application; empty for nothing.
        way_back: whether `down` restores everything, everything but values, or nothing.
        batch: the backfill that it runs.
    """

    name: str
    phase: Phase
    up: tuple[str, ...]
    down: tuple[str, ...]
    transactional: bool
    note: str
    where: str = ""
    after: str = ""
    way_back: Way = "exact"
    batch: Batch | None = None

    @property
    def title(self) -> str:
        """The name as words."""
        return self.name.replace("_", " ")


@dataclass(frozen=True, slots=True)
class Versioned:
    """A step and its version, by which every tool orders it."""

    version: str
    step: Step

    @property
    def stem(self) -> str:
        """`0002_orders_promised_delivery_on_expand`."""
        return f"{self.version}_{self.step.name}"


def versioned(
    steps: Sequence[Step], versioning: Literal["timestamp", "sequence"], as_of: date
) -> tuple[Versioned, ...]:
    """Numbers the steps: 0001, 0002, ..., or the day with a minute each.

    >>> [one.version for one in versioned([Step("a", "initial", (), (), True, "")], "timestamp", date(2026, 3, 1))]
    ['20260301000100']
    """
    return tuple(Versioned(version_of(number, versioning, as_of), step) for number, step in enumerate(steps, start=1))


def version_of(number: int, versioning: Literal["timestamp", "sequence"], as_of: date) -> str:
    """The version of a step, counted from 1."""
    if versioning == "sequence":
        return f"{number:04}"
    hours, minutes = divmod(number, 60)
    return f"{as_of:%Y%m%d}{hours:02}{minutes:02}00"


def milliseconds(number: int) -> str:
    """A time as PostgreSQL's settings take it.

    >>> milliseconds(2000), milliseconds(250)
    ("'2s'", "'250ms'")
    """
    return f"'{number // 1000}s'" if number % 1000 == 0 else f"'{number}ms'"


def in_transaction(lock_timeout_ms: int, statements: Sequence[str]) -> tuple[str, ...]:
    """Statements that share a transaction, none of which waits long for a lock; nothing for nothing."""
    return (f"SET LOCAL lock_timeout = {milliseconds(lock_timeout_ms)}", *statements) if statements else ()


def outside(lock_timeout_ms: int, statements: Sequence[str]) -> tuple[str, ...]:
    """Statements that each stand alone; the session is left as it was. A time-out of 0 waits for ever."""
    if not statements:
        return ()
    wait = milliseconds(lock_timeout_ms) if lock_timeout_ms else "0"
    return (f"SET lock_timeout = {wait}", *statements, "RESET lock_timeout")
