"""What a migration did to the rows of a database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from dbprompt.checks.base_migration import Loss, Lost
from dbprompt.engines.postgres.contents import Contents, TableRows

__all__ = ["losses"]

_TELLING = 3


def losses(before: Contents, after: Contents) -> tuple[Loss, ...]:
    """What is gone or other than before."""
    return tuple(loss for number, table in before.items() for loss in _of_table(number, table, before, after))


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
