"""The scorer of pages: a later page starts from the last row of the page before (`keyset_pagination`).

Poor: `WHERE contact_id = $1 AND occurred_at < $2 ORDER BY occurred_at DESC, id DESC`: rows with an equal time are lost
between pages, though the order is whole.
Better: `AND (occurred_at, id) < ($2, $3)`: every sort value of the last row is compared, and the last one is unique.
"""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.checks.base_pages import SortKey, following, sort_keys
from dbprompt.checks.base_statements import Parsed, parsed
from dbprompt.checks.base_trees import Broken, find
from dbprompt.evals.expectations import OfQuery
from dbprompt.evals.scorers.base import Look, Scene, bad, good, query_of
from dbprompt.evals.scorers.base_keys import unique_ways

__all__ = ["keyset_pagination"]


def keyset_pagination(expectation: OfQuery, scene: Scene) -> Iterator[Look]:
    """The design's statements for the first page and for later ones."""
    at, query = query_of(scene, expectation.query)
    where = f"/queries/queries/{at}"
    if query.next_page_sql is None:
        yield bad(f"{where}/next_page_sql", f"{query.id} has no statement for a later page")
        return
    pages = {"sql": parsed(query.sql, scene.relations), "next_page_sql": parsed(query.next_page_sql, scene.relations)}
    for field, statement in pages.items():
        if isinstance(statement, Broken):
            yield bad(f"{where}/{field}", f"{field} of {query.id} cannot be read: {statement}")
            return
        if any(select.has("limitOffset") for select in find(statement.tree, "SelectStmt")):
            yield bad(f"{where}/{field}", f"{field} of {query.id} skips rows with OFFSET")
            return
    first, later = (page for page in pages.values() if not isinstance(page, Broken))
    if _order(first) != _order(later):
        yield bad(f"{where}/next_page_sql", f"the pages of {query.id} are sorted differently")
        return
    wrong = _does_not_follow(later, scene)
    yield bad(f"{where}/next_page_sql", wrong) if wrong else good(where, f"pages of {query.id} follow by key")


def _order(statement: Parsed) -> tuple[SortKey, ...]:
    """The outermost ORDER BY."""
    return sort_keys(statement, statement.tree)


def _does_not_follow(later: Parsed, scene: Scene) -> str:
    """Why a later page does not start right after a row; empty if it does."""
    found = following(later, later.tree)
    if found.fault:
        return f"a later page does not follow: {found.fault}"
    for table in later.tables:
        for way in unique_ways(table, scene.design.indexes):
            key = {(table.name, column) for one in way.keys for column in one.columns}
            if way.predicate is None and key <= found.compared | found.fixed and key & found.compared:
                return ""
    scene.need(scene.design.indexes, "indexes")  # one that was not asked for may be the key
    names = ", ".join(sorted(column for _, column in found.compared))
    return f"a later page compares {names}, which is not unique"
