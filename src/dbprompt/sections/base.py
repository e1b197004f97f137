"""What every section is made of: strict frozen models, identifiers, SQL text, and the schema a model is shown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, TypeAlias, cast

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from dbprompt.messages import Json, OutputSchema

__all__ = [
    "ColumnName",
    "CronSchedule",
    "Days",
    "Identifier",
    "Known",
    "Part",
    "QueryId",
    "Section",
    "SqlExpression",
    "SqlStatement",
    "TableName",
    "Words",
    "asked",
    "output_schema",
]

KNOWN = "x-known"
"""Marks a property whose values are names that stand already; `output_schema` makes an enum of them."""

Identifier: TypeAlias = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z_][a-z0-9_]*$", max_length=63),
    Field(description="lower_snake_case, at most 63 characters; reserved words are quoted for you"),
]
TableName: TypeAlias = Annotated[Identifier, Field(json_schema_extra={KNOWN: "tables"})]
ColumnName: TypeAlias = Annotated[Identifier, Field(json_schema_extra={KNOWN: "columns"})]
QueryId: TypeAlias = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=63),
    Field(json_schema_extra={KNOWN: "queries"}),
]
SqlExpression: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=2_000, strip_whitespace=True)]
SqlStatement: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=20_000, strip_whitespace=True)]
Words: TypeAlias = Annotated[str, StringConstraints(max_length=1_000, strip_whitespace=True)]
Days: TypeAlias = Annotated[int, Field(ge=1, le=36_500)]
CronSchedule: TypeAlias = Annotated[
    str,
    StringConstraints(min_length=9, max_length=100, pattern=r"^[0-9*/,-]+( [0-9*/,-]+){4}$"),
    Field(description="five cron fields in UTC: minute hour day-of-month month day-of-week, such as 15 3 * * 0"),
]


class Part(BaseModel):
    """A frozen piece of a section; a key that it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Section(Part):
    """One typed part of a design, asked for in one turn. Its lists hold the items that repair replaces one by one."""


def asked(schema: dict[str, object]) -> None:
    """For `json_schema_extra`: a model is always asked for this field, though it has a default in Python.

    Small models leave out whatever they may, and a table without keys is no smaller for it.
    """
    schema.pop("default", None)


@dataclass(frozen=True, slots=True)
class Known:
    """What stands already when a section is asked for, so that nothing else can be named.

    Args:
        names: by kind (`tables`, `columns`, `queries`), the names that there are. A kind without names is left open.
        most: by property, how many items its list can need at most. Small models do not stop by themselves.
    """

    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    most: Mapping[str, int] = field(default_factory=dict)


def output_schema(model: type[BaseModel], name: str | None = None, known: Known | None = None) -> OutputSchema:
    """The JSON Schema that a provider is given for a model: every property required, none besides.

    Providers' strict modes ask for this; what is optional in Python is nullable here. A `default` says which properties
    may be left out where a server allows it.
    """
    told, text = known or Known(), _schema_text(model)  # what the schema does not speak of makes no other schema
    names = tuple((kind, given) for kind, given in told.names.items() if f'"{kind}"' in text)
    most = tuple((name, count) for name, count in told.most.items() if f'"{name}"' in text)
    return _output_schema(model, name or model.__name__, names, most)


@lru_cache(maxsize=256)
def _output_schema(
    model: type[BaseModel], name: str, names: tuple[tuple[str, tuple[str, ...]], ...], most: tuple[tuple[str, int], ...]
) -> OutputSchema:
    """Made once for a model and what it may name; callers share it and never change it."""
    return OutputSchema(name, cast("Mapping[str, Json]", _strict(_schema(model), Known(dict(names), dict(most)))))


@lru_cache(maxsize=128)
def _schema_text(model: type[BaseModel]) -> str:
    return json.dumps(_schema(model))


@lru_cache(maxsize=128)
def _schema(model: type[BaseModel]) -> Json:
    """As pydantic makes it, once: that takes 12 ms for a large section. `_strict` builds anew and changes nothing."""
    return cast("Json", model.model_json_schema(mode="validation"))


def _strict(node: Json, known: Known, *, names: bool = False) -> Json:
    """Walks a schema; `names` is true where the keys are property names and not keywords."""
    if isinstance(node, list):
        return [_strict(item, known) for item in node]
    if not isinstance(node, dict):
        return node
    if names:
        return {key: _bounded(key, _strict(value, known), known) for key, value in node.items()}
    kind = node.get(KNOWN)
    if isinstance(kind, str) and (values := known.names.get(kind)):
        return {"type": "string", "enum": list(values)}
    kept = {
        key: _strict(value, known, names=key in {"properties", "$defs"})
        for key, value in node.items()
        if key not in {"title", KNOWN}
    }
    properties = kept.get("properties")
    if isinstance(properties, dict):
        kept["required"] = cast("list[Json]", list(properties))
        kept["additionalProperties"] = False
    return kept


def _bounded(name: str, schema: Json, known: Known) -> Json:
    return {**schema, "maxItems": known.most[name]} if name in known.most and isinstance(schema, dict) else schema
