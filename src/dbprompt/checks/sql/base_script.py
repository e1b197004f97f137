"""A script as the rules see it: its statements and those of the setup, as trees with their places."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dbprompt.checks.base import Statement
from dbprompt.checks.base_trees import Node, find
from dbprompt.checks.sql import tree
from dbprompt.checks.sql.dump import without_data
from dbprompt.evidence import Finding, Severity

__all__ = ["Seen", "inside", "parts", "read", "relation_name", "said", "strings_in", "tokens"]


@dataclass(frozen=True, slots=True)
class Seen:
    """One statement.

    Args:
        where: its place, as in `Finding`; empty for one of the setup, which is read and not judged.
        sql: its text.
        tree: its node.
    """

    where: str
    sql: str
    tree: Node

    @property
    def kind(self) -> str:
        """PostgreSQL's name of the statement: `CreateStmt`."""
        return self.tree.kind

    def after(self, location: int) -> str:
        """The text from a byte on, which is how the grammar counts."""
        return self.sql.encode()[location:].decode(errors="replace")


def read(statements: Iterable[Statement], *, setup: str = "") -> tuple[Seen, ...]:
    """What the grammar accepts of a setup and a script, in order."""
    texts = [("", one.sql) for one in tree.split(without_data(setup))] + [(one.where, one.sql) for one in statements]
    seen = []
    for where, sql in texts:
        parsed = tree.parse(sql)  # by itself, so that its places count from its own beginning
        if isinstance(parsed, tuple) and len(parsed) == 1:
            seen.append(Seen(where, parsed[0].sql, Node(parsed[0].kind, parsed[0].body)))
    return tuple(seen)


def said(severity: Severity, code: str, of: Seen, message: str) -> Iterator[Finding]:
    """A finding, unless the statement is not judged."""
    if of.where:
        yield Finding(code, severity, of.where, message)


def relation_name(relation: Node | None) -> str:
    """A relation's name without its schema; empty for none."""
    return relation.text("relname") if relation else ""


def strings_in(node: Node) -> Iterator[str]:
    """Every text constant at or below a node, bodies of functions among them."""
    for inner in find(node, "String", "sval"):
        yield inner.text("sval")


_TOKEN = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$|\w+|\s+|.""", re.DOTALL
)


def tokens(sql: str) -> Iterator[str]:
    """The words, quoted texts, comments and signs of a text."""
    return (found.group() for found in _TOKEN.finditer(sql))


def inside(sql: str) -> str:
    """What stands in the first pair of parentheses."""
    depth, kept = 0, list[str]()
    for token in tokens(sql):
        depth -= token == ")"  # noqa: S105  a sign, not a secret
        if depth > 0:
            kept.append(token)
        elif kept:
            break
        depth += token == "("  # noqa: S105
    return "".join(kept).strip()


def parts(text: str) -> list[str]:
    """A list cut at the commas that stand in no parentheses."""
    depth, found = 0, [""]
    for token in tokens(text):
        depth += (token == "(") - (token == ")")  # noqa: S105
        if token == "," and depth == 0:  # noqa: S105
            found.append("")
        else:
            found[-1] += token
    return [part.strip() for part in found]
