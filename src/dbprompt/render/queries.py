"""Queries as statements that are prepared, and as a file that a person can read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dbprompt.brief import Brief
from dbprompt.render.postgres import UnsafeSqlError, comment_line, identifier, single_statement, type_name
from dbprompt.render.postgres.base import short_name
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.queries import Parameter, Query

__all__ = ["QueryStatement", "queries_sql", "query_statements"]


@dataclass(frozen=True, slots=True)
class QueryStatement:
    """One free statement of a query.

    Args:
        id: the query's id.
        sql: the text as the model wrote it; `single_statement` proves that it is one statement.
        parameter_types: PostgreSQL's type names for $1, $2, ...
        where: JSON pointer into the section `queries`, `/queries/2`, or `/queries/2/next_page_sql` for a later page.
        artefact: as a person would say it, `query latest_orders` or `query latest_orders (next page)`.
        name: the name that it is prepared under.
        is_next_page: whether it is the statement for later pages.
    """

    id: str
    sql: str
    parameter_types: tuple[str, ...]
    where: str
    artefact: str
    name: str
    is_next_page: bool = False

    @property
    def prepare(self) -> str:
        """`PREPARE name(types) AS ...`, without a closing semicolon.

        Raises:
            UnsafeSqlError: the text is not one statement.
        """
        types = f" ({', '.join(self.parameter_types)})" if self.parameter_types else ""
        try:
            return f"PREPARE {identifier(self.name)}{types} AS\n{single_statement(self.sql)}"
        except UnsafeSqlError as error:
            raise error.at("queries", self.where) from error


def query_statements(design: DatabaseDesign) -> tuple[QueryStatement, ...]:
    """Every statement of the section `queries`, next pages included, in the order of the document."""
    queries = design.queries.queries if design.queries else ()
    return tuple(statement for at, query in enumerate(queries) for statement in _of_query(query, f"/queries/{at}"))


def _of_query(query: Query, where: str) -> Iterator[QueryStatement]:
    name = f"query {query.id}"
    yield QueryStatement(query.id, query.sql, _types(query.parameters), where, name, query.id)
    if query.next_page_sql is not None:
        yield QueryStatement(
            query.id,
            query.next_page_sql,
            _types(query.next_page_parameters),
            f"{where}/next_page_sql",
            f"{name} (next page)",
            short_name(query.id, "_next_page"),
            is_next_page=True,
        )


def _types(parameters: tuple[Parameter, ...]) -> tuple[str, ...]:
    return tuple(type_name(parameter) for parameter in parameters)


def queries_sql(design: DatabaseDesign, *, brief: Brief | None = None, title: str = "Queries") -> str:
    """All queries as one file of PREPARE statements.

    Raises:
        UnsafeSqlError: a text is not one statement.
    """
    parts = [
        f"{comment_line(title)}\n-- Load ../schema/schema.sql first. Each query is prepared under the id of the brief."
    ]
    by_id = {query.id: query for query in design.queries.queries} if design.queries else {}
    for statement in query_statements(design):
        header = "\n".join(_header(by_id[statement.id], statement, brief))
        parts.append(f"{header}\n{statement.prepare}\n;")
    return "\n\n".join(parts) + "\n"


def _header(query: Query, statement: QueryStatement, brief: Brief | None) -> Iterator[str]:
    yield comment_line(f"{statement.name} {'-' * max(3, 76 - len(statement.name))}")
    need = brief.query(query.id) if brief else None
    if need is not None:
        yield comment_line(need.text)
    if statement.is_next_page:
        yield "-- Later pages: it starts after the last row of the page before."
    parameters = query.next_page_parameters if statement.is_next_page else query.parameters
    if parameters:
        named = ", ".join(f"${number} {p.name} {type_name(p)}" for number, p in enumerate(parameters, start=1))
        yield comment_line(f"Parameters: {named}")
    if query.uses_index is not None:
        yield comment_line(f"Index: {query.uses_index}")
