"""Functions, procedures and DO blocks as the tree shows them: their language, their body, and the SQL in it."""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.checks.sql.tree import Broken, Parsed, nodes, parse, parse_plpgsql
from dbprompt.messages import Json

__all__ = ["embedded", "is_plpgsql", "named_options", "roles_made_inside", "routine"]


def embedded(statement: Parsed) -> tuple[str, ...]:
    """The SQL inside a function or DO body, as far as a parser can see it; dynamic SQL stays hidden."""
    language, body = routine(statement)
    if language == "sql" and body:
        return (body,)
    if language == "plpgsql" and body:
        tree = parse_plpgsql(statement.sql)
        if not isinstance(tree, Broken):
            return tuple(str(node["query"]) for key, node in nodes(tree) if key == "PLpgSQL_expr" and "query" in node)
    return ()


def is_plpgsql(statement: Parsed) -> bool:
    """Whether it is a function, procedure or DO with a plpgsql body."""
    language, body = routine(statement)
    return language == "plpgsql" and bool(body)


def roles_made_inside(statement: Parsed) -> Iterator[Parsed]:
    """The CREATE ROLE statements of a DO block, as far as a parser can see them."""
    text = statement.sql.lower() if statement.kind == "DoStmt" else ""
    if "create" not in text or not any(word in text for word in ("role", "user", "group")):
        return
    for sql in embedded(statement):
        inside = parse(sql)
        yield from (one for one in inside if one.kind == "CreateRoleStmt") if isinstance(inside, tuple) else ()


def routine(statement: Parsed) -> tuple[str, str]:
    """The language and the body text of a CREATE FUNCTION or DO."""
    if statement.kind not in {"CreateFunctionStmt", "DoStmt"}:
        return "", ""
    options = statement.body.get("options" if statement.kind == "CreateFunctionStmt" else "args")
    language, body = ("plpgsql", "") if statement.kind == "DoStmt" else ("", "")
    for name, argument in named_options(options):
        texts = [str(node["sval"]) for key, node in nodes(argument) if key == "String" and "sval" in node]
        if name == "language" and texts:
            language = texts[0].lower()
        elif name == "as" and texts:
            body = texts[0]
    return language, body


def named_options(tree: Json) -> Iterator[tuple[str, Json]]:
    """The names and values of a list of options."""
    for item in tree if isinstance(tree, list) else ():
        element = item.get("DefElem") if isinstance(item, dict) else None
        if isinstance(element, dict):
            yield str(element.get("defname", "")), element.get("arg")
