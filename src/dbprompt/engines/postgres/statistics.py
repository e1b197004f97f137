"""Statistics of tables that hold nothing yet, from what a brief says of volumes and what the catalogues say of columns.

Nothing is measured here, so each figure has a plain rule: a key is distinct in every row, a reference has as many
values as its parent has rows, an enum has its labels. Whoever knows better says so in `frequencies`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from dbprompt.engines.postgres.sizes import ColumnStatistics, Figures, TableStatistics, column_widths, heap_pages
from dbprompt.engines.postgres.tables import ColumnEntry, TableEntry, Tables

__all__ = ["Frequencies", "invent", "period_of"]

Frequencies: TypeAlias = Mapping[str, Mapping[str | None, float]]
"""`{"orders.status": {"shipped": 0.8}}`: the share of rows that hold a value; None stands for null."""

_SEEN = 0.95  # of a reference's values: some parents have no children, and ANALYZE reads a sample
_WITHOUT_FIGURES = 1_000
_TIMES = {"date", "timestamp", "timestamptz"}
_WHOLE = {"int2", "int4", "int8"}
_ARRIVAL = re.compile(
    r"(created|inserted|placed|ordered|occurred|recorded|logged|received|sent|posted|measured|event)_"
)
_CHANGES = re.compile(r"(updat|modif|chang|expir|last_|next_|due)")
_RARE_TIMES = re.compile(r"(deleted|archived|cancelled|canceled|revoked|locked|failed|refunded|removed|anonymi[sz]ed)_")
_ONE_OF = re.compile(r"CHECK \(+\(*(\w+)\)?(?:::\w+)? = ANY \(+ARRAY\[(.*?)\]")
_QUOTED = re.compile(r"'((?:[^']|'')*)'")
_BOUNDS = re.compile(r"FROM \('([^']+)'\) TO \('([^']+)'\)")


def invent(
    tables: Tables, figures: Mapping[str, Figures], frequencies: Frequencies, *, now: datetime | None = None
) -> tuple[TableStatistics, ...]:
    """Statistics for every table and partition.

    Args:
        tables: what is there.
        figures: by table name. A table without has as many rows as the largest that it refers to.
        frequencies: see `Frequencies`.
        now: the newest moment of columns that hold one.
    """
    sizes = _Sizes(tables, figures)
    found = []
    for table in tables.entries:
        size = sizes.of(table)
        facts = _Facts(tables, table, size, sizes, frequencies, now or datetime.now(UTC))
        widths = column_widths(table, size.row_bytes)
        columns = tuple(facts.column(column, widths[column.number]) for column in table.columns)
        pages = 0 if table.kind == "partitioned" else heap_pages(size.rows, widths)
        found.append(TableStatistics(table, size.rows, pages, columns, tables.top(table).name not in figures))
    return tuple(found)


@dataclass(slots=True)
class _Sizes:
    """The volume of each table: given, shared out among partitions, or assumed."""

    tables: Tables
    figures: Mapping[str, Figures]
    _known: dict[int, Figures] = field(default_factory=dict)

    def of(self, table: TableEntry) -> Figures:
        if table.oid not in self._known:
            self._known[table.oid] = Figures(_WITHOUT_FIGURES)  # ends tables that refer to each other
            self._known[table.oid] = self._of_part(table) if table.parent else self._of_table(table)
        return self._known[table.oid]

    def _of_table(self, table: TableEntry) -> Figures:
        given = self.figures.get(table.name)
        if given is None:
            parents = [self.tables.of(key.references) for key in table.foreign_keys]
            given = Figures(max((self.of(one).rows for one in parents if one), default=_WITHOUT_FIGURES))
        if (periods := self._periods(table, given)) is None:
            return given
        parts = len(self.tables.parts(table))
        return replace(given, rows=round(given.rows * min(1.0, parts / periods)))

    def _of_part(self, part: TableEntry) -> Figures:
        """A partition by time holds the rows of its own days; any other has an equal share."""
        parent = self.tables.of(part.parent)
        if parent is None:
            return Figures(_WITHOUT_FIGURES)
        of_parent = self.of(parent)
        days = _days(part) if of_parent.days else None
        return replace(of_parent, rows=max(1, round(of_parent.rows / len(self.tables.parts(parent)))), days=days)

    def _periods(self, table: TableEntry, given: Figures) -> float | None:
        """How many partitions by time its rows fill, which may be more than stand ready."""
        lengths = [days for part in self.tables.parts(table) if (days := _days(part))]
        return max(1.0, given.days * len(lengths) / sum(lengths)) if lengths and given.days else None


@dataclass(frozen=True, slots=True)
class _Facts:
    """What can be said of the columns of one table."""

    tables: Tables
    table: TableEntry
    size: Figures
    sizes: _Sizes
    frequencies: Frequencies
    now: datetime

    @property
    def _top(self) -> TableEntry:
        return self.tables.top(self.table)

    def column(self, column: ColumnEntry, width: int) -> ColumnStatistics:
        given = dict(self.frequencies.get(f"{self._top.name}.{column.name}", {}))
        nulls = given.pop(None, _null_share(column) if column.nullable else 0.0)
        values = {str(value): share for value, share in given.items() if value is not None}
        distinct = self._distinct(column, values)
        common = self._common(column, values, nulls) if column.builtin and not column.array else ()
        bounds = self._bounds(column) if not common else ()
        order = self._correlation(column, common)
        return ColumnStatistics(column, distinct, nulls, width, order, common, bounds)

    def _distinct(self, column: ColumnEntry, given: Mapping[str, float]) -> float:
        rows = max(1, self.size.rows)
        if self._is_key((column.number,)):
            return -1.0
        for key in self._top.foreign_keys:
            if column.number in key.columns and (parent := self.tables.of(key.references)):
                values = self.sizes.of(parent).rows
                return -1.0 if values >= rows else max(1.0, float(round(_SEEN * values)))
        if labels := self._labels(column):
            return float(max(len(labels), len(given)))
        if column.type == "bool":
            return 2.0
        if within := self._within_key(column):
            return within
        if column.type in {"timestamp", "timestamptz"}:
            return -0.9
        if column.type == "date":
            return float(min(rows, math.ceil(self.size.days or 1_000)))
        if given:
            return float(min(rows, max(10, 2 * len(given))))
        if 0 < column.length <= 3:
            return float(min(rows, 200))
        return float(min(rows, 1_000)) if column.type in _WHOLE else -0.3

    def _within_key(self, column: ColumnEntry) -> float:
        """A further part of a key numbers the rows of what comes before it; 0 if it is none."""
        for index in self.table.indexes:
            if index.unique and column.number in index.keys[1:] and not index.predicate:
                others = [key.references for key in self._top.foreign_keys if key.columns[0] == index.keys[0]]
                parents = [self.sizes.of(one).rows for oid in others if (one := self.tables.of(oid))]
                if parents and column.type in _WHOLE:
                    return float(max(10, min(10_000, 4 * self.size.rows // max(1, parents[0]))))
        return 0.0

    def _is_key(self, columns: tuple[int, ...]) -> bool:
        return any(index.unique and index.keys == columns and not index.predicate for index in self.table.indexes) or (
            any(column.identity for column in self.table.columns if (column.number,) == columns)
        )

    def _labels(self, column: ColumnEntry) -> tuple[str, ...]:
        """The values of an enum, or of a check that lists them."""
        if column.labels:
            return column.labels
        for check in self.table.checks:
            found = _ONE_OF.search(check)
            if found and found.group(1) == column.name:
                return tuple(value.replace("''", "'") for value in _QUOTED.findall(found.group(2)))
        return ()

    def _common(self, column: ColumnEntry, given: Mapping[str, float], nulls: float) -> tuple[tuple[str, float], ...]:
        """Given shares first; known values without one share what is left equally."""
        labels = self._labels(column) or (("t", "f") if column.type == "bool" else ())
        spelled = {_spelled(column, value): share for value, share in given.items()}
        silent = [label for label in labels if label not in spelled]
        left = max(0.0, 1.0 - nulls - sum(spelled.values()))
        shares = {**spelled, **{label: left / len(silent) for label in silent}}
        return tuple(sorted(((value, share) for value, share in shares.items() if share > 0), key=lambda one: -one[1]))

    def _bounds(self, column: ColumnEntry) -> tuple[str, ...]:
        """Moments spread evenly over the days that the table holds."""
        if column.type not in _TIMES or column.array or not column.builtin or not self._arrives(column):
            return ()
        period = period_of(self.table) if self._top.split_columns == (column.number,) else None
        first, last = period or (self.now - timedelta(days=self.size.days or 0), self.now)
        if first >= last:
            return ()
        step = (last - first) / 100
        moments = (first + step * number for number in range(101))
        return tuple(dict.fromkeys(one.strftime("%Y-%m-%d" if column.type == "date" else "%Y-%m-%d %H:%M:%S+00")
                                   for one in moments))  # fmt: skip

    def _arrives(self, column: ColumnEntry) -> bool:
        """Whether rows come in the order of this column."""
        if column.type not in _TIMES or _CHANGES.search(column.name):
            return False
        by_default = any(word in column.default for word in ("now()", "CURRENT_", "clock_timestamp()"))
        return by_default or bool(_ARRIVAL.match(column.name)) or column.number in self._top.split_columns

    def _correlation(self, column: ColumnEntry, common: tuple[tuple[str, float], ...]) -> float:
        """One where rows come in the order of the values; equal values count as ordered, so few values are in part."""
        numbered = column.identity or "nextval(" in column.default or "uuidv7" in column.default
        whole_key = column.type in _WHOLE and self._is_key((column.number,)) and not self._refers(column)
        if numbered or whole_key or self._arrives(column):
            return 1.0
        return sum(share * share for _, share in common)

    def _refers(self, column: ColumnEntry) -> bool:
        return any(column.number in key.columns for key in self._top.foreign_keys)


def _spelled(column: ColumnEntry, value: str) -> str:
    """A value as PostgreSQL writes it out."""
    if column.type == "bool":
        return "t" if value.lower() in {"t", "true", "1"} else "f"
    return value


def _null_share(column: ColumnEntry) -> float:
    return 0.95 if column.type in _TIMES and _RARE_TIMES.match(column.name) else 0.1


def period_of(part: TableEntry) -> tuple[datetime, datetime] | None:
    """The first moment of a partition by time, and that of the next."""
    found = _BOUNDS.search(part.bound)
    try:
        moments = [datetime.fromisoformat(text) for text in found.groups()] if found else []
    except ValueError:
        return None
    aware = [one if one.tzinfo else one.replace(tzinfo=UTC) for one in moments]
    return (aware[0], aware[1]) if aware else None


def _days(part: TableEntry) -> float | None:
    period = period_of(part)
    return (period[1] - period[0]) / timedelta(days=1) if period else None
