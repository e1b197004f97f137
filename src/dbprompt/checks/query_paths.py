"""Statements do not look for relations in json, nor ask once a row.

Poor: `WHERE details ->> 'seller_id' = $1`: no foreign key holds it, no statistics tell how many rows match, and no
index serves it. `SELECT id, (SELECT count(*) FROM order_lines l WHERE l.order_id = o.id) FROM orders o`: one small
query for each row, which is N+1 within a statement.
Better: a column `seller_id` with its foreign key and index; a join with GROUP BY, or LATERAL where only few rows are
asked for.

N+1 between statements is the application's and cannot be seen in SQL (facts/mistakes_and_rules.md, 22 and 25;
postgresql.org/docs/18/datatype-json.html, "Designing JSON Documents Effectively").
"""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.checks.base_design import advice, judged, not_checked, rules, warning
from dbprompt.checks.base_queries import Asked, asked_queries
from dbprompt.checks.base_statements import alias_of
from dbprompt.checks.base_trees import HOW_TO_GET, Node, column_names, find, grammar, words
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Finding, Report
from dbprompt.sections.indexes import Indexes
from dbprompt.sections.schema import ColumnType

__all__ = ["query_paths"]

_INTO = {("->>",), ("->",), ("#>>",), ("#>",)}


def query_paths(subject: Subject) -> Report:
    """Where the statements of the section `queries` look for what they filter by."""
    if subject.section != "queries":
        return Report()
    checker = rules("path")
    if grammar() is None:
        return not_checked(subject, checker=checker, why=HOW_TO_GET)
    findings = [
        finding
        for asked in asked_queries(subject)
        for finding in (*_json(asked, subject.design.indexes), *_per_row(asked))
    ]
    return judged(subject, findings, checker=checker, uncovered="what the application asks in a loop")


def _json(asked: Asked, indexes: Indexes | None) -> Iterator[Finding]:
    where, called = f"{asked.where}/sql", f"query {asked.query.id}"
    for table, column, path in sorted({place for node in _decides(asked) for place in _paths(asked, node)}):
        if _is_indexed(indexes, table, column, path):
            continue
        if path.endswith("_id"):
            message = (
                f"{called} looks for {path} inside {table}.{column}, a relation that no foreign key holds and no index "
                f"serves; give {table} a column {path} that refers to its table"
            )
            yield warning("queries.relation_in_json", where, message)
        else:
            message = (
                f"{called} filters by {path} inside {table}.{column}, which has no statistics, no type and no index; "
                f"make it a column (generated from the json, if that has to stay), or index (({column} ->> '{path}'))"
            )
            yield advice("queries.json_path", where, message)


def _decides(asked: Asked) -> Iterator[Node]:
    """Everything that rows are chosen or sorted by."""
    yield from asked.statement.conditions()
    yield from (key for select in find(asked.statement.tree, "SelectStmt") for key in select.nodes("sortClause"))


def _paths(asked: Asked, node: Node) -> Iterator[tuple[str, str, str]]:
    """Table, json column and the last name of each path that is taken at or below a node."""
    for step in find(node, "A_Expr"):
        left, right = step.node("lexpr"), step.node("rexpr")
        if words(step.nodes("name")) not in _INTO or left is None or right is None or left.kind != "ColumnRef":
            continue
        constant = right.node("sval") if right.kind == "A_Const" else None
        name = constant.text("sval").strip("{}").rpartition(",")[2] if constant else ""
        for table, column in asked.statement.columns(words(left.nodes("fields"))):
            if name and column.type is ColumnType.JSON:
                yield table.name, column.name, name


def _is_indexed(indexes: Indexes | None, table: str, column: str, path: str) -> bool:
    texts = [
        key.expression or ""
        for index in (indexes.indexes if indexes else ())
        if index.table == table
        for key in index.keys
    ]
    return any(column in text and f"'{path}'" in text for text in texts)


def _per_row(asked: Asked) -> Iterator[Finding]:
    tree = asked.statement.tree
    targets = [target.node("val") for target in tree.nodes("targetList")] if tree.kind == "SelectStmt" else []
    nested = [link for target in targets if target for link in find(target, "SubLink")]
    if any(_looks_outside(link) for link in nested):
        message = (
            f"query {asked.query.id} holds a subquery that PostgreSQL runs again for each row of its answer; join and "
            "GROUP BY instead, or keep it if the answer is always a few rows"
        )
        yield advice("queries.subquery_per_row", f"{asked.where}/sql", message)


def _looks_outside(link: Node) -> bool:
    """Whether a subquery names an alias that it does not define."""
    own = {alias_of(node) for node in find(link, "RangeVar", "RangeSubselect", "RangeFunction")}
    own |= {cte.text("ctename") for cte in find(link, "CommonTableExpr")}
    return any(len(names) > 1 and names[-2] not in own for names in column_names(link))
