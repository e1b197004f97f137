"""Conditions that are the same for every row: `false`, `1 = 0`, `a = $1 OR true`.

Poor: `WHERE public_number = $1 AND false` names the column, and never returns a row.
"""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.checks.base_trees import Node, find

__all__ = ["constants"]

_VARIES = ("ColumnRef", "ParamRef", "FuncCall", "SubLink", "SQLValueFunction", "CurrentOfExpr", "SetToDefault")


def constants(condition: Node) -> Iterator[Node]:
    """The operands of AND, OR and NOT that are constants; the whole condition, if it is one."""
    if not any(find(condition, *_VARIES)):
        yield condition
    elif condition.kind == "BoolExpr":
        for operand in condition.nodes("args"):
            yield from constants(operand)
