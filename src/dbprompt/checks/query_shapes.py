"""Statements have no shape that is poor in any database.

Poor: `SELECT * ... WHERE id NOT IN (SELECT buyer_id ...)`, never true once the list holds a null; `created_at BETWEEN
'2026-01-01' AND '2026-02-01'`, which counts midnight in two months; `title LIKE '%lamp%'` without a trigram index.
Better: named columns, NOT EXISTS, `>= $1 AND < $2`, a gin index of trigrams.

Warnings, since each can be meant; a write without WHERE is an error (facts/mistakes_and_rules.md;
wiki.postgresql.org/wiki/Don't_Do_This).
"""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.checks.base_design import error, judged, not_checked, rules, warning
from dbprompt.checks.base_queries import Asked, asked_queries
from dbprompt.checks.base_trees import HOW_TO_GET, Node, column_names, find, function_name, grammar, words
from dbprompt.checks.subject import Subject
from dbprompt.design.indexes import Indexes
from dbprompt.design.schema import ColumnType
from dbprompt.evidence import Finding, Report

__all__ = ["query_shapes"]


def query_shapes(subject: Subject) -> Report:
    """Shapes of the statements of the section `queries`."""
    if subject.section != "queries":
        return Report()
    checker = rules("shape")
    if grammar() is None:
        return not_checked(subject, checker=checker, why=HOW_TO_GET)
    findings = [finding for asked in asked_queries(subject) for finding in _shape(asked, subject.design.indexes)]
    return judged(subject, findings, checker=checker, uncovered="whether it returns what the brief means")


def _shape(asked: Asked, indexes: Indexes | None) -> Iterator[Finding]:
    tree, where, called = asked.statement.tree, f"{asked.where}/sql", f"query {asked.query.id}"
    for target in tree.target_list if kind(tree) == "SelectStmt" else ():
        value = unwrap(target.res_target.val)
        if kind(value) == "ColumnRef" and words(value.fields)[-1] == "*":
            message = f"{called} selects *; name the columns, so that a new one does not change the answer"
            yield warning("queries.select_star", where, message)
    for denied in find(tree, "BoolExpr"):
        if (
            denied.boolop == _NOT
            and kind(unwrap(denied.args[0])) == "SubLink"
            and unwrap(denied.args[0]).sub_link_type == _ANY
        ):
            message = (
                f"{called} uses NOT IN (SELECT ...), which is never true once the list holds a null; use NOT EXISTS"
            )
            yield warning("queries.not_in_subquery", where, message)
    for compared in find(tree, "A_Expr"):
        yield from _comparison(asked, compared, indexes)
    for select in find(tree, "SelectStmt"):
        if any(kind(call) == "FuncCall" and function_name(call) == "random" for call in _sorted_by_calls(select)):
            message = (
                f"{called} sorts by random(), which reads and sorts every row; pick rows by a random key, or "
                "TABLESAMPLE"
            )
            yield warning("queries.order_by_random", where, message)
    if kind(tree) in {"UpdateStmt", "DeleteStmt"} and not tree.HasField("where_clause"):
        yield error("queries.write_without_where", where, f"{called} changes every row; add a WHERE")


_NOT, _ANY, _BETWEEN = 3, 3, 11
_LIKE = frozenset({8, 9})


def _sorted_by_calls(select: Node) -> Iterator[Node]:
    return (unwrap(item.sort_by.node) for item in select.sort_clause)


def _comparison(asked: Asked, compared: Node, indexes: Indexes | None) -> Iterator[Finding]:
    where, called = f"{asked.where}/sql", f"query {asked.query.id}"
    left = unwrap(compared.lexpr) if compared.HasField("lexpr") else None
    columns = [
        (table, column)
        for names in (column_names(left) if left is not None and kind(left) == "ColumnRef" else ())
        for table, column in asked.statement.columns(names)
    ]
    if compared.kind == _BETWEEN:
        if any(column.type in {ColumnType.TIMESTAMP, ColumnType.TIMESTAMPTZ} for _, column in columns):
            message = (
                f"{called} uses BETWEEN on a timestamp, which takes both ends in, so midnight counts in two days; use "
                ">= the start and < the end"
            )
            yield warning("queries.between_timestamps", where, message)
    elif compared.kind in _LIKE and _leading_wildcard(unwrap(compared.rexpr)):
        served = any(_has_trigram(indexes, table.name, column.name) for table, column in columns)
        message = (
            f"{called} searches with a pattern that begins with %, which no B-tree serves; add a gin index with "
            "operator_class trigram, or use full text search"
        )
        yield from () if served else (warning("queries.leading_wildcard", where, message),)


def _leading_wildcard(pattern: Node) -> bool:
    if kind(pattern) == "A_Expr" and words(pattern.name) == ("||",):
        return _leading_wildcard(unwrap(pattern.lexpr))
    return kind(pattern) == "A_Const" and pattern.HasField("sval") and pattern.sval.sval.startswith(("%", "_"))


def _has_trigram(indexes: Indexes | None, table: str, column: str) -> bool:
    return any(
        key.operator_class == "trigram" and (key.column == column or column in (key.expression or ""))
        for index in (indexes.indexes if indexes else ())
        if index.table == table
        for key in index.keys
    )
