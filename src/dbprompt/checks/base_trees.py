"""Syntax trees of PostgreSQL's own grammar as typed nodes, for the rules that read free SQL.

`checks.sql.tree` gives libpg_query's JSON; a node of it is `{"Kind": {...}}`, or the bare fields where the grammar
leaves no choice of kind (`relation`, `larg`). Here both are a `Node` with a kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec

from dbprompt.checks.sql import tree
from dbprompt.messages import Json

__all__ = [
    "HOW_TO_GET",
    "Broken",
    "Node",
    "by_kind",
    "column_names",
    "expression",
    "find",
    "function_name",
    "grammar",
    "statements",
    "words",
]

HOW_TO_GET = "PostgreSQL's grammar is not installed here: pip install 'dbprompt[postgres]'"
_BARE = {
    "alias": "Alias",
    "cycle_clause": "CTECycleClause",
    "intoClause": "IntoClause",
    "join_using_alias": "Alias",
    "larg": "SelectStmt",
    "rarg": "SelectStmt",
    "rel": "RangeVar",
    "relation": "RangeVar",
    "search_clause": "CTESearchClause",
    "typeName": "TypeName",
}


@dataclass(frozen=True, slots=True)
class Broken:
    """A text that is not what it should be.

    Args:
        message: why.
        near: where, in its own words.
        too_deep: it may well be right, and is nested too deeply to be read.
    """

    message: str
    near: str = ""
    too_deep: bool = False

    def __str__(self) -> str:
        return f"{self.message}, near {self.near!r}" if self.near else self.message


@dataclass(frozen=True, slots=True)
class Node:
    """A node: PostgreSQL's name of its type (`SelectStmt`, `ColumnRef`) and its fields."""

    kind: str
    fields: tree.Node

    def has(self, field: str) -> bool:
        """Whether a field is set."""
        return field in self.fields

    def text(self, field: str) -> str:
        """A field of text or of an enumeration; empty if it is not set."""
        value = self.fields.get(field, "")
        return value if isinstance(value, str) else ""

    def number(self, field: str) -> int:
        """A field with a number; 0 if it is not set, as the grammar leaves zeros out."""
        value = self.fields.get(field, 0)
        return value if isinstance(value, int) else 0

    def node(self, field: str) -> Node | None:
        """A field that is a node."""
        return _node(field, self.fields.get(field))

    def nodes(self, field: str) -> tuple[Node, ...]:
        """A field that is a list of nodes."""
        value = self.fields.get(field)
        items = value if isinstance(value, list) else []
        return tuple(found for item in items if (found := _node(field, item)))

    def children(self) -> Iterator[Node]:
        """The nodes right below, in the order of the fields."""
        for field, value in self.fields.items():
            for item in value if isinstance(value, list) else [value]:
                if found := _node(field, item):
                    yield found

    def walk(self) -> Iterator[Node]:
        """This node and everything below it."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(reversed(list(node.children())))


def _node(field: str, value: Json) -> Node | None:
    return Node(*_kind_and_fields(field, value)) if isinstance(value, dict) and value else None


def _kind_and_fields(field: str, value: tree.Node) -> tuple[str, tree.Node]:
    if len(value) == 1:
        kind, inside = next(iter(value.items()))
        if kind[0].isupper() and isinstance(inside, dict):
            return kind, inside
    return _BARE.get(field, field), value


def grammar() -> str | None:
    """The grammar's name and version, for verdicts; None if it is not installed."""
    return tree.checker() if find_spec("postgast") else None


def statements(sql: str) -> tuple[Node, ...] | Broken:
    """The statements of a text, in order."""
    parsed = tree.parse(sql)
    if isinstance(parsed, tree.Broken):
        near = " ".join(sql[max(parsed.position - 1, 0) :].split())[:40] if parsed.position else ""
        return Broken(parsed.message, near, parsed.too_deep)
    return tuple(Node(one.kind, one.body) for one in parsed)


def expression(sql: str) -> Node | Broken:
    """The one expression that a text is, and nothing besides.

    It is read as `SELECT (text)`, so a text that closes the parenthesis (`1) FROM t WHERE (2`) shows in the tree.
    """
    found = statements(f"SELECT ({sql})")
    if isinstance(found, Broken):
        return found
    if len(found) != 1:
        return Broken("there are two statements in it; write one expression and no ';'")
    select = found[0]
    targets = select.nodes("targetList")
    value = targets[0].node("val") if len(targets) == 1 else None
    if select.fields.keys() - {"limitOption", "op", "targetList"} or value is None:
        return Broken("it is more than one expression; write one expression without commas, FROM or a closing ')'")
    if value.kind == "RowExpr" and value.text("row_format") == "COERCE_IMPLICIT_CAST":
        return Broken("it is a list of expressions; write one")
    return value


def find(node: Node, *kinds: str) -> Iterator[Node]:
    """All nodes of these kinds at or below a node. Only these become a `Node`: rules ask for little of large trees."""
    waiting = [(node.kind, node.fields)]
    while waiting:
        kind, fields = waiting.pop()
        if kind in kinds:
            yield Node(kind, fields)
        below: list[tuple[str, tree.Node]] = []
        for field, value in fields.items():
            for item in value if isinstance(value, list) else (value,):
                if isinstance(item, dict) and item:
                    below.append(_kind_and_fields(field, item))
        below.reverse()
        waiting += below


def by_kind(node: Node) -> dict[str, list[Node]]:
    """All nodes at or below a node, sorted by kind: for a rule that asks for many kinds."""
    found: dict[str, list[Node]] = {}
    for below in node.walk():
        found.setdefault(below.kind, []).append(below)
    return found


def words(names: tuple[Node, ...]) -> tuple[str, ...]:
    """The names in a qualified name; a star is `*`."""
    return tuple("*" if part.kind == "A_Star" else part.text("sval") for part in names)


def column_names(node: Node) -> tuple[tuple[str, ...], ...]:
    """Every column reference at or below a node, each with its qualifiers."""
    return tuple(words(ref.nodes("fields")) for ref in find(node, "ColumnRef"))


def function_name(call: Node) -> str:
    """The unqualified name of a called function."""
    return words(call.nodes("funcname"))[-1]
