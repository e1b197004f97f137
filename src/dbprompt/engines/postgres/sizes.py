"""How much room rows and index entries take: the widths of columns, the pages of tables and indexes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from dbprompt.engines.postgres.tables import ColumnEntry, IndexEntry, TableEntry

__all__ = ["PAGE", "ColumnStatistics", "Figures", "TableStatistics", "column_widths", "heap_pages", "index_pages"]

PAGE = 8192

_PAGE_ROOM = PAGE - 24
_ROW_HEADER = 28  # 24 bytes and a line pointer
_TOASTED = 2000  # longer rows keep their long values elsewhere
_ENTRY_HEADER = 12
_FILLED_AT_THE_END, _FILLED_ANYWHERE, _FILLED_WITH_ONE = 0.9, 0.7, 0.96  # of an index page, by where new keys go
_WHOLE_PAGES = 10_000  # rows of one value that fill pages of their own
_ROW_POINTER = 6
_LONGEST_LIST = 130.0
_NOT_ALIKE = {"numeric", "float4", "float8", "jsonb"}  # equal values of these may look different: never written once
_MOST_PAGES = 2**32 - 2
_WIDTHS = {
    "bool": 1, "int2": 2, "int4": 4, "int8": 8, "float4": 4, "float8": 8, "date": 4, "time": 8, "timestamp": 8,
    "timestamptz": 8, "interval": 16, "uuid": 16, "inet": 7, "cidr": 7, "macaddr": 6, "numeric": 8, "point": 16,
}  # fmt: skip
_VARIABLE = {"jsonb": 200, "json": 200, "bytea": 200, "tsvector": 300, "vector": 1500}


@dataclass(frozen=True, slots=True)
class Figures:
    """What is known of a table's volume.

    Args:
        rows: how many.
        row_bytes: average raw bytes of a row, None to add up the widths of its columns.
        days: how many days of rows it holds, None if nobody knows.
    """

    rows: int
    row_bytes: int | None = None
    days: float | None = None


@dataclass(frozen=True, slots=True)
class ColumnStatistics:
    """What the planner believes of a column.

    Args:
        distinct: number of values, or minus their share of the rows, as PostgreSQL has it.
        null_fraction: share of rows without a value.
        width: average bytes.
        correlation: how far the values follow the order of the rows.
        common: the most common values, as text, with their shares.
        bounds: values that cut the rest into equal parts, as text.
    """

    column: ColumnEntry
    distinct: float
    null_fraction: float
    width: int
    correlation: float
    common: tuple[tuple[str, float], ...] = ()
    bounds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TableStatistics:
    """What the planner believes of a table.

    Args:
        pages: of 8 kB; 0 for a partitioned table, whose rows lie in its partitions.
        assumed: whether nobody gave a figure for its rows.
    """

    table: TableEntry
    rows: int
    pages: int
    columns: tuple[ColumnStatistics, ...]
    assumed: bool = False


def index_pages(index: IndexEntry, of: TableStatistics, share: float = 1.0) -> int:
    """How many pages an index takes whose predicate holds for a share of the rows."""
    widths = {column.column.number: column.width for column in of.columns}
    data = sum(widths.get(number, 16) for number in (*index.keys, *index.include))
    rows = of.rows * share
    match index.method:
        case "brin":
            return max(3, math.ceil(of.pages / 128 * (_ENTRY_HEADER + 2 * data) / _PAGE_ROOM))
        case "gin":
            return max(2, math.ceil(rows * max(8, data / 2) / _PAGE_ROOM))
        case "hash":
            data = 8
        case "gist" | "spgist":
            data *= 2
    entry = _ENTRY_HEADER + 8 * math.ceil(data / 8)
    room = _btree_room(index, of, entry) if index.method == "btree" else entry / _FILLED_AT_THE_END
    return min(_MOST_PAGES, 1 + math.ceil(rows * room / _PAGE_ROOM))


def _btree_room(index: IndexEntry, of: TableStatistics, entry: int) -> float:
    """What an entry takes of a page: equal keys are written once, with six bytes for each row; pages are not full."""
    columns = [column for column in of.columns if column.column.number in index.keys]
    filled = _FILLED_AT_THE_END if columns and columns[0].correlation == 1.0 else _FILLED_ANYWHERE
    if index.unique or index.include or 0 in index.keys or any(one.column.type in _NOT_ALIKE for one in columns):
        return entry / filled
    values = math.prod(one.distinct if one.distinct > 0 else -one.distinct * of.rows for one in columns)
    alike = of.rows / max(1.0, values)
    if alike > _WHOLE_PAGES:
        filled = _FILLED_WITH_ONE
    return (entry if alike < 2 else _ROW_POINTER + entry / min(alike, _LONGEST_LIST)) / filled


def column_widths(table: TableEntry, row_bytes: int | None) -> dict[int, int]:
    """The width of each column; what a row has beyond the fixed ones lies in those of variable length."""
    fixed = {column.number: _fixed(column) for column in table.columns}
    variable = {column.number: _variable(column) for column in table.columns if not fixed[column.number]}
    if row_bytes is not None and variable:
        room = max(len(variable), row_bytes - sum(fixed.values()))
        scale = room / sum(variable.values())
        variable = {number: max(1, round(width * scale)) for number, width in variable.items()}
    return {**fixed, **variable}


def _fixed(column: ColumnEntry) -> int:
    return 4 if column.labels and not column.array else 0 if column.array else _WIDTHS.get(column.type, 0)


def _variable(column: ColumnEntry) -> int:
    return min(32, max(1, column.length)) if column.length else _VARIABLE.get(column.type, 32)


def heap_pages(rows: int, widths: Mapping[int, int]) -> int:
    """How many pages the rows of a table take; values beyond two kilobytes a row are kept elsewhere."""
    row = _ROW_HEADER + 8 * math.ceil(min(_TOASTED, sum(widths.values())) / 8)
    return min(_MOST_PAGES, max(1, math.ceil(rows / max(1, _PAGE_ROOM // row))))
