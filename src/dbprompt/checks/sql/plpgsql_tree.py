"""A plpgsql body taken apart: its variables with their types, its statements and expressions with their lines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dbprompt.checks.sql.tree import Broken, Node, nodes, parse, parse_plpgsql
from dbprompt.messages import Json

__all__ = ["Body", "Piece", "constant_of", "read_body", "statements_in", "texts_of"]

_STRING = re.compile(r"\s*'(?:[^']|'')*'\s*\Z")
_ASSIGNMENT = re.compile(r"\s*([\w.\"\[\] +-]+?)\s*:?=\s*(.*)\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Piece:
    """One statement or expression of a body, as a statement that can stand alone.

    Args:
        sql: its text.
        line: line of the body, from 1.
        returned: whether its rows are the function's own: RETURN QUERY.
        sees: the words that may be variables; None for all. What EXECUTE runs sees what follows USING, and no more.
    """

    sql: str
    line: int
    returned: bool = False
    sees: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Body:
    """A plpgsql body.

    Args:
        action: its outermost block, as libpg_query gives it.
        variables: names and types.
        unknown: variables whose type only a run would tell.
        rows: of these, the loop variables, each with the query that fills it.
        pieces: what can be resolved without running it.
        own: tables that it makes itself.
        labels: of its blocks.
    """

    action: Node
    variables: Mapping[str, str]
    unknown: frozenset[str]
    rows: Mapping[str, str]
    pieces: tuple[Piece, ...]
    own: frozenset[str]
    labels: frozenset[str]


def read_body(definition: str) -> Body | None:
    """The body of a CREATE FUNCTION statement; None if the parser cannot read it without knowing the tables."""
    tree = parse_plpgsql(definition)
    if isinstance(tree, Broken) or not isinstance(tree, list) or not tree or not isinstance(tree[0], dict):
        return None
    function = tree[0].get("PLpgSQL_function")
    action = function.get("action") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(action, dict):
        return None
    datums = _datums(function)
    types, unknown = _types(datums)
    pieces = [*_fields(datums), *_defaults(datums), *_pieces(action, types, datums)]
    labels = {str(node["label"]) for _, node in nodes(action) if "label" in node}
    return Body(
        action,
        types,
        frozenset(unknown),
        _rows(action),
        tuple(dict.fromkeys(pieces)),
        frozenset(_made(pieces)),
        frozenset(labels),
    )


def statements_in(tree: Json, line: int = 0) -> Iterator[tuple[str, Node, int]]:
    """Every statement of a body with its kind and line, outer ones first."""
    if isinstance(tree, list):
        for item in tree:
            yield from statements_in(item, line)
    elif isinstance(tree, dict):
        for key, value in tree.items():
            at = line
            if isinstance(value, dict):
                at = int(str(value.get("lineno", line)))
                if key.startswith("PLpgSQL_stmt_"):
                    yield key.removeprefix("PLpgSQL_stmt_"), value, at
            yield from statements_in(value, at)


def texts_of(action: Json) -> Iterator[tuple[str, str, int]]:
    """Every SQL text of a body as it stands there, with the kind and the line of its statement."""
    for kind, node, line in statements_in(action):
        for value in node.values():
            for text, _ in _expressions(value):
                yield kind, text, line


def _datums(function: Node) -> list[tuple[str, Node]]:
    listed = function.get("datums")
    found: list[tuple[str, Node]] = []
    for item in listed if isinstance(listed, list) else []:
        kind, node = next(iter(item.items()), ("", {})) if isinstance(item, dict) else ("", {})
        found.append((kind, node if isinstance(node, dict) else {}))
    return found


def _types(datums: list[tuple[str, Node]]) -> tuple[dict[str, str], set[str]]:
    types: dict[str, str] = {}
    unknown: set[str] = set()
    for kind, node in datums:
        name = str(node.get("refname", ""))
        if name.startswith("__Case__"):  # what CASE compares: its type is that of the expression
            unknown.add(name)
        elif kind == "PLpgSQL_var":
            declared = _declared(node)
            if types.get(name, declared) != declared or not declared:  # hidden by an inner block
                unknown.add(name)
            types[name] = declared
        elif kind in {"PLpgSQL_rec", "PLpgSQL_row"}:
            unknown.add(name)
    return {name: kind for name, kind in types.items() if name not in unknown}, unknown


def _declared(node: Node) -> str:
    holder = node.get("datatype")
    inner = holder.get("PLpgSQL_type") if isinstance(holder, dict) else None
    name = str(inner.get("typname", "")) if isinstance(inner, dict) else ""
    name = re.sub(r"%rowtype\Z", "", name, flags=re.IGNORECASE)
    name = re.sub(r"\Apg_catalog\.\"?(\w+)\"?\Z", r"\1", name)
    return "" if name.upper() in {"UNKNOWN", "RECORD"} else name


def _fields(datums: list[tuple[str, Node]]) -> Iterator[Piece]:
    """The fields of records that a body names: `NEW.updated_at`, also where it is assigned to."""
    for kind, node in datums:
        parent = int(str(node.get("recparentno", 0)))
        if kind == "PLpgSQL_recfield" and parent < len(datums):
            record = str(datums[parent][1].get("refname", ""))
            yield Piece(f'SELECT "{record}"."{node.get("fieldname")}"', 1)


def _defaults(datums: list[tuple[str, Node]]) -> Iterator[Piece]:
    for _, node in datums:
        text = _query(node.get("default_val"))
        if text:
            declared = _declared(node)
            cast = f"::{declared}" if _STRING.match(text) and declared and "%" not in declared else ""
            yield Piece(f"SELECT ({text}){cast}", int(str(node.get("lineno", 1))))
        cursor = _query(node.get("cursor_explicit_expr"))
        if cursor:
            yield Piece(cursor, int(str(node.get("lineno", 1))))


def _pieces(action: Node, types: Mapping[str, str], datums: list[tuple[str, Node]]) -> Iterator[Piece]:
    for kind, node, line in statements_in(action):
        if (dynamic := constant_of(node)) is not None:
            yield _executed(dynamic, node, line)
        for value in node.values():
            for text, mode in _expressions(value):
                if mode == 0:
                    yield Piece(text, line, returned=kind == "return_query")
                elif mode == 2:
                    yield Piece(f"SELECT {text}", line)
                elif (assigned := _ASSIGNMENT.match(text)) is not None:
                    number = int(str(node.get("varno", 0)))
                    name = str(datums[number][1].get("refname", "")) if number < len(datums) else ""
                    whole = assigned.group(1).isidentifier() and _STRING.match(assigned.group(2))
                    declared = types.get(name, "") if whole else ""
                    cast = f"::{declared}" if declared and "%" not in declared else ""
                    yield Piece(f"SELECT ({assigned.group(2)}){cast}" if cast else f"SELECT {assigned.group(2)}", line)


def constant_of(node: Node) -> str | None:
    """What a statement executes, if it is a constant: EXECUTE 'DELETE FROM orders'."""
    for key in ("query", "dynquery"):
        text = _query(node.get(key))
        inside = parse(f"SELECT {text}") if _STRING.match(text) else ()
        for kind, found in nodes(inside[0].body) if isinstance(inside, tuple) and inside else ():
            value = found.get("sval") if kind == "A_Const" else None
            if isinstance(value, dict):
                return str(value.get("sval", ""))
    return None


def _executed(text: str, node: Node, line: int) -> Piece:
    """A constant of EXECUTE with what USING gives in place of its parameters."""
    given = [value for value, _ in _expressions(node.get("params"))]
    sql = re.sub(r"\$(\d+)", lambda at: f"({given[int(at[1]) - 1]})" if 0 < int(at[1]) <= len(given) else at[0], text)
    words = {word.lower() for value in given for word in re.findall(r"[\w$]+", value)}
    return Piece(sql, line, sees=frozenset(words))


def _rows(action: Node) -> dict[str, str]:
    """Record variables that one loop fills, and nothing else."""
    found: dict[str, str] = {}
    several: set[str] = set()
    for kind, node, _ in statements_in(action):
        target = node.get("var") or node.get("target")
        record = target.get("PLpgSQL_rec") if isinstance(target, dict) else None
        if isinstance(record, dict):
            name = str(record.get("refname", ""))
            if name in found or kind != "fors":
                several.add(name)
            found[name] = _query(node.get("query"))
    return {name: query for name, query in found.items() if name not in several and query}


def _expressions(value: Json) -> Iterator[tuple[str, int]]:
    """Expressions right below a statement; those of its inner statements are met with them."""
    if isinstance(value, list):
        for item in value:
            yield from _expressions(item)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key.startswith("PLpgSQL_stmt_"):
                continue
            if key == "PLpgSQL_expr" and isinstance(inner, dict) and "query" in inner:
                yield str(inner["query"]), int(str(inner.get("parseMode", 0)))
            elif key not in {"PLpgSQL_var", "PLpgSQL_rec", "PLpgSQL_row"}:
                yield from _expressions(inner)


def _query(holder: Json) -> str:
    inner = holder.get("PLpgSQL_expr") if isinstance(holder, dict) else None
    return str(inner.get("query", "")) if isinstance(inner, dict) else ""


def _made(pieces: list[Piece]) -> Iterator[str]:
    """Tables that the statements of a body create: what names them can only be resolved by a run."""
    for piece in pieces:
        inside = parse(piece.sql) if re.match(r"\s*(CREATE|SELECT)\b", piece.sql, re.IGNORECASE) else ()
        for each in inside if isinstance(inside, tuple) else ():
            if each.kind in {"CreateStmt", "CreateTableAsStmt", "SelectStmt"}:
                holder = each.body.get("into") or each.body.get("intoClause") or each.body.get("relation")
                for node in (holder, *(value for value in (holder or {}).values())) if isinstance(holder, dict) else ():
                    if isinstance(node, dict) and "relname" in node:
                        yield str(node["relname"])
