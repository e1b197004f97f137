"""Tables, columns, keys and constraints as typed data; the DDL is written by `dbprompt.render` from it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from dbprompt.sections.base import Identifier, Part, Section, SqlExpression, Words, asked

__all__ = [
    "Check",
    "Column",
    "ColumnType",
    "Default",
    "DefaultKind",
    "Denormalized",
    "EnumType",
    "Exclusion",
    "ExclusionElement",
    "ForeignKey",
    "FunctionalDependency",
    "Partitioning",
    "Schema",
    "Table",
    "Unique",
]


class ColumnType(StrEnum):
    """A logical type. Each dialect has its own word for it; constraints are never part of a type."""

    SMALLINT = "smallint"
    INTEGER = "integer"
    BIGINT = "bigint"
    DECIMAL = "decimal"
    REAL = "real"
    DOUBLE = "double"
    BOOLEAN = "boolean"
    TEXT = "text"
    VARCHAR = "varchar"
    CHAR = "char"
    CITEXT = "citext"
    UUID = "uuid"
    DATE = "date"
    TIME = "time"
    TIMESTAMP = "timestamp"
    TIMESTAMPTZ = "timestamptz"
    INTERVAL = "interval"
    JSON = "json"
    BINARY = "binary"
    INET = "inet"
    CIDR = "cidr"
    MACADDR = "macaddr"
    ENUM = "enum"
    INT4RANGE = "int4range"
    INT8RANGE = "int8range"
    NUMRANGE = "numrange"
    DATERANGE = "daterange"
    TSRANGE = "tsrange"
    TSTZRANGE = "tstzrange"
    TSVECTOR = "tsvector"
    POINT = "point"
    GEOMETRY = "geometry"
    GEOGRAPHY = "geography"
    VECTOR = "vector"
    LTREE = "ltree"
    HSTORE = "hstore"


_WITH_LENGTH = {ColumnType.VARCHAR, ColumnType.CHAR, ColumnType.VECTOR}
_WITH_PRECISION = {ColumnType.DECIMAL}


class DefaultKind(StrEnum):
    """Where a default value comes from."""

    LITERAL = "literal"
    NOW = "now"
    TODAY = "today"
    RANDOM_UUID = "random_uuid"
    TIME_ORDERED_UUID = "time_ordered_uuid"
    EMPTY_OBJECT = "empty_object"
    EMPTY_ARRAY = "empty_array"
    EXPRESSION = "expression"


class Default(Part):
    """A default. `value` holds the bare literal (`active`, `0`, `true`) or the SQL expression, else null."""

    kind: DefaultKind
    value: Annotated[str, Field(max_length=2_000)] | None = None

    @model_validator(mode="after")
    def _value_fits_kind(self) -> Self:
        needs = self.kind in {DefaultKind.LITERAL, DefaultKind.EXPRESSION}
        if needs and self.value is None:
            raise ValueError(f"a default of kind {self.kind} needs a value")
        if not needs and self.value not in (None, ""):
            raise ValueError(f"a default of kind {self.kind} has no value; write null")
        return self


class Column(Part):
    """One column. `length` belongs to varchar, char and vector, `precision` and `scale` to decimal, `enum` to enum."""

    name: Identifier
    type: Annotated[ColumnType, Field(description="one word of this list and nothing else")]
    length: Annotated[int, Field(ge=1, le=10_485_760)] | None = None
    precision: Annotated[int, Field(ge=1, le=1000)] | None = None
    scale: Annotated[int, Field(ge=0, le=1000)] | None = None
    enum: Annotated[Identifier | None, Field(description="name of an enum of this schema when type is enum")] = None
    array: bool = False
    nullable: bool = False
    default: Default | None = None
    identity: Annotated[bool, Field(description="the database numbers the rows (integer types only)")] = False
    generated: Annotated[SqlExpression | None, Field(description="expression that the column is computed from")] = None
    comment: Words = ""

    @field_validator("length", "precision", mode="before")
    @classmethod
    def _zero_is_none(cls, value: object) -> object:
        return None if value == 0 else value

    @model_validator(mode="after")
    def _parts_fit_type(self) -> Self:
        if self.length is not None and self.type not in _WITH_LENGTH:
            raise ValueError(f"type {self.type} has no length; write null, or use varchar")
        if self.type is ColumnType.CHAR and self.length is None:
            raise ValueError("type char needs a length")
        if (self.precision is not None or self.scale) and self.type not in _WITH_PRECISION:
            raise ValueError(f"type {self.type} has no precision or scale; write null, or use decimal")
        if self.type is ColumnType.DECIMAL and self.precision is None and self.scale is not None:
            raise ValueError("a decimal with a scale needs a precision")
        if self.precision is not None and self.scale is not None and self.scale > self.precision:
            raise ValueError("the scale of a decimal is at most its precision")
        if (self.type is ColumnType.ENUM) != (self.enum is not None):
            raise ValueError("type enum and the name of an enum go together; write both or neither")
        if self.identity and self.type not in {ColumnType.SMALLINT, ColumnType.INTEGER, ColumnType.BIGINT}:
            raise ValueError("only smallint, integer and bigint columns can be identity")
        if sum((self.default is not None, self.identity, self.generated is not None)) > 1:
            raise ValueError("a column has one of default, identity and generated")
        return self


class ForeignKey(Part):
    """A reference to the key of another table."""

    columns: Annotated[tuple[Identifier, ...], Field(min_length=1)]
    references: Annotated[Identifier, Field(description="the table that is referred to")]
    referenced_columns: Annotated[tuple[Identifier, ...], Field(min_length=1)]
    on_delete: Literal["no_action", "restrict", "cascade", "set_null", "set_default"] = "no_action"

    @model_validator(mode="after")
    def _same_width(self) -> Self:
        if len(self.columns) != len(self.referenced_columns):
            raise ValueError("columns and referenced_columns must have the same number of names")
        return self


class Unique(Part):
    """Columns whose values together occur once."""

    columns: Annotated[tuple[Identifier, ...], Field(min_length=1)]


class Check(Part):
    """A condition that each row has to meet."""

    name: Identifier
    expression: Annotated[SqlExpression, Field(description="boolean SQL expression over this table's columns")]


class ExclusionElement(Part):
    """One side of an exclusion: rows clash where all operators hold."""

    expression: Annotated[SqlExpression, Field(description="a column, or an expression such as a range of two columns")]
    operator: Literal["=", "&&", "<>", "-|-", "@>", "<@"]


class Exclusion(Part):
    """No two rows may clash: overlapping bookings and the like."""

    name: Identifier
    elements: Annotated[tuple[ExclusionElement, ...], Field(min_length=1)]
    where: SqlExpression | None = None


class Partitioning(Part):
    """How a large table is split. `granularity` for range by time, `count` for hash, `lists` for list."""

    strategy: Literal["range", "list", "hash"]
    column: Identifier
    granularity: Literal["day", "week", "month", "quarter", "year"] | None = None
    count: Annotated[int, Field(ge=1, le=1024)] | None = None
    lists: tuple[tuple[str, ...], ...] = ()

    @model_validator(mode="after")
    def _parts_fit_strategy(self) -> Self:
        given = {"range": self.granularity, "hash": self.count, "list": self.lists or None}
        needed = {"range": "granularity", "hash": "count", "list": "lists"}[self.strategy]
        if given[self.strategy] is None:
            raise ValueError(f"partitioning by {self.strategy} needs {needed}")
        return self


class Table(Part):
    """One table."""

    name: Identifier
    entity: Annotated[str | None, Field(max_length=63, description="the brief's entity it stores, else null")] = None
    comment: Words = ""
    columns: Annotated[tuple[Column, ...], Field(min_length=1)]
    primary_key: Annotated[tuple[Identifier, ...], Field(json_schema_extra=asked)] = ()
    foreign_keys: Annotated[tuple[ForeignKey, ...], Field(json_schema_extra=asked)] = ()
    uniques: Annotated[tuple[Unique, ...], Field(json_schema_extra=asked)] = ()
    checks: Annotated[tuple[Check, ...], Field(json_schema_extra=asked)] = ()
    exclusions: tuple[Exclusion, ...] = ()
    partitioning: Partitioning | None = None

    def column(self, name: str) -> Column | None:
        """The column of this name."""
        return next((column for column in self.columns if column.name == name), None)


class EnumType(Part):
    """A named list of allowed values."""

    name: Identifier
    values: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=63)], ...], Field(min_length=1)]


class FunctionalDependency(Part):
    """Within a table, the determinant's values fix the dependents'. Keys are implied and not listed."""

    table: Identifier
    determinant: Annotated[tuple[Identifier, ...], Field(min_length=1)]
    dependents: Annotated[tuple[Identifier, ...], Field(min_length=1)]


class Denormalized(Part):
    """A stored copy or aggregate, why it is kept, and what keeps it in step."""

    table: Identifier
    column: Identifier
    source: Annotated[Words, Field(description="table.column or aggregate that it copies")]
    reason: Words
    sync: Literal["trigger", "job", "stream", "transaction", "generated_column", "frozen_at_write"]
    detail: Words = ""


class Schema(Section):
    """The relational schema."""

    enums: Annotated[tuple[EnumType, ...], Field(json_schema_extra=asked)] = ()
    tables: Annotated[tuple[Table, ...], Field(min_length=1)]
    normal_form: Literal["1NF", "2NF", "3NF", "BCNF"] = "3NF"
    functional_dependencies: tuple[FunctionalDependency, ...] = ()
    denormalized: tuple[Denormalized, ...] = ()

    def table(self, name: str) -> Table | None:
        """The table of this name."""
        return next((table for table in self.tables if table.name == name), None)
