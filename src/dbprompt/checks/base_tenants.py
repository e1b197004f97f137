"""Whether the session decides whose rows a row policy lets in.

Decided: `tenant_id = current_setting('app.tenant_id')::bigint`, and `tenant_id IN (SELECT tenant_id FROM membership
WHERE user_id = current_setting('app.user_id')::bigint)`. Open to everybody, though the column is named: `tenant_id IN
(SELECT id FROM tenant)`, `tenant_id <> ALL (...)`, `tenant_id = owner_id + 0`, `tenant_id = 5`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from dbprompt.checks.base_trees import Broken, Node, column_names, expression, find, function_name, words
from dbprompt.sections.schema import Schema

__all__ = ["session_decides"]

_USERS = {"SVFOP_CURRENT_ROLE", "SVFOP_CURRENT_USER", "SVFOP_SESSION_USER", "SVFOP_USER"}
_OPERATIONS = {"AEXPR_OP", "AEXPR_OP_ANY", "AEXPR_IN", "AEXPR_NOT_DISTINCT"}
_SUBLINKS = {"ANY_SUBLINK", "EXISTS_SUBLINK", "ALL_SUBLINK"}

Wanted: TypeAlias = Callable[[Node], bool]
"""Whether a column reference is to a column that has to be decided."""


def session_decides(sql: str, columns: frozenset[str], schema: Schema) -> bool | None:
    """Whether each row that an expression lets in has, in one of these columns, what the session says.

    None: it is written in a way that this cannot be told of, such as a CASE or a function of the row.
    """
    tree = expression(sql)
    if isinstance(tree, Broken):
        return None
    return _Policy(schema).holds(tree, lambda reference: words(reference.nodes("fields"))[-1] in columns)


@dataclass(frozen=True, slots=True)
class _Policy:
    schema: Schema

    def holds(self, node: Node, wanted: Wanted) -> bool | None:
        """Whether every row that a condition lets in has a wanted column decided."""
        node = _bare(node)
        if node.kind == "BoolExpr" and node.text("boolop") != "NOT_EXPR":
            found = [self.holds(part, wanted) for part in node.nodes("args")]
            strongest = node.text("boolop") == "AND_EXPR"  # one part of AND is enough, one of OR spoils it
            return strongest if strongest in found else None if None in found else not strongest
        if node.kind == "A_Expr" and node.text("kind") in _OPERATIONS:
            return self._compared(node, wanted)
        if node.kind == "SubLink" and node.text("subLinkType") in _SUBLINKS:
            return self._among(node, wanted)
        if node.kind in {"A_Const", "ColumnRef", "NullTest", "BooleanTest"} or node.text("kind").endswith("_ALL"):
            return False
        return None

    def _compared(self, node: Node, wanted: Wanted) -> bool | None:
        left, right = node.node("lexpr"), node.node("rexpr")
        if left is None or right is None:
            return None
        if not column_names(node) and _reads_session(node):
            return None  # a right of the session itself: it may be an administrator's
        if words(node.nodes("name"))[-1:] != ("=",):
            return False
        sides = (
            ((left, right),) if node.text("kind") in {"AEXPR_OP_ANY", "AEXPR_IN"} else ((left, right), (right, left))
        )
        for one, other in sides:
            reference = _bare(one)
            if reference.kind == "ColumnRef" and wanted(reference):
                return self._given(other)
        return None if any(wanted(reference) for reference in find(node, "ColumnRef")) else False

    def _given(self, node: Node) -> bool | None:
        """Whether a value is the session's."""
        node = _bare(node)
        if node.kind == "List":
            found = [self._given(item) for item in node.nodes("items")]
            return False if False in found else None if None in found else True
        if node.kind == "SubLink":
            query, targets = node.node("subselect"), _targets(node)
            return self._chosen(query, lambda scope: len(targets) == 1 and scope.alias(targets[0]) in scope.decided)
        return _reads_session(node) and not column_names(node)

    def _among(self, node: Node, wanted: Wanted) -> bool | None:
        """`column IN (SELECT ...)`, and EXISTS with the column compared inside."""
        query, kind, tested = node.node("subselect"), node.text("subLinkType"), node.node("testexpr")
        if kind == "EXISTS_SUBLINK":
            return self._chosen(query, lambda scope: scope.ties(wanted))
        reference = _bare(tested) if tested is not None else None
        if kind != "ANY_SUBLINK" or words(node.nodes("operName")) not in {(), ("=",)}:
            return False
        if reference is None or reference.kind != "ColumnRef" or not wanted(reference):
            return False
        return self._given(node)

    def _chosen(self, query: Node | None, is_decided: Callable[[_Scope], bool]) -> bool | None:
        """What a subquery gives, or is about: decided if the session chooses its rows."""
        if query is None or query.kind != "SelectStmt" or query.has("larg"):
            return None
        if not query.has("fromClause"):
            values = [value for target in query.nodes("targetList") if (value := target.node("val"))]
            return self._given(values[0]) if len(values) == 1 and not query.has("whereClause") else None
        scope = _scope(query, self.schema)
        if scope is None:
            return None
        parts = tuple(_parts(scope.conditions))
        while True:
            more = {
                alias
                for alias in scope.tables.keys() - scope.decided
                if any(self._decides(part, alias, scope) for part in parts)
            }
            if not more:
                break
            scope = _Scope(scope.tables, scope.conditions, scope.decided | more, scope.schema)
        if is_decided(scope):
            return True
        return None if any(_reads_session(part) for part in parts) else False

    def _decides(self, part: Node, alias: str, scope: _Scope) -> bool:
        """Whether a condition lets in only the session's rows of a table, or those that belong to such rows."""
        if self.holds(part, lambda reference: scope.alias(reference) == alias):
            return True
        return any(scope.alias(one) == alias and scope.alias(other) in scope.decided for one, other in _equal(part))


