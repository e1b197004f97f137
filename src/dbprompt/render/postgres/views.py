"""CREATE MATERIALIZED VIEW with the unique index that a concurrent refresh needs, and the refresh."""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.render.postgres.base import Statement, UnsafeSqlError, identifier, literal, names, single_statement
from dbprompt.render.postgres.naming import view_key
from dbprompt.sections.views import MaterializedView, Views

__all__ = ["refresh_sql", "view_comment", "view_statements"]


def view_statements(views: Views) -> Iterator[Statement]:
    """Each view with its unique index and its comment. It is filled at once: an unfilled one cannot be read.

    Raises:
        UnsafeSqlError: with section and place, the SQL is not one statement.
    """
    for at, view in enumerate(views.views):
        where, artefact = f"/views/{at}", f"materialized view {view.name}"
        name = identifier(view.name)
        sql = f"CREATE MATERIALIZED VIEW {name} AS\n{_select(view, where)}"
        yield Statement(sql, "views", where, artefact, "view")
        if view.unique_key:
            sql = f"CREATE UNIQUE INDEX {identifier(view_key(view.name))}\n    ON {name} ({names(view.unique_key)})"
            yield Statement(sql, "views", where, artefact, "index")
        if comment := view_comment(view):
            sql = f"COMMENT ON MATERIALIZED VIEW {name} IS {literal(comment)}"
            yield Statement(sql, "views", where, artefact, "comment")


def view_comment(view: MaterializedView) -> str:
    """The purpose, the queries served and the schedule, as one text."""
    serves = f"Serves: {', '.join(view.serves)}" if view.serves else ""
    return "\n".join(part for part in (view.purpose, serves, f"Refreshed: {view.refresh} (UTC)") if part)


def refresh_sql(view: MaterializedView) -> str:
    """The statement that computes a view again."""
    how = "CONCURRENTLY " if view.concurrently else ""
    return f"REFRESH MATERIALIZED VIEW {how}{identifier(view.name)}"


def _select(view: MaterializedView, where: str) -> str:
    try:
        return single_statement(view.sql)
    except UnsafeSqlError as error:
        raise error.at("views", f"{where}/sql") from error
