"""Conditions that are the same for every row: `false`, `1 = 0`, `a = $1 OR true`, `a = NULL`.

Poor: `WHERE public_number = $1 AND false` names the column, and never returns a row.
"""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.checks.base_trees import Node, find, words

__all__ = ["constants", "null_comparisons", "truth", "varies"]

_VARIES = ("ColumnRef", "ParamRef", "FuncCall", "SubLink", "SQLValueFunction", "CurrentOfExpr", "SetToDefault")


def varies(condition: Node) -> bool:
    """Whether it can be another for another row."""
    return any(find(condition, *_VARIES))


def constants(condition: Node) -> Iterator[Node]:
    """The operands of AND, OR and NOT that are constants; the whole condition, if it is one."""
    if not varies(condition):
        yield condition
    elif condition.kind == "BoolExpr":
        for operand in condition.nodes("args"):
            yield from constants(operand)


def null_comparisons(condition: Node) -> Iterator[Node]:
    """Comparisons with the constant NULL, whose answer is null: `a = NULL`, and each IN with a NULL in its list."""
    for compared in find(condition, "A_Expr"):
        sides = (compared.node("lexpr"), compared.node("rexpr"))
        match compared.text("kind"):
            case "AEXPR_OP" if any(map(_is_null, sides)) and words(compared.nodes("name"))[-1] in _COMPARES:
                yield compared
            case "AEXPR_IN" if any(map(_is_null, sides[1].nodes("items") if sides[1] else ())):
                yield compared


_COMPARES = {"=", "<>", "<", ">", "<=", ">="}


def truth(condition: Node) -> bool | None:
    """What a condition is for every row, null counted as false; None if that depends, or cannot be told here."""
    if condition.kind == "BoolExpr":
        told = [truth(operand) for operand in condition.nodes("args")]
        match condition.text("boolop"):
            case "AND_EXPR":
                return False if False in told else True if None not in told else None
            case "OR_EXPR":
                return True if True in told else False if None not in told else None
        return None  # NOT of null is null, so what counts as false here says nothing
    if condition.kind == "A_Const":
        value = condition.fields.get("boolval")
        return bool(value) if isinstance(value, dict) else None
    if condition.kind == "A_Expr" and condition.text("kind") == "AEXPR_OP":
        left, right = condition.node("lexpr"), condition.node("rexpr")
        if _is_null(left) or _is_null(right):
            return False
        name = words(condition.nodes("name"))[-1]
        if left and right and left.kind == right.kind == "A_Const" and name in {"=", "<>"}:
            same = _value(left) == _value(right)
            alike = {*_value(left)} == {*_value(right)} and not left.has("fval")  # 1.0 is 1.00, and '1' is 1
            return same is (name == "=") if same or alike else None
    return None


def _is_null(node: Node | None) -> bool:
    return node is not None and node.kind == "A_Const" and node.has("isnull")


def _value(constant: Node) -> dict[str, object]:
    return {key: value for key, value in constant.fields.items() if key != "location"}
