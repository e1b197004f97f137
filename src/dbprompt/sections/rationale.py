"""Why the design is as it is, what it takes for granted, what could go wrong, and what nobody has answered yet."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, StringConstraints

from dbprompt.sections.base import ColumnName, Part, Section, TableName, Words, asked
from dbprompt.sections.schema import ColumnType

__all__ = ["Assumption", "ConstraintChoice", "DataKind", "OpenQuestion", "Rationale", "Risk", "TypeChoice"]

DataKind: TypeAlias = Literal[
    "ids", "money", "time", "status", "text", "json", "search", "location", "measure", "other"
]
Said: TypeAlias = Annotated[Words, Field(min_length=1)]
ColumnPath: TypeAlias = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*$", max_length=127),
    Field(description="table.column"),
]


class TypeChoice(Part):
    """Which type one kind of data gets, which one it does not, and why."""

    data: DataKind
    chosen: Annotated[tuple[ColumnType, ...], Field(min_length=1, description="the types that its columns have")]
    avoided: Annotated[tuple[ColumnType, ...], Field(min_length=1, description="the types that were weighed and left")]
    reason: Said
    columns: Annotated[tuple[ColumnPath, ...], Field(min_length=1, description="the columns it is about")]


class ConstraintChoice(Part):
    """A rule that the database holds by itself, and what would happen without it."""

    table: TableName
    kind: Literal["primary_key", "foreign_key", "not_null", "check", "unique", "exclusion"]
    columns: Annotated[tuple[ColumnName, ...], Field(min_length=1)]
    reason: Said


class Assumption(Part):
    """Something that the brief does not say and the design takes for granted."""

    assumption: Said
    if_wrong: Annotated[Words, Field(min_length=1, description="what changes in the design")]


class Risk(Part):
    """Something that could go wrong."""

    risk: Said
    likelihood: Literal["low", "medium", "high"]
    impact: Literal["low", "medium", "high"]
    mitigation: Said


class OpenQuestion(Part):
    """Something to ask the customer."""

    question: Said
    affects: Annotated[Words, Field(min_length=1, description="what depends on the answer")]


class Rationale(Section):
    """Reasons, assumptions, risks, questions."""

    type_choices: Annotated[tuple[TypeChoice, ...], Field(min_length=1)]
    constraint_choices: Annotated[tuple[ConstraintChoice, ...], Field(json_schema_extra=asked)] = ()
    assumptions: Annotated[tuple[Assumption, ...], Field(json_schema_extra=asked)] = ()
    risks: Annotated[tuple[Risk, ...], Field(json_schema_extra=asked)] = ()
    open_questions: Annotated[tuple[OpenQuestion, ...], Field(json_schema_extra=asked)] = ()
