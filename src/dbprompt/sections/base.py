"""What every section is made of: strict frozen models, identifiers, SQL text, and the schema a model is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypeAlias, cast

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from dbprompt.messages import Json, OutputSchema

__all__ = [
    "Identifier",
    "Part",
    "QueryId",
    "Section",
    "SqlExpression",
    "SqlStatement",
    "Words",
    "asked",
    "output_schema",
]

Identifier: TypeAlias = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z_][a-z0-9_]*$", max_length=63),
    Field(description="lower_snake_case, at most 63 characters; reserved words are quoted for you"),
]
QueryId: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=63)]
SqlExpression: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=2_000, strip_whitespace=True)]
SqlStatement: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=20_000, strip_whitespace=True)]
Words: TypeAlias = Annotated[str, StringConstraints(max_length=1_000, strip_whitespace=True)]


class Part(BaseModel):
    """A frozen piece of a section; a key that it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Section(Part):
    """One typed part of a design, asked for in one turn. Its lists hold the items that repair replaces one by one."""


def asked(schema: dict[str, object]) -> None:
    """For `json_schema_extra`: a model is always asked for this field, though it has a default in Python.

    Small models leave out whatever they may, and a table without keys is no smaller for it.
    """
    schema.pop("default", None)


def output_schema(model: type[BaseModel], name: str | None = None) -> OutputSchema:
    """The JSON Schema that a provider is given for a model: every property required, none besides.

    Providers' strict modes ask for this; what is optional in Python is nullable here. A `default` says which properties
    may be left out where a server allows it.
    """
    schema = cast("dict[str, Json]", model.model_json_schema(mode="validation"))
    return OutputSchema(name or model.__name__, cast("Mapping[str, Json]", _strict(schema)))


def _strict(node: Json, *, names: bool = False) -> Json:
    """Walks a schema; `names` is true where the keys are property names and not keywords."""
    if isinstance(node, list):
        return [_strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    if names:
        return {key: _strict(value) for key, value in node.items()}
    kept = {key: _strict(value, names=key in {"properties", "$defs"}) for key, value in node.items() if key != "title"}
    properties = kept.get("properties")
    if isinstance(properties, dict):
        kept["required"] = cast("list[Json]", list(properties))
        kept["additionalProperties"] = False
    return kept
