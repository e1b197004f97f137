"""A materialised view is worth its refreshes, and fresh enough for whoever reads it.

Poor: `REFRESH MATERIALIZED VIEW CONCURRENTLY daily_sales` without a unique index, which PostgreSQL refuses in a job
that nobody watches; a refresh each night for a screen that may be a minute old; a view that no query reads.
Better: one row for each (day, shop), these two as `unique_key`, refreshed each quarter of an hour because the brief
allows the query that reads it 1,800 seconds.

The age of an answer is counted as the longest time between two refreshes. How long a refresh takes comes on top: only
the real volume shows it (postgresql.org/docs/18/sql-refreshmaterializedview.html).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from dbprompt.brief import AttributeRole, QueryNeed
from dbprompt.checks.base_design import error, judged, listing, not_checked, rules, warning
from dbprompt.checks.base_matching import is_misshapen, typed_columns
from dbprompt.checks.base_statements import parsed
from dbprompt.checks.base_trees import HOW_TO_GET, Broken, find, grammar
from dbprompt.checks.base_views import Output, outputs_of, schemas_of_views, with_views
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Finding, Report
from dbprompt.sections.schedule import Schedule, duration, schedule_problem
from dbprompt.sections.schema import Schema
from dbprompt.sections.views import MaterializedView

__all__ = ["views"]


def views(subject: Subject) -> Report:
    """The section `views`; and, in the section `queries`, the views that they read."""
    if subject.section not in {"views", "queries"} or not subject.design.views:
        return Report()
    if subject.section == "queries":
        return Report(tuple(_readers(subject)) if grammar() else ())
    checker = rules("views")
    if grammar() is None:
        return Report(tuple(_plain(subject))) + not_checked(subject, checker=checker, why=HOW_TO_GET)
    findings = (*_plain(subject), *_columns(subject))
    return judged(subject, findings, checker=checker, uncovered="how long a refresh takes")


def _plain(subject: Subject) -> Iterator[Finding]:
    """What needs no parser: names, schedules, freshness."""
    design = subject.design
    taken = {name for table in (design.schema.tables if design.schema else ()) for name in (table.name,)}
    taken |= {enum.name for enum in (design.schema.enums if design.schema else ())}
    for at, view in enumerate(design.views.views if design.views else ()):
        where = f"/views/{at}"
        if view.name in taken:
            message = f"there is a table, type or view {view.name} already, and they share one name space; rename it"
            yield error("views.name_taken", where, message)
        taken.add(view.name)
        if view.concurrently and not view.unique_key:
            message = (
                f"view {view.name} is refreshed concurrently, which PostgreSQL refuses without a unique index; name "
                "the columns that are unique together in unique_key, or set concurrently to false"
            )
            yield error("views.key_missing", where, message)
        if problem := schedule_problem(view.refresh):
            yield error("views.schedule", f"{where}/refresh", f"refresh of view {view.name}: {problem}")
        yield from _served(subject, view, where)


def _served(subject: Subject, view: MaterializedView, where: str) -> Iterator[Finding]:
    brief = subject.brief
    known = {query.id: query for query in brief.queries} if brief else {}
    for name in view.serves:
        if known and name not in known:
            message = f"view {view.name} serves {name}, which is no query of the brief; it has {listing(known)}"
            yield error("references.unknown_query", f"{where}/serves", message)
        elif name in known and (problem := _too_old(view, known[name])):
            yield error("views.stale", f"{where}/refresh", problem)
    if known and not view.serves:
        message = f"view {view.name} serves no query of the brief, and each refresh costs; name its queries, or drop it"
        yield warning("views.without_query", where, message)


def _too_old(view: MaterializedView, need: QueryNeed) -> str:
    """How a view is older than a query may be; empty if it is not."""
    if schedule_problem(view.refresh):
        return ""
    gap = Schedule.of(view.refresh).longest_gap
    if gap.total_seconds() <= need.freshness_s:
        return ""
    allowed = duration(timedelta(seconds=need.freshness_s)) if need.freshness_s else "no age at all"
    return (
        f"view {view.name} is refreshed by {view.refresh}, so its rows get {duration(gap)} old, and the brief allows "
        f"query {need.id} {allowed} (freshness_s {need.freshness_s:g}); refresh it more often, or answer {need.id} "
        "from the tables"
    )


def _columns(subject: Subject) -> Iterator[Finding]:
    """What the SELECT gives out, and what of."""
    for at, view, schema in schemas_of_views(subject.design):
        where = f"/views/{at}"
        outputs = outputs_of(view, schema)
        statement = parsed(view.sql, schema)
        if isinstance(statement, Broken):
            continue  # `statements` says so
        if any(find(statement.tree, "ParamRef")):
            message = f"view {view.name} holds a parameter like $1, and nothing fills it; keep it for the reading query"
            yield error("views.parameter", f"{where}/sql", message)
        if outputs is None:
            message = f"view {view.name} selects *; name its columns, so that a new one changes nothing"
            yield warning("views.select_star", f"{where}/sql", message)
            continue
        yield from _names(view, outputs, where)
        yield from _tenants(subject, view, outputs, where, schema)


def _names(view: MaterializedView, outputs: tuple[Output, ...], where: str) -> Iterator[Finding]:
    names = [one.name for one in outputs]
    if "" in names:
        number = names.index("") + 1
        message = f"value {number} of view {view.name} has no name; give it one with AS, so that a query can read it"
        yield error("views.unnamed_column", f"{where}/sql", message)
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        message = f"view {view.name} has {listing(twice)} twice; give each column a name of its own with AS"
        yield error("views.repeated_column", f"{where}/sql", message)
    if strange := [name for name in view.unique_key if name not in names]:
        message = (
            f"unique_key of view {view.name} names {listing(strange)}, and its SELECT gives out "
            f"{listing(name for name in names if name)}; name columns of these"
        )
        yield error("views.unknown_key", f"{where}/unique_key", message)


def _tenants(
    subject: Subject, view: MaterializedView, outputs: tuple[Output, ...], where: str, schema: Schema
) -> Iterator[Finding]:
    """Policies of tables do not reach into a materialised view."""
    if subject.brief is None or subject.brief.compliance.access_control != "row_level_by_tenant":
        return
    statement = parsed(view.sql, schema)
    tables = () if isinstance(statement, Broken) else statement.tables
    shared = [
        table.name
        for table in tables
        if any(AttributeRole.TENANT in roles for _, _, roles in typed_columns(subject.brief, table))
    ]
    if shared:
        message = (
            f"view {view.name} holds rows of every tenant of {listing(shared)}, and a materialised view has no row "
            "security; let the application read the tables, or grant the view to no role of the application"
        )
        yield warning("views.without_row_security", where, message)


def _readers(subject: Subject) -> Iterator[Finding]:
    """Queries beside the views that should answer them."""
    design, brief = subject.design, subject.brief
    schema, made = with_views(design), {view.name: view for view in (design.views.views if design.views else ())}
    for at, query in enumerate(design.queries.queries if design.queries and schema else ()):
        statement = parsed(query.sql, schema) if schema else Broken("")
        if isinstance(statement, Broken):
            continue
        read = [made[table.name] for table in statement.tables if table.name in made]
        need = brief.query(query.id) if brief else None
        for view in read:
            if need and query.id not in view.serves and (problem := _too_old(view, need)):
                yield error("views.stale", f"/queries/{at}/sql", f"query {query.id} reads it: {problem}")
        for view in made.values():
            if query.id in view.serves and view not in read and not is_misshapen(subject, view.name):
                message = (
                    f"view {view.name} (views) is there for query {query.id}, and the query does not read it: it pays "
                    f"for both. Read {view.name}, or take {query.id} out of its serves"
                )
                yield warning("views.not_read", f"/queries/{at}/sql", message)
