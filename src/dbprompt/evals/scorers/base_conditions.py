"""What a CHECK says of one column: its bounds, its list of values, and whether it compares columns.

`price >= 0 AND price < 10000` is a range and not negative; `price IS NULL OR price > 0` is positive, since a CHECK lets
null pass anyway; `price > 0 OR is_gift` is nothing, since a row may choose.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation

from dbprompt.checks.base_trees import Broken, Node, column_names, expression, words

__all__ = ["column_of", "kinds_of", "unwrapped"]

_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "=", "<>": "<>"}


@dataclass(frozen=True, slots=True)
class _Bound:
    value: Decimal
    strict: bool


@dataclass(frozen=True, slots=True)
class _Facts:
    """What holds for every row that a condition lets in."""

    lower: _Bound | None = None
    upper: _Bound | None = None
    listed: bool = False
    compared: bool = False


def kinds_of(sql: str, column: str, *, whole: bool) -> frozenset[str]:
    """Which of `enum`, `positive`, `non_negative`, `range`, `cross_column` a CHECK is for a column.

    `whole`: the column holds whole numbers, so that above -1 is not negative.
    """
    tree = expression(sql)
    if isinstance(tree, Broken):
        return frozenset()
    facts = _facts(tree, column)
    kinds = {"enum"} if facts.listed else set()
    if facts.compared:
        kinds.add("cross_column")
    if facts.lower is not None:
        if facts.lower.value > 0 or (facts.lower.value == 0 and facts.lower.strict):
            kinds |= {"positive", "non_negative"}
        elif facts.lower.value == 0 or (whole and facts.lower.value >= -1 and facts.lower.strict):
            kinds.add("non_negative")
        if facts.upper is not None:
            kinds.add("range")
    return frozenset(kinds)


def _facts(node: Node, column: str) -> _Facts:
    if node.kind == "BoolExpr" and node.text("boolop") == "AND_EXPR":
        total = _Facts()
        for part in node.nodes("args"):
            total = _both(total, _facts(part, column))
        return total
    if node.kind == "BoolExpr" and node.text("boolop") == "OR_EXPR":
        return _either(node, column)
    if node.kind == "A_Expr":
        return _comparison(node, column)
    return _Facts()


def _both(one: _Facts, other: _Facts) -> _Facts:
    lowers = [bound for bound in (one.lower, other.lower) if bound]
    uppers = [bound for bound in (one.upper, other.upper) if bound]
    lower = max(lowers, key=lambda bound: (bound.value, bound.strict), default=None)
    upper = min(uppers, key=lambda bound: (bound.value, not bound.strict), default=None)
    return _Facts(lower, upper, one.listed or other.listed, one.compared or other.compared)


def _either(node: Node, column: str) -> _Facts:
    """What holds in every arm; an arm that only tests the column for null does not count."""
    arms = [arm for arm in node.nodes("args") if not _is_null_test(arm, column)]
    found = [_facts(arm, column) for arm in arms]
    if len(found) == 1:
        return found[0]
    equal = [arm.kind == "A_Expr" and _operator(arm) == "=" and _constant_side(arm, column) for arm in arms]
    listed = all(facts.listed or bool(same) for facts, same in zip(found, equal, strict=True))
    lowers = [facts.lower for facts in found if facts.lower]
    uppers = [facts.upper for facts in found if facts.upper]
    total = _Facts(listed=listed, compared=all(facts.compared for facts in found))
    if len(lowers) == len(found):
        total = replace(total, lower=min(lowers, key=lambda bound: (bound.value, bound.strict)))
    if len(uppers) == len(found):
        total = replace(total, upper=max(uppers, key=lambda bound: (bound.value, not bound.strict)))
    return total


def _is_null_test(node: Node, column: str) -> bool:
    argument = node.node("arg")
    is_null = node.kind == "NullTest" and node.text("nulltesttype") == "IS_NULL"
    return is_null and argument is not None and column_of(argument) == column


def _comparison(node: Node, column: str) -> _Facts:
    left, right, kind = node.node("lexpr"), node.node("rexpr"), node.text("kind")
    if kind == "AEXPR_BETWEEN" and left is not None and column_of(left) == column:
        ends = [_number(end) for end in _items(node)]
        if len(ends) == 2 and ends[0] is not None and ends[1] is not None:
            return _Facts(_Bound(ends[0], False), _Bound(ends[1], False))
        return _Facts(compared=any(name != column for name in _others(node, column)))
    if kind in {"AEXPR_IN", "AEXPR_OP_ANY"} and left is not None and column_of(left) == column:
        return _Facts(listed=_operator(node) == "=" and not _others(node, column))
    if kind != "AEXPR_OP" or left is None or right is None:
        return _Facts()
    operator = _operator(node)
    if column_of(right) == column and column_of(left) != column:
        left, right, operator = right, left, _FLIPPED.get(operator, "")
    if column_of(left) != column or operator not in _FLIPPED:
        return _Facts(compared=operator in _FLIPPED and column in _names(node) and bool(_others(node, column)))
    if _others(node, column):
        return _Facts(compared=True)
    number = _number(right)
    if number is None:
        return _Facts()
    if operator in {">", ">="}:
        return _Facts(lower=_Bound(number, operator == ">"))
    if operator in {"<", "<="}:
        return _Facts(upper=_Bound(number, operator == "<"))
    return _Facts(_Bound(number, False), _Bound(number, False)) if operator == "=" else _Facts()


def _items(node: Node) -> tuple[Node, ...]:
    """The items of a right side that is a list."""
    right = node.node("rexpr")
    if right is not None and right.kind == "List":
        return right.nodes("items")
    return node.nodes("rexpr")


def _operator(node: Node) -> str:
    names = words(node.nodes("name"))
    return names[-1] if names else ""


def _constant_side(node: Node, column: str) -> bool:
    return column in _names(node) and not _others(node, column)


def _names(node: Node) -> set[str]:
    return {names[-1] for names in column_names(node)}


def _others(node: Node, column: str) -> set[str]:
    return _names(node) - {column}


def unwrapped(node: Node) -> Node:
    """A node without the casts around it."""
    while node.kind == "TypeCast" and (inside := node.node("arg")):
        node = inside
    return node


def column_of(node: Node) -> str:
    """The column that a node is, casts aside; empty if it is something else."""
    node = unwrapped(node)
    return words(node.nodes("fields"))[-1] if node.kind == "ColumnRef" else ""


def _number(node: Node) -> Decimal | None:
    node = unwrapped(node)
    if node.kind == "A_Expr" and _operator(node) == "-" and not node.has("lexpr"):
        inside = node.node("rexpr")
        value = _number(inside) if inside else None
        return None if value is None else -value
    if node.kind != "A_Const":
        return None
    if node.has("ival"):
        whole = node.node("ival")
        return Decimal(whole.number("ival") if whole else 0)
    for field, inner in (("fval", "fval"), ("sval", "sval")):
        if constant := node.node(field):
            try:
                return Decimal(constant.text(inner))
            except InvalidOperation:
                return None
    return None
