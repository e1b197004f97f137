"""Makes an empty database look to the planner as if it held its rows: statistics in the catalogues, sparse files.

The planner scales a table's rows by the length of its file, so statistics alone would say one row. A sparse file has
the length and takes no room. Nothing may build an index or read a table afterwards.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from dbprompt.engines.postgres.account import Account
from dbprompt.engines.postgres.sizes import PAGE, ColumnStatistics, TableStatistics, index_pages
from dbprompt.engines.postgres.tables import Ask

__all__ = ["LARGEST", "SegmentedFiles", "relation_figures", "write_statistics"]

_SEGMENT = 1 << 30
LARGEST = 4096 * (_SEGMENT // PAGE)
"""Pages beyond which a file is not made longer (4 TiB): the rows stay right, the pages to read are too few."""

_FIRST_WITH_RESTORE = 18
_AT_ONCE = 100


class SegmentedFiles:
    """Makes files of a data directory as long as the planner is to believe they are."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._account = Account.choose()

    def stretch(self, file: str, pages: int) -> bool:
        """Sets the length of a relation; whether it was longer before, which an open connection does not notice."""
        length = min(pages, LARGEST) * PAGE
        path = self._data / file
        before = self._length(path)
        full, rest = divmod(length, _SEGMENT)
        for number in range(full + 1):
            self._set(path.with_name(f"{path.name}.{number}") if number else path, _SEGMENT if number < full else rest)
        for number in range(full + 1, before // _SEGMENT + 1):
            self._set(path.with_name(f"{path.name}.{number}"), 0)
        return before > length

    def _length(self, path: Path) -> int:
        total, number, segment = 0, 0, path
        while segment.exists():
            total += segment.stat().st_size
            number += 1
            segment = path.with_name(f"{path.name}.{number}")
        return total

    def _set(self, path: Path, length: int) -> None:
        if not path.exists():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            self._account.take(path)
        os.truncate(path, length)


def relation_figures(
    tables: Iterable[TableStatistics], shares: Mapping[int, float]
) -> Iterator[tuple[str, str, int, str, int, float]]:
    """Each table and index as (schema, name, oid, file, pages, rows). `shares` has those of partial indexes by oid."""
    for one in tables:
        table = one.table
        yield table.schema, table.relation, table.oid, table.file, one.pages, one.rows
        for index in table.indexes:
            if index.file:
                share = shares.get(index.oid, 1.0)
                pages = index_pages(index, one, share)
                yield table.schema, index.name, index.oid, index.file, pages, max(1.0, one.rows * share)


def write_statistics(
    ask: Ask,
    tables: Sequence[TableStatistics],
    relations: Sequence[tuple[str, str, int, str, int, float]],
    *,
    major: int,
) -> None:
    """Puts the statistics into the catalogues: by PostgreSQL's own functions where it has them.

    Values go in only for types whose input is PostgreSQL's own code, since this runs as superuser.
    """
    heaps = {one.table.oid for one in tables}
    if major >= _FIRST_WITH_RESTORE:
        calls = [_restore_relation(relation, heap=relation[2] in heaps) for relation in relations]
        calls += [_restore_column(one, column) for one in tables for column in one.columns]
        for some in _batches(calls):
            ask(f"SELECT bool_and(done) FROM (VALUES {', '.join(f'({call})' for call in some)}) AS calls(done)")
        return
    values = ", ".join(
        f"({oid}::oid, {min(pages, LARGEST)}, {rows:.9g}::real, {min(pages, LARGEST) if oid in heaps else 0})"
        for _, _, oid, _, pages, rows in relations
    )
    ask(
        "UPDATE pg_class SET relpages = v.pages, reltuples = v.tuples, relallvisible = v.visible "
        f"FROM (VALUES {values}) AS v(oid, pages, tuples, visible) WHERE pg_class.oid = v.oid"
    )
    ask(f"DELETE FROM pg_statistic WHERE starelid IN ({', '.join(map(str, heaps))})")
    for one in tables:
        for column in one.columns:
            ask(f"INSERT INTO pg_statistic {_statistic_row(one, column)}")


def _batches(items: Sequence[str]) -> Iterator[list[str]]:
    left = iter(items)
    while some := list(islice(left, _AT_ONCE)):
        yield some


def _restore_relation(relation: tuple[str, str, int, str, int, float], *, heap: bool) -> str:
    schema, name, _, _, pages, rows = relation
    shown = min(pages, LARGEST)
    seen = f", 'relallvisible', {shown}::integer" if heap else ""
    return (
        f"pg_restore_relation_stats('schemaname', {_text(schema)}, 'relname', {_text(name)}, "
        f"'relpages', {shown}::integer, 'reltuples', {rows:.9g}::real{seen})"
    )


def _restore_column(one: TableStatistics, column: ColumnStatistics) -> str:
    common = (
        f", 'most_common_vals', {_array(value for value, _ in column.common)}::text, "
        f"'most_common_freqs', {_numbers(share for _, share in column.common)}"
        if column.common
        else ""
    )
    bounds = f", 'histogram_bounds', {_array(column.bounds)}::text" if column.bounds else ""
    order = f", 'correlation', {column.correlation:.6g}::real" if _is_ordered(column) else ""
    return (
        f"pg_restore_attribute_stats('schemaname', {_text(one.table.schema)}, 'relname', {_text(one.table.relation)}, "
        f"'attname', {_text(column.column.name)}, 'inherited', {_inherited(one)}, "
        f"'null_frac', {column.null_fraction:.6g}::real, 'avg_width', {column.width}::integer, "
        f"'n_distinct', {column.distinct:.9g}::real{common}{bounds}{order})"
    )


def _inherited(one: TableStatistics) -> str:
    """A partitioned table has statistics of all its partitions together, any other has its own."""
    return str(one.table.kind == "partitioned").lower()


def _is_ordered(column: ColumnStatistics) -> bool:
    """Whether the order of the values means anything: of a type that sorts, and that is read by our server's code."""
    return column.column.builtin and not column.column.array and column.column.type not in {"json", "point", "xml"}


_OPERATOR = (
    "(SELECT o.amopopr FROM pg_amop o JOIN pg_opclass c ON c.opcfamily = o.amopfamily AND c.opcdefault "
    "JOIN pg_am m ON m.oid = c.opcmethod AND m.amname = 'btree' WHERE o.amopstrategy = {strategy} "
    "AND o.amoplefttype = c.opcintype AND o.amoprighttype = c.opcintype "
    "AND c.opcintype = CASE WHEN t.typtype = 'e' THEN 'anyenum'::regtype WHEN t.typname = 'varchar' "
    "THEN 'text'::regtype WHEN t.typname = 'cidr' THEN 'inet'::regtype ELSE t.oid END)"
)
_EQUAL, _LESS = _OPERATOR.format(strategy=3), _OPERATOR.format(strategy=1)


def _statistic_row(one: TableStatistics, column: ColumnStatistics) -> str:
    """One row of pg_statistic, as a SELECT: kinds 1, 2 and 3 are common values, histogram and correlation."""
    slots: list[tuple[int, str, str, str]] = []
    if column.common:
        values = f"array_in({_array(value for value, _ in column.common)}, t.oid, a.atttypmod)"
        slots.append((1, _EQUAL, _numbers(share for _, share in column.common), values))
    if column.bounds:
        slots.append((2, _LESS, "NULL::real[]", f"array_in({_array(column.bounds)}, t.oid, a.atttypmod)"))
    if _is_ordered(column):
        slots.append((3, _LESS, _numbers([column.correlation]), "NULL"))
    slots += [(0, "0", "NULL::real[]", "NULL")] * (5 - len(slots))
    parts = [
        "a.attrelid", "a.attnum", _inherited(one), f"{column.null_fraction:.6g}::real", f"{column.width}",
        f"{column.distinct:.9g}::real", *(str(kind) for kind, *_ in slots),
        *(f"coalesce({operator}, 0)::oid" for _, operator, _, _ in slots),
        *(("a.attcollation" if kind else "0::oid") for kind, *_ in slots),
        *(numbers for *_, numbers, _ in slots), *(values for *_, values in slots),
    ]  # fmt: skip
    return (
        f"SELECT {', '.join(parts)} FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid "
        f"WHERE a.attrelid = {one.table.oid} AND a.attnum = {column.column.number}"
    )


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _array(values: Iterable[str]) -> str:
    inside = ",".join('"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for value in values)
    return _text("{" + inside + "}")


def _numbers(values: Iterable[float]) -> str:
    return "'{" + ",".join(f"{value:.6g}" for value in values) + "}'::real[]"
