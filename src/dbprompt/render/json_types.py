"""A column's values as JSON Schema (draft 2020-12, which OpenAPI 3.1 uses): type, format, bounds, null."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from dbprompt.messages import Json
from dbprompt.sections.schema import Column, ColumnType, DefaultKind, Table

__all__ = ["value_schema"]

_GEOJSON: Json = {"type": "object", "description": "GeoJSON geometry"}
_RANGE: Json = {"type": "string", "pattern": r"^(empty|[\[(][^,]*,[^,]*[\])])$", "description": "such as [2026-01-01,)"}
_TYPES: Mapping[ColumnType, Json] = {
    ColumnType.SMALLINT: {"type": "integer", "minimum": -(2**15), "maximum": 2**15 - 1},
    ColumnType.INTEGER: {"type": "integer", "format": "int32"},
    ColumnType.BIGINT: {"type": "integer", "format": "int64"},
    ColumnType.REAL: {"type": "number", "format": "float"},
    ColumnType.DOUBLE: {"type": "number", "format": "double"},
    ColumnType.BOOLEAN: {"type": "boolean"},
    ColumnType.TEXT: {"type": "string"},
    ColumnType.VARCHAR: {"type": "string"},
    ColumnType.CHAR: {"type": "string"},
    ColumnType.CITEXT: {"type": "string"},
    ColumnType.UUID: {"type": "string", "format": "uuid"},
    ColumnType.DATE: {"type": "string", "format": "date"},
    ColumnType.TIME: {"type": "string", "pattern": r"^\d{2}:\d{2}:\d{2}(\.\d{1,6})?$"},
    ColumnType.TIMESTAMP: {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?$"},
    ColumnType.TIMESTAMPTZ: {"type": "string", "format": "date-time"},
    ColumnType.INTERVAL: {"type": "string", "format": "duration"},
    ColumnType.BINARY: {"type": "string", "contentEncoding": "base64"},
    ColumnType.INET: {"type": "string"},
    ColumnType.CIDR: {"type": "string"},
    ColumnType.MACADDR: {"type": "string", "pattern": "^([0-9a-f]{2}:){5}[0-9a-f]{2}$"},
    ColumnType.LTREE: {"type": "string"},
    ColumnType.TSVECTOR: {"type": "string"},
    ColumnType.POINT: _GEOJSON,
    ColumnType.GEOMETRY: _GEOJSON,
    ColumnType.GEOGRAPHY: _GEOJSON,
    ColumnType.HSTORE: {"type": "object", "additionalProperties": {"type": ["string", "null"]}},
    **dict.fromkeys(
        (ColumnType.INT4RANGE, ColumnType.INT8RANGE, ColumnType.NUMRANGE, ColumnType.DATERANGE, ColumnType.TSRANGE,
         ColumnType.TSTZRANGE),
        _RANGE,
    ),
}  # fmt: skip
_WHOLE = {ColumnType.SMALLINT, ColumnType.INTEGER, ColumnType.BIGINT}
_ANYTHING: Json = {"type": ["object", "array", "string", "number", "boolean"]}
_BOUND = re.compile(r"^\s*(?P<column>[a-z_][a-z0-9_]*)\s*(?P<operator>>=|<=|>|<)\s*(?P<value>-?\d+)\s*$")
_BETWEEN = re.compile(
    r"^\s*(?P<column>[a-z_]\w*)\s+between\s+(?P<low>-?\d+)\s+and\s+(?P<high>-?\d+)\s*$", re.IGNORECASE
)
_WORDS = {">=": "minimum", "<=": "maximum", ">": "exclusiveMinimum", "<": "exclusiveMaximum"}


def value_schema(column: Column, table: Table, *, enum_ref: Callable[[str], str]) -> dict[str, Json]:
    """What a value of the column looks like.

    Money and other decimals are texts: a JSON number is a binary float to most readers, and 0.10 is none.

    Args:
        column: the column.
        table: its table, whose simple checks are bounds.
        enum_ref: gives the reference of an enum's schema by the enum's name.
    """
    value = _one(column, table, enum_ref)
    if column.array:
        value = {"type": "array", "items": value}
    if column.nullable:
        value = _or_null(value)
    return value


def _one(column: Column, table: Table, enum_ref: Callable[[str], str]) -> dict[str, Json]:
    match column.type:
        case ColumnType.ENUM:
            return {"$ref": enum_ref(column.enum or "")}
        case ColumnType.DECIMAL:
            return {"type": "string", "format": "decimal", "pattern": _digits(column)}
        case ColumnType.JSON:
            return _document(column)
        case ColumnType.VECTOR:
            numbers: dict[str, Json] = {"type": "array", "items": {"type": "number"}}
            return numbers | ({"minItems": column.length, "maxItems": column.length} if column.length else {})
        case _:
            known = _TYPES[column.type]
            value: dict[str, Json] = dict(known) if isinstance(known, dict) else {}
    if column.length is not None:
        value["maxLength"] = column.length
    if re.search(r"(^|_)e?mail(_address)?$", column.name) and value.get("type") == "string":
        value["format"] = "email"
    return value | (_bounds(column, table) if column.type in _WHOLE and not column.array else {})


def _digits(column: Column) -> str:
    """The pattern of a decimal with so many digits before and behind the point."""
    if column.precision is None:
        return r"^-?\d+(\.\d+)?$"
    behind = column.scale or 0
    before = max(1, column.precision - behind)
    return rf"^-?\d{{1,{before}}}" + (rf"(\.\d{{1,{behind}}})?" if behind else "") + "$"


def _document(column: Column) -> dict[str, Json]:
    kind = column.default.kind if column.default else None
    if kind is DefaultKind.EMPTY_OBJECT:
        return {"type": "object"}
    if kind is DefaultKind.EMPTY_ARRAY:
        return {"type": "array", "items": {}}
    return dict(_ANYTHING) if isinstance(_ANYTHING, dict) else {}


def _bounds(column: Column, table: Table) -> dict[str, Json]:
    """Bounds from checks of the form `stock >= 0` and `slot BETWEEN 1 AND 40`; others are left to the database."""
    found: dict[str, Json] = {}
    for check in table.checks:
        if (bound := _BOUND.match(check.expression)) and bound["column"] == column.name:
            found[_WORDS[bound["operator"]]] = int(bound["value"])
        elif (span := _BETWEEN.match(check.expression)) and span["column"] == column.name:
            found |= {"minimum": int(span["low"]), "maximum": int(span["high"])}
    return found


def _or_null(value: dict[str, Json]) -> dict[str, Json]:
    kind = value.get("type")
    if isinstance(kind, str):
        return {**value, "type": [kind, "null"]}
    if isinstance(kind, list):
        return {**value, "type": [*kind, "null"]}
    return {"anyOf": [value, {"type": "null"}]}
