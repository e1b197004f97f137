"""Made-up values: SQL literals for a column's type that tell rows and columns apart.

Later columns get later times and larger numbers, because `ends_at > starts_at` is written in that order.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Field", "candidates", "literals", "quoted"]

_STRING = re.compile(r"'((?:[^']|'')*)'")
_NUMBER = re.compile(r"(?<![\w.'-])-?\d+(?:\.\d+)?(?![\w'])")
_PATTERNS = ("ABC", "abc", "123", "A1", "a@example.org", "https://example.org/a", "+491701234567", "2026-01-01")
_LONGEST_TEXT = 200


@dataclass(frozen=True, slots=True)
class Field:
    """A column that has to be given a value.

    Args:
        name: of the column.
        number: its place in the table.
        type: PostgreSQL's own name of the type below all domains: `int8`, `varchar`, `_text`.
        length: in characters, or of a numeric the digits before the point; 0 if there is no limit.
        labels: of an enum.
        nullable: whether it may be NULL.
        hints: literals of its CHECK constraints and partition bounds.
        wanted: literals that the migration itself will ask for.
    """

    name: str
    number: int
    type: str
    length: int = 0
    labels: tuple[str, ...] = ()
    nullable: bool = False
    hints: tuple[str, ...] = ()
    wanted: tuple[str, ...] = ()


def quoted(text: str) -> str:
    """Text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def literals(expression: str) -> tuple[str, ...]:
    """The constants in an expression as the catalogue writes it."""
    found = [text.replace("''", "'") for text in _STRING.findall(expression)]
    return tuple(dict.fromkeys([*found, *_NUMBER.findall(_STRING.sub("", expression))]))


def candidates(field: Field, row: int) -> tuple[str, ...]:
    """SQL literals to try for a column in one row, likeliest first; empty if nothing is known about its type."""
    if field.labels:
        chosen = [*field.labels[row % len(field.labels) :], *field.labels[: row % len(field.labels)]]
        return tuple(map(quoted, chosen))
    if field.type.startswith("_"):
        inner = candidates(Field(field.name, field.number, field.type[1:], field.length), row)
        return (f"ARRAY[{inner[0]}]", "'{}'") if inner else ("'{}'",)
    make = _MAKERS.get(field.type)
    if make is None:
        return ("NULL",) if field.nullable else ()
    tried = [*_near(field, field.wanted, row), make(field, row), *_near(field, field.hints, row)]
    return tuple(dict.fromkeys([*tried, *(["NULL"] if field.nullable else [])]))


def _near(field: Field, hints: tuple[str, ...], row: int) -> list[str]:
    """Values near the constants of constraints."""
    if not hints:
        return []
    if field.type in _NUMBERS:
        numbers = [float(hint) for hint in hints if _NUMBER.fullmatch(hint)]
        near = [value for number in numbers for value in (number + 1, number, number - 1)]
        return [f"{value:g}" if value % 1 else str(int(value)) for value in near]
    turned = hints[row % len(hints) :] + hints[: row % len(hints)]
    if field.type not in _TEXTS:
        return [quoted(hint) for hint in turned]
    words = [hint for hint in turned if not _NUMBER.fullmatch(hint)]
    lengths = [int(hint) for hint in turned if hint.isdecimal() and 0 < int(hint) <= _LONGEST_TEXT]
    return [quoted(text) for text in (*words, *(_sized(field, row, length) for length in lengths), *_PATTERNS)]


def _text(field: Field, row: int) -> str:
    text = f"user{row}@example.org" if "mail" in field.name else f"{field.name} {row} {_mark(field, row)}"
    return quoted(text if not field.length or len(text) <= field.length else _sized(field, row, field.length))