@dataclass(frozen=True, slots=True)
class _Scope:
    """A subquery: its tables by alias, its conditions, and the aliases whose rows the session chooses."""

    tables: dict[str, str]
    conditions: tuple[Node, ...]
    decided: frozenset[str]
    schema: Schema

    def alias(self, node: Node) -> str:
        """The relation of this query that a column is of; empty if it is no column, or one of a query around it."""
        node = _bare(node)
        if node.kind != "ColumnRef":
            return ""
        names = words(node.nodes("fields"))
        if len(names) > 1:
            return names[-2] if names[-2] in self.tables else ""
        for alias, name in self.tables.items():
            table = self.schema.table(name)
            if table is not None and table.column(names[-1]) is not None:
                return alias
        return ""

    def ties(self, wanted: Wanted) -> bool:
        """Whether a decided row is held against a wanted column of the query around it."""
        return any(
            self.alias(one) in self.decided
            and _bare(other).kind == "ColumnRef"
            and not self.alias(other)
            and wanted(other)
            for part in _parts(self.conditions)
            for one, other in _equal(part)
        )


def _scope(query: Node, schema: Schema) -> _Scope | None:
    """None if it selects from anything but tables and inner joins of them."""
    conditions = [condition] if (condition := query.node("whereClause")) else []
    tables: dict[str, str] = {}
    waiting = list(query.nodes("fromClause"))
    while waiting:
        node = waiting.pop()
        if node.kind == "JoinExpr" and node.text("jointype") == "JOIN_INNER" and not node.has("usingClause"):
            waiting += [side for field in ("larg", "rarg") if (side := node.node(field))]
            conditions += [condition] if (condition := node.node("quals")) else []
        elif node.kind == "RangeVar" and schema.table(node.text("relname")) is not None:
            alias = node.node("alias")
            tables[alias.text("aliasname") if alias else node.text("relname")] = node.text("relname")
        else:
            return None
    return _Scope(tables, tuple(conditions), frozenset(), schema)


def _targets(sublink: Node) -> list[Node]:
    query = sublink.node("subselect")
    return [value for target in (query.nodes("targetList") if query else ()) if (value := target.node("val"))]


def _parts(conditions: Iterable[Node]) -> Iterator[Node]:
    """What AND joins."""
    for node in conditions:
        if node.kind == "BoolExpr" and node.text("boolop") == "AND_EXPR":
            yield from _parts(node.nodes("args"))
        else:
            yield node


def _equal(node: Node) -> tuple[tuple[Node, Node], ...]:
    """The sides of an equation, both ways round."""
    left, right = node.node("lexpr"), node.node("rexpr")
    is_equation = node.kind == "A_Expr" and node.text("kind") == "AEXPR_OP" and words(node.nodes("name"))[-1:] == ("=",)
    return ((left, right), (right, left)) if is_equation and left is not None and right is not None else ()


def _reads_session(node: Node) -> bool:
    """A setting or the user; a function of a schema of its own, such as auth.uid(), is taken for one too."""
    if any(one.text("op") in _USERS for one in find(node, "SQLValueFunction")):
        return True
    calls = ((function_name(call), words(call.nodes("funcname"))) for call in find(node, "FuncCall"))
    return any(name.startswith("current_") or (len(names) > 1 and names[0] != "pg_catalog") for name, names in calls)


def _bare(node: Node) -> Node:
    """A node without the casts around it."""
    while node.kind == "TypeCast" and (inside := node.node("arg")):
        node = inside
    return node
