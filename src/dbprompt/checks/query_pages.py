"""Pages start after the last row of the page before.

Poor: `ORDER BY created_at DESC LIMIT 20 OFFSET 10000`, which reads and throws away 10,000 rows; or a next page that
compares `created_at < $2` alone, and loses the rows with an equal time.
Better: `ORDER BY created_at DESC, id DESC`, and for later pages `AND (created_at, id) < ($2, $3)`.

An error where the brief's text asks for pages or the design says keyset, else a warning
(use-the-index-luke.com/no-offset; facts/mistakes_and_rules.md, 25).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dbprompt.checks.base_design import error, judged, listing, not_checked, rules, warning
from dbprompt.checks.base_pages import Following, following, sort_keys
from dbprompt.checks.base_queries import Asked, asked_queries, sort_columns
from dbprompt.checks.base_statements import Parsed, parsed
from dbprompt.checks.base_trees import HOW_TO_GET, Broken, Node, find, grammar
from dbprompt.checks.base_views import with_views
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Finding, Report
from dbprompt.sections.schema import Schema

__all__ = ["query_pages"]

_PAGES = re.compile(
    r"page by page|\b(older|later|next|further|previous|more|in) pages?\b|\bpages (of|before|after)\b|\bpaginat"
    r"|\binfinite scroll",
    re.IGNORECASE,
)


def query_pages(subject: Subject) -> Report:
    """How the statements of the section `queries` are read page by page."""
    schema = with_views(subject.design)
    if subject.section != "queries" or schema is None:
        return Report()
    checker = rules("page")
    if grammar() is None:
        return not_checked(subject, checker=checker, why=HOW_TO_GET)
    findings = [finding for asked in asked_queries(subject) for finding in _pages(asked, schema)]
    return judged(subject, findings, checker=checker, uncovered="that rows do not change between pages")


def _pages(asked: Asked, schema: Schema) -> Iterator[Finding]:
    query, where, called = asked.query, asked.where, f"query {asked.query.id}"
    wants_pages = asked.need is not None and bool(_PAGES.search(asked.need.text))
    skips = any(select.has("limitOffset") for select in find(asked.statement.tree, "SelectStmt"))
    keyset = "give the first page in sql, and in next_page_sql the same with the last row's sort values compared"
    if skips or query.pagination == "offset":
        message = f"{called} pages with OFFSET, which reads every page before; use pagination keyset: {keyset}"
        found = error if wants_pages else warning
        yield found("queries.offset", f"{where}/sql", message)
    elif wants_pages and query.pagination == "none":
        message = (
            f"the brief's {query.id} is read page by page ({asked.need.text if asked.need else ''}); use pagination "
            f"keyset: {keyset}"
        )
        yield error("queries.not_paged", f"{where}/pagination", message)
    if query.pagination != "keyset":
        return
    if query.next_page_sql is None:
        message = f"{called} has pagination keyset and no next_page_sql; {keyset}"
        yield error("queries.no_next_page", f"{where}/next_page_sql", message)
        return
    later = parsed(query.next_page_sql, schema)
    if not isinstance(later, Broken):
        yield from _next_page(asked, later)


def _next_page(asked: Asked, later: Parsed) -> Iterator[Finding]:
    where, called = f"{asked.where}/next_page_sql", f"next_page_sql of query {asked.query.id}"
    selects = list(find(later.tree, "SelectStmt"))
    if any(select.has("limitOffset") for select in selects):
        yield error("queries.offset", where, f"{called} uses OFFSET; compare with the last row's sort values instead")
        return
    keys = [(select, key) for select in selects for key in select.nodes("sortClause")]
    sort = frozenset(pair for select, key in keys for pair in sort_columns(later, select, key))
    compared = later.mentioned(later.conditions())
    if not sort & compared:
        message = (
            f"{called} compares with no sort value, so it is the first page again; add e.g. (created_at, id) < ($2, $3)"
        )
        yield error("queries.next_page_does_not_move", where, message)
        return
    goes_on = _goes_on(later, selects)
    if goes_on is None:
        return
    if goes_on.fault:
        message = (
            f"{called} loses or repeats rows: {goes_on.fault}; compare all sort values with the last row's as one row, "
            "such as (created_at, id) < ($2, $3), with the operator < for ORDER BY created_at DESC, id DESC"
        )
        yield error("queries.next_page_loses_rows", where, message)
        return
    moved = {column for _, column in goes_on.compared}
    fixed = moved | {column for _, column in goes_on.fixed}
    for table in asked.tables or later.tables[:1]:
        if not any(key <= fixed and key & moved for key in asked.unique_keys(table)):
            message = (
                f"{called} compares {listing(sorted(moved))}, which is not unique in {table.name}, so rows with equal "
                "values are lost between pages; end both ORDER BY and the comparison with a key: "
                f"{listing(table.primary_key)}"
            )
            yield error("queries.page_not_unique", where, message)


def _goes_on(later: Parsed, selects: list[Node]) -> Following | None:
    """How the page goes on by the query that sorts it; None if that sorts by what is no column, and cannot be told."""
    sorting = [select for select in selects if select.has("sortClause")]
    known = [select for select in sorting if all(key.columns for key in sort_keys(later, select))]
    found = [following(later, select) for select in known]
    return next((one for one in found if not one.fault), found[0] if found else None)
