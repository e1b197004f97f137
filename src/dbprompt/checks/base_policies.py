"""What a row policy's expression says: which column it compares with which setting."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dbprompt.checks.base_trees import Broken, Node, column_names, expression, find, function_name

__all__ = ["REQUESTS", "Key", "keys_of", "settings_of"]

REQUESTS = frozenset({"application", "read_only"})
"""Purposes of the roles that requests of users run as: policies have to hold for them."""


@dataclass(frozen=True, slots=True)
class Key:
    """A comparison: the rows whose `column` has the value of `setting`."""

    column: str
    setting: str


def keys_of(sql: str) -> tuple[Key, ...]:
    """The columns that an expression compares with settings of the session, wherever in it they stand.

    >>> keys_of("tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::bigint)")
    (Key(column='tenant_id', setting='app.tenant_id'),)
    """
    tree = expression(sql)
    if isinstance(tree, Broken):
        return ()
    return tuple(dict.fromkeys(key for node in find(tree, "A_Expr") for key in _keys(node)))


def settings_of(sql: str) -> tuple[str, ...]:
    """The settings that an expression reads, by name."""
    tree = expression(sql)
    return () if isinstance(tree, Broken) else tuple(dict.fromkeys(_settings(tree)))


def _keys(node: Node) -> Iterator[Key]:
    if [part.text("sval") for part in node.nodes("name")] != ["="]:
        return
    sides = node.node("lexpr"), node.node("rexpr")
    for one, other in (sides, sides[::-1]):
        if one is None or other is None:
            continue
        columns, settings = column_names(one), tuple(_settings(other))
        if len(columns) == 1 and settings and not tuple(_settings(one)):
            yield Key(columns[0][-1], settings[0])


def _settings(tree: Node) -> Iterator[str]:
    for call in find(tree, "FuncCall"):
        arguments = call.nodes("args")
        if function_name(call) == "current_setting" and arguments and arguments[0].kind == "A_Const":
            held = arguments[0].fields.get("sval")
            if isinstance(held, dict) and isinstance(name := held.get("sval"), str):
                yield name
