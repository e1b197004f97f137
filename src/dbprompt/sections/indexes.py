"""Indexes beside those that keys and unique constraints bring along."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from dbprompt.sections.base import (
    ColumnName,
    Identifier,
    Part,
    QueryId,
    Section,
    SqlExpression,
    TableName,
    Words,
    asked,
)

__all__ = ["Index", "IndexKey", "Indexes"]


class IndexKey(Part):
    """One key of an index: a column or an expression."""

    column: ColumnName | None = None
    expression: Annotated[SqlExpression | None, Field(description="SQL expression; null when column is given")] = None
    order: Literal["asc", "desc"] = "asc"
    nulls: Literal["first", "last"] | None = None
    operator_class: Annotated[
        Literal["trigram", "jsonb_path", "text_pattern", "vector_cosine", "vector_l2", "inet"] | None,
        Field(description="null for the usual one"),
    ] = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.column is None) == (self.expression is None):
            raise ValueError("an index key is a column or an expression; write one and null for the other")
        return self


class Index(Part):
    """One index."""

    name: Identifier
    table: TableName
    method: Literal["btree", "hash", "gin", "gist", "spgist", "brin", "hnsw", "ivfflat"] = "btree"
    keys: Annotated[tuple[IndexKey, ...], Field(min_length=1)]
    include: Annotated[tuple[ColumnName, ...], Field(description="columns carried along for index-only scans")] = ()
    unique: bool = False
    where: Annotated[SqlExpression | None, Field(description="predicate of a partial index")] = None
    purpose: Words = ""
    serves: Annotated[
        tuple[QueryId, ...], Field(description="ids of the brief's queries that use it", json_schema_extra=asked)
    ] = ()


class Indexes(Section):
    """All indexes that are created apart from the tables."""

    indexes: Annotated[tuple[Index, ...], Field(json_schema_extra=asked)] = ()
