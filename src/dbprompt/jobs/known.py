"""What a section can name: the tables, columns and queries that stand, and how many items it can need."""

from __future__ import annotations

from collections.abc import Sequence

from dbprompt.brief import Brief
from dbprompt.sections import DatabaseDesign, SectionName
from dbprompt.sections.base import Known
from dbprompt.sections.schema import Table

__all__ = ["known_names"]

_MOST_NAMES = 150
"""Providers bound the number of values in all enums of a schema (OpenAI: 1,000); a kind with more names stays open."""


def known_names(section: SectionName, design: DatabaseDesign, brief: Brief | None) -> Known:
    """The names that a section may use, from what it builds on. Migrations also name columns that are to come.

    A model that is shown an enum cannot invent a table. Small ones also list every pair of columns as an index until
    they are cut off (seen with Qwen2.5-Coder 1.5B): so an index is for a query, a foreign key or a rule of a table.
    """
    tables = design.schema.tables if design.schema else ()
    names = {
        "tables": tuple(table.name for table in tables),
        "columns": () if section == "migrations" else _columns(tables),
        "queries": tuple(query.id for query in brief.queries) if brief else (),
    }
    keys = sum(len(table.foreign_keys) for table in tables)
    most = {"indexes": len(tables) + keys + len(names["queries"])} if tables and names["queries"] else {}
    return Known({kind: given for kind, given in names.items() if len(given) <= _MOST_NAMES}, most)


def _columns(tables: Sequence[Table]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(column.name for table in tables for column in table.columns))
