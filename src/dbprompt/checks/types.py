"""Columns have the types that their values need.

Poor: `price double`, `created_at timestamp`, `id integer` on a table that gets 3e9 rows, `id uuid` with a random
default on the busiest table, `tags text` holding `a,b,c`, `order_data json` holding what queries filter by.
Better: `price decimal(12,2)` (or a bigint of minor units), `created_at timestamptz`, `id bigint` with identity, a
time-ordered uuid, a table of tags, columns for what is queried.

Why: binary floats cannot hold 0.10, so sums drift; a timestamp without zone means another moment in each session; int4
ends at 2,147,483,647; random keys land all over a B-tree (1M rows: bigint 22 MB, v4 40 MB, v7 32 MB;
facts/mistakes_and_rules.md 5 to 9, 21, 22; wiki.postgresql.org/wiki/Don't_Do_This).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from dbprompt.brief import AttributeRole, Entity
from dbprompt.checks.base_design import advice, error, judged, rules, warning
from dbprompt.checks.base_matching import entity_of, rows_3y, typed_columns
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Finding, Report
from dbprompt.sections.schema import Column, ColumnType, DefaultKind, Schema, Table

__all__ = ["types"]

_FLOATS = {ColumnType.REAL, ColumnType.DOUBLE}
_TEXTS = {ColumnType.TEXT, ColumnType.VARCHAR, ColumnType.CHAR, ColumnType.CITEXT}
_MONEY = re.compile(r"(^|_)(price|balance|cost|fee|salary|wage|revenue|payment|refund|payout)s?$")
_PERHAPS_MONEY = re.compile(r"(^|_)(amount|total|subtotal|tax|discount)s?$")
_LIST = re.compile(r"(^|_)(tags|ids|emails|phones|categories|roles|keywords|labels|items|list)$|_(list|csv)$")
_MINOR = re.compile(
    r"(^|[^a-z])(cents?|minor|pennies|pence|kopecks?|satoshis?|micros?|millis?)([^a-z]|$)", re.IGNORECASE
)
_WHOLE = re.compile(r"\b(whole|yen|jpy|won|krw)\b", re.IGNORECASE)
_LIMITS = {ColumnType.SMALLINT: 2**15 - 1, ColumnType.INTEGER: 2**31 - 1}
_SMALL_TABLE = 100_000
_LARGE_TABLE = 10_000_000
_HOT_PER_S = 100
_NARROW = 6
_WIDE = 30
_MANY = 3


@dataclass(frozen=True, slots=True)
class _Place:
    """A column with its table, its place and what the brief knows of it."""

    column: Column
    table: Table
    where: str
    roles: frozenset[AttributeRole]

    @property
    def called(self) -> str:
        return f"{self.table.name}.{self.column.name}"


def types(subject: Subject) -> Report:
    """Types of the columns of the section `schema`."""
    schema = subject.design.schema
    if subject.section != "schema" or schema is None:
        return Report()
    return judged(subject, _findings(subject, schema), checker=rules("type"), uncovered="whether every value fits")


def _findings(subject: Subject, schema: Schema) -> Iterator[Finding]:
    for number, table in enumerate(schema.tables):
        where = f"/tables/{number}"
        for at, column, roles in typed_columns(subject.brief, table):
            place = _Place(column, table, f"{where}/columns/{at}", roles)
            yield from _money(place)
            yield from _money_digits(place)
            yield from _moment(place)
            yield from _text(place)
            yield from _json(subject, place)
            yield from _key(subject, place)
        if len(table.columns) > _WIDE:
            message = f"{table.name} has {len(table.columns)} columns; see whether some belong to a table of their own"
            yield advice("types.wide_table", f"{where}/columns", message)
    yield from _same_length(schema)


def _money(place: _Place) -> Iterator[Finding]:
    if place.column.type not in _FLOATS:
        return
    exact = f"use decimal with a precision and scale, or bigint minor units, for {place.called}"
    if AttributeRole.MONEY in place.roles:
        message = f"{place.called} holds money as {place.column.type}, which cannot hold 0.10 exactly; {exact}"
        yield error("types.float_money", place.where, message)
        return
    name = place.column.name
    if not place.roles and (_MONEY.search(name) or _PERHAPS_MONEY.search(name)):
        found = error if _MONEY.search(name) else warning
        message = f"{place.called} looks like money and is {place.column.type}, which cannot hold 0.10 exactly; {exact}"
        yield found("types.float_money", place.where, message)


def _money_digits(place: _Place) -> Iterator[Finding]:
    """Exact money still needs room for its digits, or a word on what one unit is."""
    column = place.column
    if AttributeRole.MONEY not in place.roles:
        return
    says_minor = any(_MINOR.search(text) for text in (column.name, column.comment))
    if column.type is ColumnType.DECIMAL and column.precision is not None:
        scale = column.scale or 0
        without_cents = scale == 0 and not says_minor and not _WHOLE.search(column.comment)
        if column.precision < _NARROW or without_cents:
            message = (
                f"{place.called} holds money as decimal({column.precision},{scale}), which has no room for "
                f"{'cents' if without_cents else 'larger amounts'}; use decimal(12,2) or what the currency needs"
            )
            yield warning("types.narrow_money", place.where, message)
    elif column.type in {*_LIMITS, ColumnType.BIGINT} and not says_minor and not _WHOLE.search(column.comment):
        message = (
            f"{place.called} holds money as {column.type} and does not say of which unit; write cents or minor units "
            "into its name or comment, or use decimal(12,2)"
        )
        yield advice("types.unitless_money", place.where, message)


def _moment(place: _Place) -> Iterator[Finding]:
    column = place.column
    if column.type is ColumnType.TIMESTAMP:
        says_utc = re.search(r"\butc\b", column.comment, re.IGNORECASE)
        is_moment = AttributeRole.TIMESTAMP in place.roles or column.name.endswith("_at")
        if is_moment and not says_utc:
            message = (
                f"{place.called} is timestamp without a zone, so it means another moment in each session's zone; use "
                "timestamptz, or say in the comment that it is UTC"
            )
            yield error("types.zoneless_timestamp", place.where, message)
    elif AttributeRole.TIMESTAMP in place.roles and column.type in {*_TEXTS, ColumnType.INTEGER, ColumnType.BIGINT}:
        message = (
            f"{place.called} holds a moment as {column.type}; use timestamptz, so that it sorts, compares and adds"
        )
        found = error if column.type in _TEXTS else warning
        yield found("types.moment_as_other", place.where, message)


def _text(place: _Place) -> Iterator[Finding]:
    column = place.column
    if column.type is ColumnType.CHAR:
        message = (
            f"{place.called} is char({column.length}), which pads with blanks; use text or varchar, with a check for "
            "the length"
        )
        yield advice("types.char", place.where, message)
    if column.type in _TEXTS and not column.array and _LIST.search(column.name):
        message = (
            f"{place.called} looks like a list inside a text, which cannot be joined, indexed or kept unique; use a "
            "table "
            "with one row for each, or an array if it is never queried"
        )
        yield warning("types.list_in_text", place.where, message)
    if column.type in _TEXTS and AttributeRole.QUANTITY in place.roles:
        message = (
            f"{place.called} counts something as {column.type}, so '10' sorts before '9'; use an integer or decimal"
        )
        yield error("types.number_as_text", place.where, message)
    if column.type in _TEXTS and AttributeRole.MONEY in place.roles:
        message = f"{place.called} holds money as {column.type}; use decimal, or bigint minor units"
        yield error("types.number_as_text", place.where, message)


_STRUCTURED = {AttributeRole.JSON, AttributeRole.GEO, AttributeRole.TEXT, AttributeRole.PHI, AttributeRole.MEASURE}


def _json(subject: Subject, place: _Place) -> Iterator[Finding]:
    if place.column.type is not ColumnType.JSON or not place.roles or place.roles & _STRUCTURED:
        return
    role = min(place.roles)
    message = f"{place.called} is json, and the brief's attribute is one plain value ({role}); use a column of its type"
    yield warning("types.json_for_value", place.where, message)


def _key(subject: Subject, place: _Place) -> Iterator[Finding]:
    column, table = place.column, place.table
    if table.primary_key != (column.name,):
        return
    rows = rows_3y(subject, table)
    limit = _LIMITS.get(column.type)
    if limit is not None and rows is not None and rows > limit // 2:
        message = (
            f"{place.called} is {column.type}, which ends at {limit:,}, and the brief gives {table.name} {rows:,} "
            "rows in "
            "three years; use bigint, here and in every column that refers to it"
        )
        yield error("types.key_overflow", place.where, message)
    elif limit is not None and AttributeRole.STATUS not in place.roles and _may_grow(column.type, rows):
        more = "six" if column.type is ColumnType.SMALLINT else "four"
        message = f"{place.called} is {column.type}; bigint costs {more} bytes more and never has to be migrated"
        yield warning("types.int4_key", place.where, message)
    if column.default is not None and column.default.kind is DefaultKind.RANDOM_UUID:
        per_s = _per_s(subject, entity_of(subject.brief, table))
        if per_s >= _HOT_PER_S or (rows or 0) >= _LARGE_TABLE:
            message = (
                f"{place.called} is a random uuid on a large or busy table ({rows or 0:,} rows in three years, "
                f"{per_s:g} "
                "queries/s), so inserts land all over its index; use default kind time_ordered_uuid, or bigint identity"
            )
            yield warning("types.random_uuid_key", place.where, message)


def _may_grow(kind: ColumnType, rows: int | None) -> bool:
    """Whether a table may outgrow its key; one that nobody counted and whose key is smallint was meant to be small."""
    return rows > _SMALL_TABLE if rows is not None else kind is not ColumnType.SMALLINT


def _per_s(subject: Subject, entity: Entity | None) -> float:
    """How often the brief's queries touch an entity."""
    if subject.brief is None or entity is None:
        return 0
    brief = subject.brief
    return sum(query.per_s or 0 for query in brief.queries if brief.entity(query.entity) == entity)


def _same_length(schema: Schema) -> Iterator[Finding]:
    """varchar(255) again and again says that nobody thought about it."""
    lengths = [
        column.length for table in schema.tables for column in table.columns if column.type is ColumnType.VARCHAR
    ]
    if lengths.count(255) >= _MANY:
        message = (
            f"{lengths.count(255)} columns are varchar(255); in PostgreSQL the number saves nothing: use text, and a "
            "length only where the business has one"
        )
        yield advice("types.varchar_255", "/tables", message)
