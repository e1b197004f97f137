"""Whether a later page starts right after the last row of the page before: no row twice, and none lost.

Right are a strict comparison of rows, `(created_at, id) < ($2, $3)`, and the same written out, `created_at < $2 OR
(created_at = $2 AND id < $3)`; a bound of the first sort value, `created_at <= $2`, may stand beside either. Wrong, and
easily written: `created_at < $2 AND id < $3`, which loses rows; `(created_at, id) <= ($2, $3)`, which repeats one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from dbprompt.checks.base_queries import descends, sort_columns
from dbprompt.checks.base_statements import Parsed
from dbprompt.checks.base_trees import Node, column_names, find, words
from dbprompt.messages import Json

__all__ = ["Columns", "Following", "SortKey", "following", "sort_keys"]

Columns: TypeAlias = frozenset[tuple[str, str]]
"""(table, column) pairs that a part of a statement may name."""

_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "="}


@dataclass(frozen=True, slots=True)
class SortKey:
    """One key of an ORDER BY."""

    columns: Columns
    descending: bool

    def __str__(self) -> str:
        return " or ".join(sorted(column for _, column in self.columns)) or "an expression"


@dataclass(frozen=True, slots=True)
class Following:
    """How a later page goes on.

    Args:
        compared: the sort columns that are compared with the last row, from the first one on.
        fixed: the columns that have one value in the whole list, `tenant_id = $1`.
        fault: why rows are lost or repeated; empty if they are not, as long as `compared` and `fixed` hold a key.
    """

    compared: Columns = frozenset()
    fixed: Columns = frozenset()
    fault: str = ""


@dataclass(frozen=True, slots=True)
class _Test:
    """`column OPERATOR value`, turned so that the row is on the left; several columns where rows are compared."""

    sides: tuple[Columns, ...]
    operator: str
    values: tuple[str, ...]


def sort_keys(statement: Parsed, select: Node) -> tuple[SortKey, ...]:
    """The keys that a SELECT is sorted by."""
    return tuple(SortKey(sort_columns(statement, select, key), descends(key)) for key in select.nodes("sortClause"))


def following(later: Parsed, select: Node) -> Following:
    """How the later page that a SELECT sorts goes on after the page before."""
    found = _following(later, select, tuple(_parts(*_own_conditions(select))))
    if found.compared:
        return found
    inside = _following(later, select, tuple(_parts(*later.conditions())))  # the query that it selects from may compare
    return inside if inside.compared else found


def _following(later: Parsed, select: Node, parts: Sequence[Node]) -> Following:
    reader = _Reader(later, _given(later, select, parts))
    tests = [(part, test) for part in parts if (test := reader.test(part)) is not None]
    fixed = frozenset[tuple[str, str]]().union(*(reader.fixed_by(part) for part in parts))
    order = [key for key in sort_keys(later, select) if not key.columns or not key.columns <= fixed]
    if not order:
        return Following(fixed=fixed, fault="it is not sorted")
    first = order[0]
    bounds = frozenset(value for part in parts if (value := reader.bound(part, first)) is not None)
    movers = [(part, reader.after([[part]], order, bounds, fixed)) for part in parts]
    mover, values = max(movers, key=lambda one: len(one[1]), default=(None, ()))
    if not values:
        is_read = bool(first.columns & later.mentioned(parts))
        return Following(fixed=fixed, fault=_why_not([test for _, test in tests], order, is_read=is_read))
    compared = frozenset[tuple[str, str]]().union(*(key.columns for key in order[: len(values)]))
    for part, test in tests:
        is_filter = test.operator == "=" or not set(test.values) & set(values)
        if part is not mover and not is_filter and reader.bound(part, first) != values[0]:
            named = ", ".join(sorted({column for side in test.sides for _, column in side}))
            fault = f"it compares {named} with the last row once more, and loses rows by that"
            return Following(compared, fixed, fault)
    apart = [key for key in order[len(values) :] if any(reader.goes_on(part, key) for part in parts)]
    fault = f"it compares {first} and {apart[0]} each for itself, and not as one row" if apart else ""
    return Following(compared, fixed, fault)


def _why_not(tests: Sequence[_Test], order: Sequence[SortKey], *, is_read: bool) -> str:
    first = order[0]
    ways = {test.operator[0] for test in tests if test.sides[0] & first.columns and test.operator != "="}
    names = ", ".join(map(str, order))
    if not is_read:
        return f"it is sorted by {names}, and does not compare {first} with the last row"
    if ways == {">" if first.descending else "<"}:
        return f"it compares {first} against its direction"
    return f"it is sorted by {names}, and its comparison lets in other rows than those after the last one"


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads conditions. `given`: names of relations whose row is known, such as that of the last row."""

    later: Parsed
    given: frozenset[str]

    def after(
        self, arms: Sequence[Sequence[Node]], order: Sequence[SortKey], bounds: frozenset[str], fixed: Columns
    ) -> tuple[str, ...]:
        """The values that the first keys are compared with, if these conditions let in what follows and no more.

        Args:
            arms: joined by OR; the parts of each by AND.
            order: the sort keys.
            bounds: values that the first key is at most (or at least) as large as anyway.
            fixed: columns that need no comparison.
        """
        if not order:
            return ()
        first, *deeper = order
        if len(arms) == 1:
            return self._arm(arms[0], order, bounds, fixed)
        heads = [(at, value) for at, arm in enumerate(arms) if (value := self._head(arm, first))]
        if len(heads) != 1:
            return ()
        [(place, value)] = heads
        rest: list[list[Node]] = []
        for arm in (arm for at, arm in enumerate(arms) if at != place):
            others = [part for part in arm if not self._is_same(part, first, value)]
            if len(others) == len(arm) and value not in bounds:
                return ()
            rest.append(others)
        found = self.after(rest, deeper, frozenset(), fixed)
        return (value, *found) if found else ()

    def _arm(
        self, parts: Sequence[Node], order: Sequence[SortKey], bounds: frozenset[str], fixed: Columns
    ) -> tuple[str, ...]:
        bound = [(part, self.bound(part, order[0])) for part in parts]
        left = [part for part, value in bound if value is None]
        own = frozenset(value for _, value in bound if value is not None)
        if len(left) != 1:
            return ()
        if left[0].kind == "BoolExpr" and left[0].text("boolop") == "OR_EXPR":
            arms = [tuple(_parts(arm)) for arm in left[0].nodes("args")]
            found = self.after(arms, order, bounds | own, fixed)
        else:
            found = self._compared(left[0], order, fixed)
        return found if own <= set(found[:1]) else ()

    def _compared(self, node: Node, order: Sequence[SortKey], fixed: Columns) -> tuple[str, ...]:
        """The values of a strict comparison, of rows or of one key, that covers the first keys in their order."""
        test = self.test(node)
        if test is None or test.operator not in {"<", ">"}:
            return ()
        pairs = [one for one in zip(test.sides, test.values, strict=True) if not (one[0] and one[0] <= fixed)]
        fits = len(pairs) <= len(order) and all(
            side & key.columns and key.descending is (test.operator == "<")
            for (side, _), key in zip(pairs, order, strict=False)
        )
        return tuple(value for _, value in pairs) if fits else ()

    def _head(self, arm: Sequence[Node], key: SortKey) -> str:
        """The value of an arm that is `key < value` and nothing else; empty if it is not."""
        found = self._compared(arm[0], [key], frozenset()) if len(arm) == 1 else ()
        return found[0] if found else ""

    def _is_same(self, node: Node, key: SortKey, value: str) -> bool:
        test = self.test(node)
        is_equal = test is not None and test.operator == "=" and test.values == (value,)
        return is_equal and test is not None and bool(test.sides[0] & key.columns)

    def goes_on(self, node: Node, key: SortKey) -> bool:
        """Whether a part compares a key alone, in its direction."""
        test = self.test(node)
        ways = {"<", "<="} if key.descending else {">", ">="}
        return test is not None and test.operator in ways and len(test.sides) == 1 and bool(test.sides[0] & key.columns)

    def bound(self, node: Node, key: SortKey) -> str | None:
        """The value of `key <= value`, or of `key >= value` for a key that goes up; None if a part is no such bound."""
        test = self.test(node)
        if test is None or test.operator != ("<=" if key.descending else ">=") or len(test.sides) != 1:
            return None
        return test.values[0] if test.sides[0] & key.columns else None

    def fixed_by(self, node: Node) -> Columns:
        """The column that a part gives one value: a parameter, or a constant."""
        operator, left, right = _sides(node)
        if operator != "=" or left is None or right is None:
            return frozenset()
        sides = ((left, right), (right, left))
        found = [one for one, other in sides if one.kind == "ColumnRef" and not any(column_names(other))]
        found = [one for one in found if not self._is_outside(one)]
        return self.later.mentioned(found[:1])

    def test(self, node: Node) -> _Test | None:
        """A comparison of the row with values from outside of it; None if a condition is something else."""
        operator, left, right = _sides(node)
        if left is None or right is None:
            return None
        if not self._is_outside(right):
            left, right, operator = right, left, _FLIPPED[operator]
        if not self._is_outside(right) or self._is_outside(left):
            return None
        sides = left.nodes("args") if left.kind == "RowExpr" else (left,)
        if right.kind == "RowExpr":
            values = tuple(_value(one) for one in right.nodes("args"))
        else:  # a subquery finds all of them
            values = tuple(f"{_value(right)}.{at}" if len(sides) > 1 else _value(right) for at in range(len(sides)))
        if len(values) != len(sides):
            return None
        return _Test(tuple(self.later.mentioned([side]) for side in sides), operator, values)

    def _is_outside(self, node: Node) -> bool:
        """Whether a side is given: by a parameter, by a subquery of its own, or by a row that is known."""
        if node.kind == "RowExpr":
            return all(self._is_outside(one) for one in node.nodes("args"))
        if _bare(node).kind == "SubLink":
            return any(find(node, "ParamRef"))
        names = column_names(node)
        known = all(len(one) > 1 and one[-2] in self.given for one in names)
        return known and (bool(names) or any(find(node, "ParamRef")))


