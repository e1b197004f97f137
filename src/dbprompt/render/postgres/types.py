"""PostgreSQL's words for logical types, and default values as each type writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol

from dbprompt.render.postgres.base import identifier, literal, wrap_expression
from dbprompt.sections.schema import Column, ColumnType, Default, DefaultKind

__all__ = ["FIRST_WITH_UUIDV7", "UUIDV7_FUNCTION", "column_type", "default_sql", "type_name", "value_literal"]

FIRST_WITH_UUIDV7 = 18
"""The first major with a uuidv7() of its own."""

UUIDV7_FUNCTION = """\
CREATE FUNCTION uuidv7() RETURNS uuid
    LANGUAGE sql VOLATILE PARALLEL SAFE
    AS $$
        SELECT encode(
            set_bit(set_bit(
                overlay(
                    uuid_send(gen_random_uuid())
                    PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
                    FROM 1 FOR 6
                ), 52, 1), 53, 1),
            'hex')::uuid
    $$"""
"""uuidv7() for majors before 18: 48 bits of milliseconds, then random bits (RFC 9562). 18 and later use their own."""

_WORDS: Mapping[ColumnType, str] = {
    ColumnType.DECIMAL: "numeric",
    ColumnType.DOUBLE: "double precision",
    ColumnType.JSON: "jsonb",
    ColumnType.BINARY: "bytea",
}
_INTEGERS = frozenset({ColumnType.SMALLINT, ColumnType.INTEGER, ColumnType.BIGINT})
_NUMBERS = _INTEGERS | {ColumnType.DECIMAL, ColumnType.REAL, ColumnType.DOUBLE}
_INTEGER = re.compile(r"[+-]?[0-9]{1,40}\Z")
_NUMBER = re.compile(r"[+-]?[0-9]{1,200}(\.[0-9]{1,200})?([eE][+-]?[0-9]{1,4})?\Z")
_BOOLEAN = {"true": "true", "false": "false"}


class _Typed(Protocol):
    """A column or a parameter."""

    @property
    def type(self) -> ColumnType: ...
    @property
    def enum(self) -> str | None: ...
    @property
    def array(self) -> bool: ...


def type_name(typed: _Typed) -> str:
    """The type without length or precision, as a parameter has it.

    >>> from dbprompt.sections.queries import Parameter
    >>> type_name(Parameter(name="ids", type=ColumnType.BIGINT, array=True))
    'bigint[]'
    """
    word = identifier(typed.enum) if typed.enum else _WORDS.get(typed.type, str(typed.type))
    return word + "[]" * typed.array


def column_type(column: Column) -> str:
    """The type of a column.

    >>> column_type(Column(name="total", type=ColumnType.DECIMAL, precision=12, scale=2))
    'numeric(12,2)'
    """
    word = type_name(column).removesuffix("[]")
    if column.length is not None:
        word += f"({column.length})"
    elif column.precision is not None:
        word += f"({column.precision})" if column.scale is None else f"({column.precision},{column.scale})"
    return word + "[]" * column.array


def value_literal(column: Column, value: str) -> str:
    """A value as the column's type writes it: a bare number or boolean if it is one, anything else quoted.

    A value that does not fit its type is quoted too: the engine refuses it, and it can never be more than a value.

    >>> value_literal(Column(name="stock", type=ColumnType.INTEGER), "0; DROP TABLE x")
    "'0; DROP TABLE x'"
    """
    bare = value.strip()
    if column.array:
        return literal(value)
    if column.type in _INTEGERS and _INTEGER.match(bare):
        return bare
    if column.type in _NUMBERS and _NUMBER.match(bare):
        return bare
    if column.type is ColumnType.BOOLEAN and bare.lower() in _BOOLEAN:
        return _BOOLEAN[bare.lower()]
    return literal(value)


def default_sql(column: Column, default: Default) -> str:
    """What stands behind DEFAULT.

    Raises:
        UnsafeSqlError: an expression could leave its parentheses.
    """
    match default.kind:
        case DefaultKind.LITERAL:
            return value_literal(column, default.value or "")
        case DefaultKind.EXPRESSION:
            return wrap_expression(default.value or "")
        case DefaultKind.NOW:
            # In a column without a zone the session's zone would decide; UTC is what the design rules ask for there.
            return "(now() AT TIME ZONE 'UTC')" if column.type is ColumnType.TIMESTAMP else "now()"
        case DefaultKind.TODAY:
            return "CURRENT_DATE"
        case DefaultKind.RANDOM_UUID:
            return "gen_random_uuid()"
        case DefaultKind.TIME_ORDERED_UUID:
            return "uuidv7()"
        case DefaultKind.EMPTY_OBJECT:
            return "''" if column.type is ColumnType.HSTORE else "'{}'"
        case DefaultKind.EMPTY_ARRAY:
            return "'{}'" if column.array else "'[]'"
