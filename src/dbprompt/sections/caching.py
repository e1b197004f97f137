"""What is kept in a cache: where, for how long, and what makes it stale."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from dbprompt.sections.base import Identifier, Part, QueryId, Section, TableName, Words, asked

__all__ = ["CachedThing", "Caching"]

_PART = r"(?:[A-Za-z0-9_]+|\{[a-z_][a-z0-9_]*\})"
_NAMED = re.compile(r"\{([a-z_][a-z0-9_]*)\}")


class CachedThing(Part):
    """One cached thing: the answer of a query, rows of a table, or what has no table (sessions, pages)."""

    name: Identifier
    kind: Literal["query", "row", "session", "page"]
    query: Annotated[QueryId | None, Field(description="kind query, or the query that fills a page: its id")] = None
    table: Annotated[TableName | None, Field(description="kind row: the table that the rows are of")] = None
    store: Literal["redis", "memcached", "cdn", "application"]
    key: Annotated[
        str,
        StringConstraints(max_length=200, pattern=rf"^/?{_PART}(?:[:/._-]{_PART})*$"),
        Field(description="words and named parts in braces, parted by a colon or slash: book:{book_id}"),
    ]
    ttl_s: Annotated[int, Field(ge=1, le=31_536_000, description="time to live in seconds")]
    invalidated_by: Annotated[
        Literal["expiry", "write", "event", "logout", "purge"],
        Field(description="what ends it before its time; expiry: nothing does"),
    ]
    invalidating_tables: Annotated[
        tuple[TableName, ...],
        Field(description="tables whose writes make it stale; [] for sessions", json_schema_extra=asked),
    ] = ()
    reason: Words = ""

    @model_validator(mode="after")
    def _names_what_it_keeps(self) -> Self:
        if self.kind == "query" and self.query is None:
            raise ValueError("kind query needs the id of a query")
        if self.kind == "row" and self.table is None:
            raise ValueError("kind row needs the name of a table")
        return self

    @property
    def parts(self) -> tuple[str, ...]:
        """The named parts of the key, in their order."""
        return tuple(_NAMED.findall(self.key))


class Caching(Section):
    """Everything that is cached; an empty list where the database alone meets the numbers."""

    entries: Annotated[tuple[CachedThing, ...], Field(json_schema_extra=asked)] = ()
