"""The scorer of pages: a later page starts from the last row of the page before (`keyset_pagination`).

Poor: `WHERE contact_id = $1 AND occurred_at < $2 ORDER BY occurred_at DESC, id DESC`: rows with an equal time are lost
between pages, though the order is whole.
Better: `AND (occurred_at, id) < ($2, $3)`: every sort value of the last row is compared, and the last one is unique.
"""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.checks.base_queries import descends, sort_columns
from dbprompt.checks.base_statements import Parsed, parsed
from dbprompt.checks.base_trees import Broken, Node, find, words
from dbprompt.evals.expectations import OfQuery
from dbprompt.evals.scorers.base import Look, Scene, bad, good, query_of
from dbprompt.evals.scorers.base_keys import unique_ways

__all__ = ["keyset_pagination"]

_AFTER = {"<": True, "<=": True, ">": False, ">=": False}
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


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


def _order(statement: Parsed) -> list[tuple[frozenset[tuple[str, str]], bool]]:
    """The outermost ORDER BY: the columns of each key, and whether it goes down."""
    tree = statement.tree
    return [(sort_columns(statement, tree, key), descends(key)) for key in tree.nodes("sortClause")]


def _does_not_follow(later: Parsed, scene: Scene) -> str:
    """Why a later page does not start right after a row; empty if it does."""
    order = _order(later)
    if not order:
        return "a later page is not sorted"
    compared, equal = _comparisons(later)
    for columns, down in order:
        names = ", ".join(sorted(column for _, column in columns))
        if not columns & compared.keys():
            return f"a later page is sorted by {names}, and does not compare it with the last row"
        if not any(way is down for pair in columns & compared.keys() for way in compared[pair]):
            return f"a later page compares {names} against its direction"
    sort = frozenset(pair for columns, _ in order for pair in columns)
    for table in later.tables:
        for way in unique_ways(table, scene.design.indexes):
            key = {(table.name, column) for one in way.keys for column in one.columns}
            if way.predicate is None and key <= sort | equal and key & order[-1][0]:
                return ""
    return f"the last sort value is not unique: {', '.join(sorted(column for _, column in order[-1][0]))}"


def _comparisons(later: Parsed) -> tuple[dict[tuple[str, str], set[bool]], frozenset[tuple[str, str]]]:
    """Columns that are compared with a parameter: by < (true) or > (false); and those that are fixed by =."""
    compared: dict[tuple[str, str], set[bool]] = {}
    equal: set[tuple[str, str]] = set()
    for condition in later.conditions():
        for node in find(condition, "A_Expr"):
            left, right = node.node("lexpr"), node.node("rexpr")
            operator = (words(node.nodes("name")) or ("",))[-1]
            if left is None or right is None or node.text("kind") != "AEXPR_OP":
                continue
            if _has_parameter(left) and not _has_parameter(right):
                left, right, operator = right, left, _FLIPPED.get(operator, operator)
            if not _has_parameter(right) or _has_parameter(left):
                continue
            pairs = later.mentioned([left])
            if operator == "=":
                equal |= pairs
            elif operator in _AFTER:
                for pair in pairs:
                    compared.setdefault(pair, set()).add(_AFTER[operator])
    return compared, frozenset(equal)


def _has_parameter(node: Node) -> bool:
    return any(find(node, "ParamRef"))
