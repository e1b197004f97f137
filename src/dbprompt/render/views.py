"""Materialised views as a chapter: what each holds, for whom, and how old it may get."""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.render.background import Background
from dbprompt.render.markdown import cell, code, fenced, table
from dbprompt.render.postgres.views import refresh_sql
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.schedule import Schedule, duration, schedule_problem
from dbprompt.sections.views import MaterializedView

__all__ = ["views_chapter"]


def views_chapter(design: DatabaseDesign, about: Background) -> Iterator[str]:
    """The chapter; it says so where every answer is computed when it is asked for."""
    if design.views is None:
        return
    yield "## Materialised views"
    if not design.views.views:
        yield "None: every query computes its answer from the tables."
        return
    heads = ("View", "Serves", "Unique by", "Refreshed (UTC)", "Rows get", "Why")
    yield table(heads, (_row(view, about) for view in design.views.views))
    for view in design.views.views:
        yield f"### {code(view.name)}"
        yield fenced(view.sql, "sql")
        blocks = "readers go on meanwhile" if view.concurrently else "readers wait meanwhile"
        yield f"{code(refresh_sql(view))}: {blocks}."


def _row(view: MaterializedView, about: Background) -> tuple[str, ...]:
    needs = [about.brief.query(name) if about.brief else None for name in view.serves]
    served = [
        code(name) + (f" (may be {need.freshness_s:,g} s old)" if need else "")
        for name, need in zip(view.serves, needs, strict=True)
    ]
    old = "" if schedule_problem(view.refresh) else f"{duration(Schedule.of(view.refresh).longest_gap)} old"
    key = code(", ".join(view.unique_key))
    return code(view.name), ", ".join(served), key, code(view.refresh), old, cell(view.purpose)
