"""Statements have no shape that is poor in any database.

Poor: `SELECT * ... WHERE id NOT IN (SELECT buyer_id ...)`, never true once the list holds a null; `created_at BETWEEN
'2026-01-01' AND '2026-02-01'`, which counts midnight in two months; `title LIKE '%lamp%'` without a trigram index.
Better: named columns, NOT EXISTS, `>= $1 AND < $2`, a gin index of trigrams.

Warnings, since each can be meant; a write without WHERE is an error (facts/mistakes_and_rules.md;
wiki.postgresql.org/wiki/Don't_Do_This).
"""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.checks.base_design import advice, error, judged, not_checked, rules, warning
from dbprompt.checks.base_queries import Asked, asked_queries
from dbprompt.checks.base_stars import stars
from dbprompt.checks.base_statements import alias_of
from dbprompt.checks.base_trees import HOW_TO_GET, Node, column_names, find, function_name, grammar, words
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Finding, Report
from dbprompt.sections.indexes import Indexes
from dbprompt.sections.schema import ColumnType

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
    if tree.kind == "SelectStmt" and stars(tree):
        message = f"{called} selects *; name the columns, so that a new one does not change the answer"
        yield warning("queries.select_star", where, message)
    for denied in find(tree, "BoolExpr"):
        inside = denied.nodes("args")[0] if denied.text("boolop") == "NOT_EXPR" else None
        if inside is None or inside.text("subLinkType") != "ANY_SUBLINK":
            continue
        if _may_hold_null(asked, inside):
            message = f"{called} uses NOT IN (SELECT ...), never true once the list holds a null; use NOT EXISTS"
            yield warning("queries.not_in_subquery", where, message)
        else:
            message = f"{called} uses NOT IN (SELECT ...), which cannot become an anti-join; use NOT EXISTS"
            yield advice("queries.not_in_subquery", where, message)
    for compared in find(tree, "A_Expr"):
        yield from _comparison(asked, compared, indexes)
    keys = [key.node("node") for key in find(tree, "SortBy")]
    if any(key and key.kind == "FuncCall" and function_name(key) == "random" for key in keys):
        message = (
            f"{called} sorts by random(), so it reads and sorts every row; pick by a random key, or use TABLESAMPLE"
        )
        yield warning("queries.order_by_random", where, message)
    if tree.kind in {"UpdateStmt", "DeleteStmt"} and not tree.has("whereClause"):
        yield error("queries.write_without_where", where, f"{called} changes every row; add a WHERE")


def _may_hold_null(asked: Asked, inside: Node) -> bool:
    """Whether the list of NOT IN (SELECT ...) may: not if it is one NOT NULL column, straight from its tables."""
    select = inside.node("subselect")
    targets = select.nodes("targetList") if select else ()
    value = targets[0].node("val") if len(targets) == 1 else None
    sources = select.nodes("fromClause") if select else ()
    plain = value and value.kind == "ColumnRef" and all(source.kind == "RangeVar" for source in sources)
    if select is None or value is None or not plain or any(find(select, "GroupingSet")):
        return True
    names = words(value.nodes("fields"))
    tables = [
        table
        for source in sources
        if len(names) == 1 or alias_of(source) == names[-2]
        for table in asked.statement.aliases.get(alias_of(source), ())
    ]
    columns = [column for table in tables if (column := table.column(names[-1]))]
    return not columns or any(column.nullable for column in columns)


def _comparison(asked: Asked, compared: Node, indexes: Indexes | None) -> Iterator[Finding]:
    where, called = f"{asked.where}/sql", f"query {asked.query.id}"
    left, right = compared.node("lexpr"), compared.node("rexpr")
    names = column_names(left) if left and left.kind == "ColumnRef" else ()
    columns = [found for name in names for found in asked.statement.columns(name)]
    if compared.text("kind") == "AEXPR_BETWEEN":
        if any(column.type in {ColumnType.TIMESTAMP, ColumnType.TIMESTAMPTZ} for _, column in columns):
            message = (
                f"{called} uses BETWEEN on a timestamp, which takes both ends in, so midnight counts in two days; use "
                ">= the start and < the end"
            )
            yield warning("queries.between_timestamps", where, message)
    elif compared.text("kind") in {"AEXPR_LIKE", "AEXPR_ILIKE"} and right and _leading_wildcard(right):
        served = any(_has_trigram(indexes, table.name, column.name) for table, column in columns)
        message = (
            f"{called} searches with a pattern that begins with %, which no B-tree serves; add a gin index with "
            "operator_class trigram, or use full text search"
        )
        yield from () if served else (warning("queries.leading_wildcard", where, message),)


def _leading_wildcard(pattern: Node) -> bool:
    first = pattern.node("lexpr") if words(pattern.nodes("name")) == ("||",) else None
    constant = pattern.node("sval") if pattern.kind == "A_Const" else None
    return bool(first and _leading_wildcard(first)) or bool(constant and constant.text("sval").startswith(("%", "_")))


def _has_trigram(indexes: Indexes | None, table: str, column: str) -> bool:
    return any(
        key.operator_class == "trigram" and (key.column == column or column in (key.expression or ""))
        for index in (indexes.indexes if indexes else ())
        if index.table == table
        for key in index.keys
    )
