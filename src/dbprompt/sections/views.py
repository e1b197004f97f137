"""Materialised views: answers that are computed ahead, and when they are computed again."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dbprompt.sections.base import CronSchedule, Identifier, Part, QueryId, Section, SqlStatement, Words, asked

__all__ = ["MaterializedView", "Views"]


class MaterializedView(Part):
    """One materialised view."""

    name: Identifier
    sql: Annotated[SqlStatement, Field(description="exactly one SELECT without parameters; every column has a name")]
    unique_key: Annotated[
        tuple[Identifier, ...],
        Field(description="output columns that are unique together: a concurrent refresh needs them"),
    ] = ()
    concurrently: Annotated[bool, Field(description="readers are not blocked while it is refreshed")] = True
    refresh: CronSchedule
    serves: Annotated[tuple[QueryId, ...], Field(description="ids of the brief's queries that read it")] = ()
    purpose: Words = ""


class Views(Section):
    """All materialised views; an empty list where a query can afford to compute its answer."""

    views: Annotated[tuple[MaterializedView, ...], Field(json_schema_extra=asked)] = ()
