"""The rows of a database, cell by cell, so that two of them can be compared.

Tables and columns are known by their numbers in the catalogue, which a rename or a change of type does not touch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dbprompt.engines.postgres.sandbox import PostgresSandbox

__all__ = ["Contents", "TableRows", "read", "same"]

_MOST_ROWS = 500
_TABLES = """
SELECT c.oid, CASE WHEN n.nspname = 'public' THEN '' ELSE n.nspname || '.' END || c.relname,
       quote_ident(n.nspname) || '.' || quote_ident(c.relname), c.relkind,
       string_agg(a.attnum || chr(31) || a.attname || chr(31) || format_type(a.atttypid, a.atttypmod), chr(30)
                  ORDER BY a.attnum),
       (SELECT k.conkey::text FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'p')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.oid >= 16384
  AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
GROUP BY c.oid, n.nspname, c.relname, c.relkind
"""


@dataclass(frozen=True, slots=True)
class TableRows:
    """One table and its rows.

    Args:
        name: without its schema if that is `public`.
        columns: number, name and type of each.
        key: numbers of the primary key's columns.
        rows: values as SQL literals, in the order of `columns`.
        width: bytes a row.
    """

    name: str
    columns: tuple[tuple[int, str, str], ...]
    key: tuple[int, ...]
    rows: tuple[tuple[str, ...], ...]
    width: float

    def column(self, number: int, name: str) -> int | None:
        """Place of a column: by its number, else by its name."""
        for at, (known, _, _) in enumerate(self.columns):
            if known == number:
                return at
        return next((at for at, (_, known, _) in enumerate(self.columns) if known == name), None)

    def values(self, at: int) -> tuple[str, ...]:
        """All values at one place."""
        return tuple(row[at] for row in self.rows)


Contents = Mapping[int, TableRows]


def read(sandbox: PostgresSandbox) -> Contents:
    """All rows of all tables, up to a few hundred each.

    A superuser reads, so row security hides nothing. Only output functions of built-in types run: no cast, no view.
    """
    found: dict[int, TableRows] = {}
    for oid, name, sql, kind, described, key in sandbox.rows(_TABLES):
        parts = [tuple(one.split("\x1f")) for one in str(described).split("\x1e")]
        columns = tuple((int(number), column, type_) for number, column, type_ in parts)
        found[int(oid or 0)] = _table(sandbox, str(name), str(sql), str(kind), columns, key)
    return found


def _table(
    sandbox: PostgresSandbox, name: str, sql: str, kind: str, columns: tuple[tuple[int, str, str], ...], key: str | None
) -> TableRows:
    cells = ", ".join(f"""format('%L', t."{column.replace('"', '""')}")""" for _, column, _ in columns)
    only = "ONLY " if kind == "r" else ""
    rows = sandbox.rows(f"SELECT pg_column_size(t.*), {cells} FROM {only}{sql} t LIMIT {_MOST_ROWS}")
    widths = [int(row[0] or 0) for row in rows]
    numbers = tuple(int(number) for number in (key or "{}").strip("{}").split(",") if number)
    values = tuple(sorted(tuple(str(cell) for cell in row[1:]) for row in rows))
    return TableRows(name, columns, numbers, values, sum(widths) / len(widths) + 4 if widths else 100.0)


def same(one: Contents, other: Contents) -> tuple[str, ...]:
    """Names of tables whose rows differ."""
    first = {table.name: table.rows for table in one.values()}
    second = {table.name: table.rows for table in other.values()}
    return tuple(sorted(name for name in {**first, **second} if first.get(name) != second.get(name)))
