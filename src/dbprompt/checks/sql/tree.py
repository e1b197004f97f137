"""PostgreSQL's own grammar: SQL text in, syntax trees out, statement by statement with their places.

The tree is libpg_query's JSON: every node is `{"Kind": {...}}`. (Its protobuf form cannot be read beyond a hundred
levels, which a chain of fifty `||` already has.)
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import version
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from dbprompt.errors import MissingExtraError
from dbprompt.messages import Json

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["Broken", "Node", "Parsed", "checker", "nodes", "parse", "parse_plpgsql", "split", "strings"]

Node: TypeAlias = dict[str, Json]
_LONG = 50_000
_STACK_PER_LETTER, _MOST_STACK = 4_096, 4 << 30
_stack_lock = threading.Lock()
_BACKSLASH_COMMAND = re.compile(r"[ \t]*\\[a-z!?]", re.IGNORECASE)


@dataclass(frozen=True)  # no slots: `below` is kept
class Parsed:
    """One statement that the grammar accepts.

    Args:
        sql: its text.
        kind: its node type, `SelectStmt`.
        body: the fields of that node.
        offset: first character of the statement in the script.
    """

    sql: str
    kind: str
    body: Node
    offset: int = 0

    @cached_property
    def below(self) -> Mapping[str, Sequence[Node]]:
        """Every node of its tree but itself, by kind: walked through once, however many questions there are."""
        found: dict[str, list[Node]] = {}
        for kind, node in nodes(self.body):
            found.setdefault(kind, []).append(node)
        return found


@dataclass(frozen=True, slots=True)
class Broken:
    """Text that the grammar refuses.

    Args:
        sql: the text.
        message: the parser's words.
        position: 1-based character at which it gave up; 0 if unknown.
        offset: first character of the text in the script.
        too_deep: it may well be right, and is nested too deeply to be read.
    """

    sql: str
    message: str
    position: int = 0
    offset: int = 0
    too_deep: bool = False


@cache
def _postgast(module: str) -> ModuleType:
    """One module of postgast by itself: its package brings protobuf, which takes a tenth of a second to load."""
    package = find_spec("postgast")
    if package is None or package.origin is None:
        raise MissingExtraError("postgast", "postgres")
    spec = spec_from_file_location(f"dbprompt_postgast_{module}", Path(package.origin).with_name(f"{module}.py"))
    if spec is None or spec.loader is None:
        raise MissingExtraError("postgast", "postgres")
    found = module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@cache
def checker() -> str:
    """The parser and its version, for verdicts."""
    _postgast("native")
    return f"postgast {version('postgast')} (PostgreSQL 18 grammar)"


def parse(sql: str) -> tuple[Parsed, ...] | Broken:
    """Parses a script as a whole.

    Raises:
        MissingExtraError: the parser is not installed.
    """
    errors = _postgast("errors")
    if "\x00" in sql:  # the C parser would stop reading there
        return Broken(sql, "a NUL character is no part of SQL", sql.index("\x00") + 1)
    try:
        tree = _json_tree(sql) if len(sql) <= _LONG else _with_room(sql)
    except errors.PgQueryError as error:
        return Broken(sql, error.message, error.cursorpos)
    except UnicodeEncodeError as error:
        return Broken(sql, "the text is not valid Unicode", error.start + 1)
    except RecursionError:
        return Broken(sql, "it is nested too deeply to be read", too_deep=True)
    raw = sql.encode()
    return tuple(_statement(raw, node) for node in tree)


def _with_room(sql: str) -> list[Node]:
    """The same in a thread with a stack of its own: the C parser writes its tree by recursion, and does not look.

    A chain of 100,000 operators ends the process in eight MiB; memory is taken as it is used.
    """
    with _stack_lock, ThreadPoolExecutor(1, "dbprompt-parser") as thread:
        before = threading.stack_size(min(_MOST_STACK, _STACK_PER_LETTER * len(sql) // 4096 * 4096))
        try:
            made = thread.submit(_json_tree, sql)
        finally:
            threading.stack_size(before)
        return made.result()


def split(sql: str) -> tuple[Parsed | Broken, ...]:
    """The statements of a script in order; what the grammar refuses is kept apart from what it accepts."""
    whole = parse(sql)
    if isinstance(whole, tuple):
        return whole
    pieces = _pieces(sql)
    if len(pieces) < 2:
        return (whole,)
    found: list[Parsed | Broken] = []
    for offset, text in pieces:
        one = parse(text)
        if isinstance(one, Broken):
            found.append(Broken(one.sql, one.message, one.position, offset, one.too_deep))
        else:
            found.extend(Parsed(each.sql, each.kind, each.body, offset + each.offset) for each in one)
    return tuple(found)


def parse_plpgsql(sql: str) -> Json | Broken:
    """Parses the body of a CREATE FUNCTION or DO in plpgsql; the tree of the body, or what is wrong with it."""
    errors, lib = _postgast("errors"), _postgast("native").lib
    result = lib.pg_query_parse_plpgsql(sql.encode())
    try:
        if result.error:
            try:
                errors.check_error(result)
            except errors.PgQueryError as error:
                return Broken(sql, error.message, error.cursorpos)
        text = result.plpgsql_funcs.decode()
    finally:
        lib.pg_query_free_plpgsql_parse_result(result)
    # libpg_query closes an empty object twice in bodies of triggers; the parse itself is right.
    repaired: Json = json.loads(re.sub(r"(?<=[\[,])\{\}\}", "{}", text))
    return repaired


def nodes(tree: Json) -> Iterator[tuple[str, Node]]:
    """Every node of a tree with its kind."""
    waiting: list[Json] = list(tree) if isinstance(tree, list) else [tree]
    while waiting:
        one = waiting.pop()
        if type(one) is dict:  # the tree is json's own, and this is where our time goes
            for key, value in one.items():
                if type(value) is dict:
                    if "A" <= key[:1] <= "Z":
                        yield key, value
                    waiting.append(value)
                elif type(value) is list:
                    waiting += value


def strings(tree: Json) -> tuple[str, ...]:
    """The texts of a list of String nodes: the parts of a qualified name."""
    if not isinstance(tree, list):
        return ()
    return tuple(
        value
        for item in tree
        if isinstance(item, dict) and isinstance(holder := item.get("String"), dict)
        if isinstance(value := holder.get("sval"), str)
    )


def _json_tree(sql: str) -> list[Node]:
    lib = _postgast("native").lib
    result = lib.pg_query_parse(sql.encode())
    try:
        _postgast("errors").check_error(result)
        statements: list[Node] = json.loads(result.parse_tree)["stmts"]
        return statements
    finally:
        lib.pg_query_free_parse_result(result)


def _statement(raw: bytes, node: Node) -> Parsed:
    start = int(str(node.get("stmt_location", 0)))
    length = int(str(node.get("stmt_len", 0))) or len(raw) - start
    text = raw[start : start + length].decode()
    leading = len(text) - len(_skip_blank(text))
    statement = node["stmt"]
    if not isinstance(statement, dict):
        raise TypeError("libpg_query gave a statement without a node")
    kind, body = next(iter(statement.items()))
    return Parsed(
        text[leading:].rstrip(), kind, body if isinstance(body, dict) else {}, len(raw[:start].decode()) + leading
    )


_BLANK = re.compile(r"(?:\s+|--[^\n]*(?:\n|$))*")


def _skip_blank(text: str) -> str:
    """Text without leading white space and line comments, so that places start at the statement."""
    blank = _BLANK.match(text)
    return text[blank.end() :] if blank else text


def _pieces(sql: str) -> list[tuple[int, str]]:
    """Cuts a script at its semicolons by token, so that one broken statement does not hide the others."""
    import postgast

    try:
        tokens = postgast.scan(sql).tokens
    except (postgast.PgQueryError, UnicodeEncodeError):
        return []
    raw, cuts, depth, atomic, before = sql.encode(), [0], 0, 0, ""
    for token in tokens:
        text = raw[token.start : token.end].decode(errors="replace").lower()
        match text:
            case "(":
                depth += 1
            case ")":
                depth -= 1
            case "atomic" if before == "begin":
                atomic = 1
            case "case" if atomic:
                atomic += 1
            case "end" if atomic:
                atomic -= 1
            case ";" if depth <= 0 and not atomic:
                cuts.append(token.end)
                depth = 0
        before = text
    cuts.append(len(raw))
    pieces = []
    for start, end in pairwise(cuts):
        text = raw[start:end].decode()
        body = _skip_blank(text)
        if body.strip(" \t\r\n;"):
            pieces.append((len(raw[:start].decode()) + len(text) - len(body), body.rstrip().rstrip(";").rstrip()))
    return pieces
