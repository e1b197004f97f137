"""The rows of a database, cell by cell, and what a migration did to them.

Tables and columns are known by their numbers in the catalogue, which a rename or a change of type does not touch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dbprompt.checks.base_migration import Loss, Lost
from dbprompt.engines.postgres.sandbox import PostgresSandbox

__all__ = ["Contents", "TableRows", "losses", "read", "same"]

_MOST_ROWS = 500
_TELLING = 3
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
    rows = sandbox.rows(f"SELECT pg_column_size(t.*), {cells} FROM {only}{sql} t LIMIT {_MOST_ROWS}")  # noqa: S608
    widths = [int(row[0] or 0) for row in rows]
    numbers = tuple(int(number) for number in (key or "{}").strip("{}").split(",") if number)
    values = tuple(sorted(tuple(str(cell) for cell in row[1:]) for row in rows))
    return TableRows(name, columns, numbers, values, sum(widths) / len(widths) + 4 if widths else 100.0)


def losses(before: Contents, after: Contents) -> tuple[Loss, ...]:
    """What is gone or other than before."""
    return tuple(loss for number, table in before.items() for loss in _of_table(number, table, before, after))


def same(one: Contents, other: Contents) -> tuple[str, ...]:
    """Names of tables whose rows differ."""
    first = {table.name: table.rows for table in one.values()}
    second = {table.name: table.rows for table in other.values()}
    return tuple(sorted(name for name in {**first, **second} if first.get(name) != second.get(name)))


def _of_table(number: int, was: TableRows, before: Contents, after: Contents) -> Iterator[Loss]:
    now = after.get(number) or next((table for table in after.values() if table.name == was.name), None)
    if now is None:
        columns = [_home(was.values(at), before, after) for at in range(len(was.columns))]
        kept = [home for home in columns if home]
        lives_on = ", ".join(dict.fromkeys(kept)) if kept and all(columns) else ""
        if was.rows:
            yield Loss(Lost.TABLE, was.name, count=len(was.rows), lives_on=lives_on)
        return
    if len(now.rows) < len(was.rows):
        yield Loss(Lost.ROWS, was.name, count=len(was.rows) - len(now.rows))
    for at, (column, name, type_) in enumerate(was.columns):
        place = now.column(column, name)
        filled = [value for value in was.values(at) if value != "NULL"]
        if place is None:
            if filled:
                yield Loss(Lost.COLUMN, was.name, name, len(filled), _home(was.values(at), before, after))
        elif len(now.rows) >= len(was.rows):
            other = _other(was, now, at, place, cast=now.columns[place][2] != type_)
            if other:
                yield Loss(Lost.VALUES, was.name, name, len(other), blank=other.count("NULL"))


def _other(was: TableRows, now: TableRows, at: int, place: int, *, cast: bool) -> list[str]:
    """The values that are not what they were: row by row if the key is still there, else as a whole."""
    if not cast and was.rows == now.rows:
        return []
    old, new = _by_key(was, was, at), _by_key(was, now, place)
    if old is None or new is None:
        return list((Counter(map(_plain, was.values(at))) - Counter(map(_plain, now.values(place)))).elements())
    return [value for key, value in old.items() if key in new and _plain(new[key]) != _plain(value)]


def _by_key(was: TableRows, table: TableRows, at: int) -> dict[tuple[str, ...], str] | None:
    """Values by primary key; None if there is no key to go by."""
    names = {number: name for number, name, _ in was.columns}
    places = [table.column(number, names[number]) for number in was.key if number in names]
    known = [place for place in places if place is not None]
    if not known or len(known) < len(was.key):
        return None
    return {tuple(row[place] for place in known): row[at] for row in table.rows}


def _plain(literal: str) -> str:
    """A value without the marks of its type: `'1.50'` and `1.5000` are the same number."""
    text = literal.strip("'")
    try:
        return f"{float(text):.12g}"
    except ValueError:
        return text.strip()


def _home(values: tuple[str, ...], before: Contents, after: Contents) -> str:
    """The new column in which every one of these values was found again, alone or as a part; empty if there is none.

    Values that are too few or too short to be recognised are found nowhere.
    """
    wanted = {value.strip("'") for value in values if value != "NULL"}
    if len(wanted) < 2:
        return ""
    telling = all(len(value) >= _TELLING for value in wanted)
    for number, table in after.items():
        known = {column for column, _, _ in before[number].columns} if number in before else set()
        for at, (column, name, _) in enumerate(table.columns):
            cells = {cell.strip("'") for cell in table.values(at)} - {"NULL"}
            if column not in known and (
                wanted <= cells or (telling and all(_within(value, cells) for value in wanted))
            ):
                return f"{table.name}.{name}"
    return ""


def _within(value: str, cells: set[str]) -> bool:
    return any(value in cell for cell in cells)
