"""One statement for each query of the brief, with typed parameters."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dbprompt.sections.base import Identifier, Part, QueryId, Section, SqlStatement, Words, asked
from dbprompt.sections.schema import ColumnType

__all__ = ["Parameter", "Queries", "Query"]


class Parameter(Part):
    """A parameter; the first of the list is $1."""

    name: Identifier
    type: ColumnType
    enum: Annotated[Identifier | None, Field(description="name of the enum when type is enum")] = None
    array: bool = False


class Query(Part):
    """The statement that answers one query of the brief."""

    id: Annotated[QueryId, Field(description="the id of the brief's query")]
    sql: Annotated[SqlStatement, Field(description="exactly one statement, parameters as $1, $2, ...")]
    parameters: Annotated[tuple[Parameter, ...], Field(json_schema_extra=asked)] = ()
    pagination: Literal["none", "keyset", "offset"] = "none"
    next_page_sql: Annotated[
        SqlStatement | None, Field(description="keyset: the statement for a later page, starting after the last row")
    ] = None
    next_page_parameters: tuple[Parameter, ...] = ()
    uses_index: Annotated[Identifier | None, Field(description="index that should serve it; null for a key")] = None
    note: Annotated[Words, Field(description="what makes it fast or safe, in one sentence")] = ""


class Queries(Section):
    """All statements."""

    queries: Annotated[tuple[Query, ...], Field(json_schema_extra=asked)] = ()
