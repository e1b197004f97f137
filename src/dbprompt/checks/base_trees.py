"""Syntax trees of PostgreSQL's own grammar (postgast), for the rules that read free SQL.

The only file of the design checks that knows postgast. A tree's nodes are protobuf messages: `kind(node)` is the name
that PostgreSQL gives them, `walk` visits all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from google.protobuf.message import Message as Node
else:
    Node: TypeAlias = object

__all__ = [
    "HOW_TO_GET",
    "Broken",
    "Node",
    "column_names",
    "expression",
    "find",
    "function_name",
    "grammar",
    "kind",
    "statements",
    "unwrap",
    "walk",
    "words",
]

_IMPLICIT_ROW = 3  # COERCE_IMPLICIT_CAST: `(a, b)` and not `ROW(a, b)`
HOW_TO_GET = "PostgreSQL's grammar is not installed here: pip install 'dbprompt[postgres]'"


@dataclass(frozen=True, slots=True)
class Broken:
    """A text that is not what it should be; `message` says why, `near` shows where."""

    message: str
    near: str = ""

    def __str__(self) -> str:
        return f"{self.message}, near {self.near!r}" if self.near else self.message


@cache
def grammar() -> str | None:
    """The grammar's name and version; None if it is not installed."""
    try:
        return f"postgast {version('postgast')}"
    except PackageNotFoundError:
        return None


def statements(sql: str) -> tuple[Node, ...] | Broken:
    """The statements of a text, in order."""
    from google.protobuf.message import DecodeError
    from postgast import PgQueryError, parse

    if "\0" in sql:  # the C library would read up to it only, and the rest would pass unseen
        return Broken("the text holds a NUL character; take it out")
    try:
        tree = parse(sql)
    except PgQueryError as error:
        return Broken(error.message, _near(sql, error.cursorpos))
    except (DecodeError, RecursionError, UnicodeEncodeError):
        return Broken("the text is nested too deeply, or not Unicode, and cannot be verified; simplify it")
    return tuple(unwrap(raw.stmt) for raw in tree.stmts)


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
    fields = {field.name for field, _ in select.ListFields()} - {"limit_option", "op"}
    if kind(select) != "SelectStmt" or fields != {"target_list"} or len(select.target_list) != 1:
        return Broken("it is more than one expression; write one expression without commas, FROM or a closing ')'")
    inner = unwrap(unwrap(select.target_list[0]).val)
    if kind(inner) == "RowExpr" and inner.row_format == _IMPLICIT_ROW:
        return Broken("it is a list of expressions; write one")
    return inner


def unwrap(node: Node) -> Node:
    """The concrete node."""
    from postgast import unwrap_node

    return unwrap_node(node)


def kind(node: Node) -> str:
    """PostgreSQL's name of a node's type: `SelectStmt`, `ColumnRef`."""
    return type(node).__name__


def walk(node: Node) -> Iterator[Node]:
    """A node and everything below it, in the order of the text."""
    from postgast import walk as walk_fields

    return (found for _, found in walk_fields(node))


def find(node: Node, *kinds: str) -> Iterator[Node]:
    """All nodes of these kinds at or below a node."""
    return (found for found in walk(node) if kind(found) in kinds)


def words(nodes: Node) -> tuple[str, ...]:
    """The names in a qualified name; a star is `*`."""
    return tuple("*" if kind(part) == "A_Star" else str(part.sval) for part in map(unwrap, nodes))


def column_names(node: Node) -> tuple[tuple[str, ...], ...]:
    """Every column reference at or below a node, each with its qualifiers."""
    return tuple(words(ref.fields) for ref in find(node, "ColumnRef"))


def function_name(call: Node) -> str:
    """The unqualified name of a called function."""
    return words(call.funcname)[-1]


def _near(sql: str, position: int) -> str:
    """What stands at a 1-based character position (libpg_query counts characters here, as the server does)."""
    return " ".join(sql[max(position - 1, 0) :].split())[:40] if position else ""