def _given(later: Parsed, select: Node, parts: Sequence[Node]) -> frozenset[str]:
    """Subqueries, and tables that a parameter chooses a row of, but for those that the page is sorted by."""
    sorted_by = {one[-2] for key in select.nodes("sortClause") for one in column_names(key) if len(one) > 1}
    chosen = set(later.derived)
    for part in parts:
        operator, left, right = _sides(part)
        for one, other in ((left, right), (right, left)):
            if operator == "=" and one is not None and other is not None and _bare(other).kind == "ParamRef":
                chosen |= {names[-2] for names in column_names(one) if len(names) > 1}
    return frozenset(chosen - sorted_by) if sorted_by else frozenset(later.derived)


def _own_conditions(select: Node) -> Iterator[Node]:
    """WHERE, HAVING and ON of a SELECT, without those of queries inside of it."""
    yield from (condition for field in ("whereClause", "havingClause") if (condition := select.node(field)))
    waiting = list(select.nodes("fromClause"))
    while waiting:
        node = waiting.pop()
        if node.kind == "JoinExpr":
            if condition := node.node("quals"):
                yield condition
            waiting += [side for field in ("larg", "rarg") if (side := node.node(field))]


def _parts(*conditions: Node) -> Iterator[Node]:
    """What AND joins."""
    for node in conditions:
        if node.kind == "BoolExpr" and node.text("boolop") == "AND_EXPR":
            yield from _parts(*node.nodes("args"))
        else:
            yield node


def _sides(node: Node) -> tuple[str, Node | None, Node | None]:
    """Operator and sides of a comparison; no sides if a condition is something else."""
    operator = (words(node.nodes("name")) or ("",))[-1]
    if node.kind != "A_Expr" or node.text("kind") != "AEXPR_OP" or operator not in _FLIPPED:
        return "", None, None
    return operator, node.node("lexpr"), node.node("rexpr")


def _bare(node: Node) -> Node:
    """A node without the casts around it."""
    while node.kind == "TypeCast" and (inside := node.node("arg")):
        node = inside
    return node


def _value(node: Node) -> str:
    """A value as text, the same for the same value wherever it stands."""
    bare = _bare(node)
    return json.dumps([bare.kind, _unplaced(bare.fields)], sort_keys=True)


def _unplaced(value: Json) -> Json:
    if isinstance(value, dict):
        return {name: _unplaced(one) for name, one in value.items() if name != "location"}
    return [_unplaced(one) for one in value] if isinstance(value, list) else value
