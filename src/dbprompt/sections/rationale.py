"""Why the design is as it is, what it takes for granted, what could go wrong, and what nobody has answered yet."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dbprompt.sections.base import ColumnName, Part, Section, TableName, Words, asked

__all__ = ["Assumption", "ConstraintChoice", "OpenQuestion", "Rationale", "Risk", "TypeChoice"]


class TypeChoice(Part):
    """Which type one kind of data gets, which one it does not, and why."""

    data: Literal["ids", "money", "time", "status", "text", "json", "search", "location", "measure", "other"]
    chosen: Annotated[Words, Field(min_length=1)]
    avoided: Annotated[Words, Field(min_length=1)]
    reason: Annotated[Words, Field(min_length=1)]
    columns: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*$")], ...],
        Field(min_length=1, description="the columns it is used for, as table.column"),
    ]


class ConstraintChoice(Part):
    """A rule that the database holds by itself, and what would happen without it."""

    table: TableName
    kind: Literal["primary_key", "foreign_key", "not_null", "check", "unique", "exclusion"]
    columns: Annotated[tuple[ColumnName, ...], Field(min_length=1)]
    reason: Annotated[Words, Field(min_length=1)]


class Assumption(Part):
    """Something that the brief does not say and the design takes for granted."""

    assumption: Annotated[Words, Field(min_length=1)]
    if_wrong: Annotated[Words, Field(min_length=1, description="what changes in the design")]


class Risk(Part):
    """Something that could go wrong."""

    risk: Annotated[Words, Field(min_length=1)]
    likelihood: Literal["low", "medium", "high"]
    impact: Literal["low", "medium", "high"]
    mitigation: Annotated[Words, Field(min_length=1)]


class OpenQuestion(Part):
    """Something to ask the customer."""

    question: Annotated[Words, Field(min_length=1)]
    affects: Annotated[Words, Field(min_length=1, description="what depends on the answer")]


class Rationale(Section):
    """Reasons, assumptions, risks, questions."""

    type_choices: Annotated[tuple[TypeChoice, ...], Field(min_length=1)]
    constraint_choices: Annotated[tuple[ConstraintChoice, ...], Field(json_schema_extra=asked)] = ()
    assumptions: Annotated[tuple[Assumption, ...], Field(json_schema_extra=asked)] = ()
    risks: Annotated[tuple[Risk, ...], Field(json_schema_extra=asked)] = ()
    open_questions: Annotated[tuple[OpenQuestion, ...], Field(json_schema_extra=asked)] = ()
