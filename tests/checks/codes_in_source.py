"""Every code of a finding that the source can make, read from its syntax trees."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from dbprompt.checks.catalogue import NOT_RULES, families

SOURCE = Path(__file__).parents[2] / "src" / "dbprompt"
_CODE = re.compile(r"^([a-z_]+)\.(?!sql$)([a-z0-9_]+)$")
_MAKERS = {"error", "warning", "advice", "found", "said", "Finding", "finding"}


@dataclass(slots=True)
class Found:
    """Where a code stands, and the severities that it is surely made with."""

    places: list[str] = field(default_factory=list)
    severities: set[str] = field(default_factory=set)


@cache
def _trees() -> tuple[tuple[Path, ast.Module], ...]:
    return tuple((path, ast.parse(path.read_text(encoding="utf-8"))) for path in sorted(SOURCE.rglob("*.py")))


@cache
def codes() -> dict[str, Found]:
    """Literal codes: texts of a known family, and the first text of a call that makes a finding."""
    found: dict[str, Found] = defaultdict(Found)
    for path, tree in _trees():
        for node in ast.walk(tree):
            for code in _codes(node):
                found[code].places.append(f"{path.relative_to(SOURCE)}:{node.lineno}")
            if isinstance(node, ast.Call) and (level := _severity(node)):
                for argument in node.args:
                    for code in _codes(argument):
                        found[code].severities.add(level)
    return dict(found)


def _codes(node: ast.AST) -> Iterator[str]:
    """The code that a constant is, or that a maker of findings is given first."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        if (match := _CODE.match(node.value)) and match[1] in {*families(), *NOT_RULES}:
            yield node.value
    elif isinstance(node, ast.Call) and _name(node.func) in _MAKERS:
        for argument in node.args:
            text = argument.value if isinstance(argument, ast.Constant) else None
            if isinstance(text, str) and (match := _CODE.match(text)) and match[1] not in {*families(), *NOT_RULES}:
                yield text


def _severity(call: ast.Call) -> str:
    name = _name(call.func)
    if name in {"error", "warning", "advice"}:
        return name
    for argument in call.args:
        if isinstance(argument, ast.Attribute) and _name(argument.value) == "Severity":
            return argument.attr.lower()
    return ""


@cache
def built() -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Codes that are put together as `f"family.{word}"`: those whose words stand in the same file, and open families.

    A word is what `code` is set to, or comes first in a returned tuple; a family without any is open: its codes end in
    what something else says.
    """
    named: dict[str, list[str]] = defaultdict(list)
    endless: dict[str, list[str]] = defaultdict(list)
    for path, tree in _trees():
        words = [word for node in ast.walk(tree) for word in _words(node)]
        for node in ast.walk(tree):
            first = node.values[0] if isinstance(node, ast.JoinedStr) and node.values else None
            family = str(first.value).removesuffix(".") if isinstance(first, ast.Constant) else ""
            if family in {*families(), *NOT_RULES} and str(getattr(first, "value", "")).endswith("."):
                place = f"{path.relative_to(SOURCE)}:{getattr(node, 'lineno', 0)}"
                by_name = isinstance(node, ast.JoinedStr) and _is_code(node)
                for word in words if by_name else ():
                    named[f"{family}.{word}"].append(place)
                if not (words and by_name):
                    endless[family].append(place)
    return dict(named), dict(endless)


def _is_code(text: ast.JoinedStr) -> bool:
    value = text.values[1] if len(text.values) > 1 else None
    return isinstance(value, ast.FormattedValue) and _name(value.value) == "code"


def _words(node: ast.AST) -> Iterator[str]:
    """Words that `code` can be."""
    if isinstance(node, ast.Assign) and any(_name(target) == "code" for target in node.targets):
        values = [node.value.body, node.value.orelse] if isinstance(node.value, ast.IfExp) else [node.value]
    elif isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple) and node.value.elts:
        values = [node.value.elts[0]]
    else:
        return
    for value in values:
        if isinstance(value, ast.Constant) and isinstance(value.value, str) and re.fullmatch("[a-z_]+", value.value):
            yield value.value


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
