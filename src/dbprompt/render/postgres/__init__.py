"""PostgreSQL DDL, written from a typed design."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from itertools import groupby

from dbprompt.render.postgres.base import (
    Statement,
    StatementKind,
    UnsafeSqlError,
    comment_line,
    identifier,
    literal,
    single_statement,
    without_literals,
    wrap_expression,
)
from dbprompt.render.postgres.extensions import extension_statements
from dbprompt.render.postgres.indexes import index_comment, index_statements
from dbprompt.render.postgres.lifecycle import lifecycle_statements
from dbprompt.render.postgres.outline import outline
from dbprompt.render.postgres.sync_triggers import sync_statements
from dbprompt.render.postgres.tables import creation_order, schema_statements
from dbprompt.render.postgres.types import column_type, default_sql, type_name
from dbprompt.render.postgres.views import view_statements
from dbprompt.sections import DatabaseDesign

__all__ = [
    "DEFAULT_VERSION",
    "Statement",
    "StatementKind",
    "UnsafeSqlError",
    "column_type",
    "comment_line",
    "creation_order",
    "ddl_statements",
    "default_sql",
    "free_expressions",
    "identifier",
    "index_comment",
    "literal",
    "outline",
    "schema_sql",
    "single_statement",
    "type_name",
    "unsafe_expressions",
    "without_literals",
    "wrap_expression",
]

DEFAULT_VERSION = 18
"""The major that is written for when nobody says."""


def ddl_statements(design: DatabaseDesign, *, as_of: date, version: int = DEFAULT_VERSION) -> tuple[Statement, ...]:
    """Every DDL statement of a design, in an order that runs. A design without a schema has none.

    Args:
        design: what is finished; indexes and queries may be missing.
        as_of: the day that partitions are counted from.
        version: the major version of the server.

    Raises:
        UnsafeSqlError: a free expression could leave its parentheses; `unsafe_expressions` finds them all beforehand.
    """
    if design.schema is None:
        return ()
    return (
        *extension_statements(design),
        *schema_statements(design, design.schema, as_of=as_of, version=version),
        *(index_statements(design.indexes) if design.indexes else ()),
        *(view_statements(design.views) if design.views else ()),
        *lifecycle_statements(design),
        *(sync_statements(design.upkeep) if design.upkeep else ()),
    )


_TITLES: dict[StatementKind, str] = {
    "extension": "Extensions",
    "function": "Functions",
    "enum": "Enums",
    "table": "Tables",
    "partition": "Tables",
    "foreign_key": "Foreign keys of tables that refer to each other",
    "comment": "Comments",
    "index": "Indexes",
    "view": "Materialized views",
    "trigger": "Triggers",
}
_ALONE = {"table", "index", "foreign_key", "function", "trigger", "view"}
_OF_SECTION = {
    "views": "Materialized views",
    "lifecycle": "Partitions to come and rows to go",
    "upkeep": "Stored copies that follow their source",
}


def schema_sql(
    design: DatabaseDesign, *, as_of: date, version: int = DEFAULT_VERSION, title: str = "Database schema"
) -> str:
    """The DDL as one file.

    Raises:
        UnsafeSqlError: a free expression could leave its parentheses.
    """
    header = (
        comment_line(title),
        f"-- PostgreSQL {version}, written by dbprompt from design.json; partitions counted from {as_of.isoformat()}.",
        "-- Load it all or not at all: psql -1 -v ON_ERROR_STOP=1 -f schema.sql",
    )
    parts = ["\n".join(header)]
    statements = ddl_statements(design, as_of=as_of, version=version)
    for heading, group in groupby(statements, key=_title):
        rule = "-" * (76 - len(heading))
        parts.append(f"-- {heading} {rule}")
        parts += _paragraphs(group)
    return "\n\n".join(parts) + "\n"


def _title(statement: Statement) -> str:
    if statement.section in _OF_SECTION and statement.kind != "extension":
        return _OF_SECTION[statement.section]
    is_of_index = statement.section == "indexes" and statement.kind == "comment"
    return _TITLES["index" if is_of_index else statement.kind]


def _paragraphs(statements: Iterator[Statement]) -> Iterator[str]:
    """Small statements that follow each other stand together, with the index that they comment; others stand alone."""
    run: list[str] = []
    last = ""
    for statement in statements:
        joins = statement.kind == last or (statement.kind == "comment" and last == "index")
        if run and not (joins and statement.kind not in _ALONE):
            yield "\n".join(run)
            run = []
        run.append(statement.sql + ";")
        last = statement.kind
    yield "\n".join(run)


def free_expressions(design: DatabaseDesign) -> Iterator[tuple[str, str, str]]:
    """Every free expression that the DDL holds, as (section, JSON pointer into it, text)."""
    for at, table in enumerate(design.schema.tables if design.schema else ()):
        where = f"/tables/{at}"
        for number, column in enumerate(table.columns):
            if column.generated is not None:
                yield "schema", f"{where}/columns/{number}/generated", column.generated
            if column.default is not None and column.default.kind == "expression":
                yield "schema", f"{where}/columns/{number}/default", column.default.value or ""
        for number, check in enumerate(table.checks):
            yield "schema", f"{where}/checks/{number}/expression", check.expression
        for number, exclusion in enumerate(table.exclusions):
            for side, element in enumerate(exclusion.elements):
                yield "schema", f"{where}/exclusions/{number}/elements/{side}/expression", element.expression
            if exclusion.where is not None:
                yield "schema", f"{where}/exclusions/{number}/where", exclusion.where
    for at, index in enumerate(design.indexes.indexes if design.indexes else ()):
        for number, key in enumerate(index.keys):
            if key.expression is not None:
                yield "indexes", f"/indexes/{at}/keys/{number}/expression", key.expression
        if index.where is not None:
            yield "indexes", f"/indexes/{at}/where", index.where


def unsafe_expressions(design: DatabaseDesign) -> tuple[UnsafeSqlError, ...]:
    """Every free expression that could leave its parentheses, with its place: what `ddl_statements` would raise."""
    found: list[UnsafeSqlError] = []
    for section, where, text in free_expressions(design):
        try:
            wrap_expression(text)
        except UnsafeSqlError as error:
            found.append(error.at(section, where))
    return tuple(found)
