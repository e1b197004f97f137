"""The partitions of a table, counted from a day."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta

from dbprompt.render.postgres.base import Statement, identifier, literal
from dbprompt.render.postgres.naming import Names
from dbprompt.render.postgres.types import value_literal
from dbprompt.sections.schema import Column, ColumnType, Partitioning, Table

__all__ = ["AHEAD", "partition_statements", "periods"]

AHEAD = {"day": 14, "week": 8, "month": 6, "quarter": 4, "year": 2}
"""How many partitions stand ready after the current one."""

_PLAIN = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*\Z")


def partition_statements(table: Table, where: str, *, as_of: date, names: Names) -> Iterator[Statement]:
    """CREATE TABLE ... PARTITION OF for each partition.

    There is no DEFAULT partition on purpose. A row that fits nowhere is refused at once and seen; in a DEFAULT
    partition it would hide, and later block the partition that it belongs to, which can only be made under a lock that
    stops all writes while the DEFAULT partition is searched.
    """
    split = table.partitioning
    if split is None:
        return
    column = table.column(split.column)
    for suffix, bounds in _parts(split, column, as_of):
        name = names.take(table.name, suffix)
        yield Statement(
            f"CREATE TABLE {identifier(name)} PARTITION OF {identifier(table.name)}\n    FOR VALUES {bounds}",
            "schema",
            f"{where}/partitioning",
            f"table {table.name}",
            "partition",
        )


def _parts(split: Partitioning, column: Column | None, as_of: date) -> Iterator[tuple[str, str]]:
    """Each partition as (end of its name, its bounds)."""
    match split.strategy:
        case "range":
            zone = " 00:00:00+00" if column is not None and column.type is ColumnType.TIMESTAMPTZ else ""
            for suffix, first, after in periods(split.granularity or "month", as_of):
                yield suffix, f"FROM ('{first.isoformat()}{zone}') TO ('{after.isoformat()}{zone}')"
        case "hash":
            count = split.count or 1
            for remainder in range(count):
                yield f"p{remainder}", f"WITH (MODULUS {count}, REMAINDER {remainder})"
        case "list":
            for number, values in enumerate(split.lists):
                written = [value_literal(column, value) if column else literal(value) for value in values]
                plain = "_".join(values).lower()
                suffix = plain if _PLAIN.match(plain) and len(plain) <= 30 else f"p{number}"
                yield suffix, f"IN ({', '.join(written)})"


def periods(granularity: str, as_of: date) -> Iterator[tuple[str, date, date]]:
    """Periods as (name, first day, first day of the next): the previous one, the current one, and those ahead.

    >>> [name for name, _, _ in periods("quarter", date(2026, 1, 31))]
    ['2025_q4', '2026_q1', '2026_q2', '2026_q3', '2026_q4', '2027_q1']
    """
    current = _start(granularity, as_of)
    first = _start(granularity, current - timedelta(days=1))
    for _ in range(AHEAD[granularity] + 2):
        after = _start(granularity, first + timedelta(days=_LONGER_THAN[granularity]))
        yield _period_name(granularity, first), first, after
        first = after


# A step from the first day of a period that always lands in the next one, and never beyond it.
_LONGER_THAN = {"day": 1, "week": 7, "month": 31, "quarter": 92, "year": 366}


def _start(granularity: str, day: date) -> date:
    match granularity:
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
        case "quarter":
            return day.replace(month=day.month - (day.month - 1) % 3, day=1)
        case "year":
            return day.replace(month=1, day=1)
        case _:
            return day


def _period_name(granularity: str, first: date) -> str:
    match granularity:
        case "week":
            year, week, _ = first.isocalendar()
            return f"{year}_w{week:02}"
        case "month":
            return f"{first:%Y_%m}"
        case "quarter":
            return f"{first:%Y}_q{(first.month + 2) // 3}"
        case "year":
            return f"{first:%Y}"
        case _:
            return f"{first:%Y_%m_%d}"
