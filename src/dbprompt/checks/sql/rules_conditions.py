"""Conditions of a script that do not choose: a comparison with NULL, a WHERE or a CHECK that is the same for every row.

Poor: `WHERE shipped_at = NULL`, which no row fulfils; `UPDATE orders SET status = 'paid' WHERE true`; `CHECK (status IN
('new', NULL))`, which refuses nothing, as null is not false.
Better: `WHERE shipped_at IS NULL`; a WHERE over columns; `CHECK (status IN ('new'))`, which lets null through as well.

Sources: postgresql.org/docs/18/functions-comparison.html; ddl-constraints.html, Check Constraints. A SELECT's `WHERE
false` or `1 = 1` with nothing beside it is left alone: whoever wrote it meant it.
"""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.checks.base_constants import constants, null_comparisons, truth, varies
from dbprompt.checks.base_trees import Node, find, words
from dbprompt.checks.sql.base_script import Seen, said
from dbprompt.evidence import Finding, Severity

__all__ = ["rules_conditions"]


def rules_conditions(script: tuple[Seen, ...]) -> Iterator[Finding]:
    """Conditions of a script that are the same for every row."""
    for one in script:
        if not one.where:
            continue
        text = one.sql.lower()
        checks = list(_checks(one.tree)) if "check" in text else []
        yield from _constant_checks(one, checks)
        if "null" in text and not checks and any(map(_never_true, null_comparisons(one.tree))):
            message = (
                "a comparison with NULL is never true, not even for a null, and nor is NOT IN with a NULL in its list; "
                "use IS NULL or IS NOT NULL"
            )
            yield from said(Severity.WARNING, "queries.constant_condition", one, message)
        elif "where" in text:
            yield from _constant_where(one)


def _checks(tree: Node) -> Iterator[Node]:
    for constraint in find(tree, "Constraint"):
        condition = constraint.node("raw_expr") if constraint.text("contype") == "CONSTR_CHECK" else None
        if condition and not constraint.fields.get("is_no_inherit"):  # (false) NO INHERIT keeps a parent empty
            yield condition


def _constant_checks(one: Seen, checks: list[Node]) -> Iterator[Finding]:
    if any(_never_false(compared) for check in checks for compared in null_comparisons(check)):
        message = (
            "a CHECK compares with NULL: the answer is null where it should be false, and null refuses nothing; take "
            "the NULL out (a null in the column passes anyway), or use IS NULL"
        )
        yield from said(Severity.WARNING, "expressions.constant_check", one, message)
    elif any(any(constants(check)) for check in checks):
        message = (
            "a CHECK holds a constant (true, false, 1 = 0): it refuses every row or allows every row; compare the "
            "columns of the row"
        )
        yield from said(Severity.WARNING, "expressions.constant_check", one, message)


def _never_true(compared: Node) -> bool:
    """Whether it is in vain as a condition: `a IN (1, NULL)` still finds 1."""
    return compared.text("kind") != "AEXPR_IN" or words(compared.nodes("name")) == ("<>",)


def _never_false(compared: Node) -> bool:
    """Whether it is in vain as a CHECK: `a NOT IN (1, NULL)` still refuses 1."""
    return compared.text("kind") != "AEXPR_IN" or words(compared.nodes("name")) == ("=",)


def _constant_where(one: Seen) -> Iterator[Finding]:
    for node in find(one.tree, "SelectStmt", "UpdateStmt", "DeleteStmt"):
        condition = node.node("whereClause")
        always = truth(condition) if condition else None
        if always is None or condition is None:
            continue
        if always and node.kind != "SelectStmt":
            message = "the WHERE is true for every row, so every row changes; name the rows that are meant"
            yield from said(Severity.WARNING, "queries.write_without_where", one, message)
        elif varies(condition):
            message = (
                f"a constant makes the WHERE {'true' if always else 'false'} for every row, whatever stands beside it; "
                "take the constant out"
            )
            yield from said(Severity.WARNING, "queries.constant_condition", one, message)