def _sized(field: Field, row: int, length: int) -> str:
    """A text of exactly this many characters, different from row to row as far as they reach."""
    letters = "ABCDEFGHJKLMNPQRSTUVWXYZ"
    if length == 1:
        return letters[(row + field.number) % len(letters)]
    tail = letters[row % len(letters)] + letters[(row // len(letters) + field.number) % len(letters)]
    return tail.rjust(length, letters[field.number % len(letters)])


def _mark(field: Field, row: int) -> str:
    return f"{(row + 1) * 7919 + field.number * 104729:x}"


def _integer(field: Field, row: int) -> str:
    return str(row + 1 + 100 * (field.number % 50))


def _decimal(field: Field, row: int) -> str:
    whole = row + 1 + 100 * field.number
    return f"{whole % 10**field.length if field.length else whole}.25" if field.length != -1 else "0.25"


def _moment(field: Field, row: int) -> str:
    return f"'2026-01-{row % 27 + 1:02d} {field.number % 24:02d}:30:00+00'"


def _date(field: Field, row: int) -> str:
    return f"'2026-{min(field.number, 12):02d}-{row % 27 + 1:02d}'"


def _uuid(field: Field, row: int) -> str:
    return f"'00000000-0000-7000-8000-{field.number:06x}{row + 1:06x}'"


_Maker = Callable[[Field, int], str]
_NUMBERS = {"int2", "int4", "int8", "numeric", "float4", "float8", "money"}
_TEXTS = {"text", "varchar", "bpchar", "citext", "name"}
_MAKERS: dict[str, _Maker] = {
    **dict.fromkeys(("int2", "int4", "int8", "oid", "money"), _integer),
    **dict.fromkeys(("numeric", "float4", "float8"), _decimal),
    **dict.fromkeys(_TEXTS, _text),
    **dict.fromkeys(("timestamp", "timestamptz"), _moment),
    "date": _date,
    "uuid": _uuid,
    "bool": lambda field, row: ("true", "false")[(row + field.number) % 2],
    "time": lambda field, row: f"'{row % 24:02d}:{field.number % 60:02d}:00'",
    "timetz": lambda field, row: f"'{row % 24:02d}:{field.number % 60:02d}:00+00'",
    "interval": lambda field, row: f"'{row + 1} hours {field.number} minutes'",
    "json": lambda field, row: f"""'{{"{field.number}": {row}}}'""",
    "jsonb": lambda field, row: f"""'{{"{field.number}": {row}}}'""",
    "bytea": lambda field, row: f"'\\x{row:04x}{field.number:04x}'",
    "inet": lambda field, row: f"'10.{field.number % 250}.0.{row % 250}'",
    "cidr": lambda field, row: f"'10.{field.number % 250}.{row % 250}.0/24'",
    "macaddr": lambda field, row: f"'08:00:2b:00:{field.number % 250:02x}:{row % 250:02x}'",
    "tsvector": lambda field, row: f"'word{row}'",
    "point": lambda field, row: f"'({row},{field.number})'",
    "xml": lambda field, row: f"'<a>{row}</a>'",
    "hstore": lambda field, row: f"'a=>{row}'",
    "ltree": lambda field, row: f"'a.b{row}'",
    "int4range": lambda field, row: f"'[{10 * row},{10 * row + 5})'",
    "int8range": lambda field, row: f"'[{10 * row},{10 * row + 5})'",
    "numrange": lambda field, row: f"'[{10 * row},{10 * row + 5})'",
    "daterange": lambda field, row: f"'[2026-01-{row % 27 + 1:02d},2026-01-{row % 27 + 2:02d})'",
    "tsrange": lambda field, row: f"'[2026-01-{row % 27 + 1:02d},2026-01-{row % 27 + 2:02d})'",
    "tstzrange": lambda field, row: f"'[2026-01-{row % 27 + 1:02d},2026-01-{row % 27 + 2:02d})'",
    "bit": lambda field, row: f"B'{row % 2 ** max(field.length, 1):0{max(field.length, 1)}b}'"[: field.length + 3],
    "varbit": lambda field, row: f"B'{row:b}'",
}
