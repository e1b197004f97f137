"""A statement and its place, names, literals, and free SQL that stays inside its parentheses."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from dbprompt.errors import DbpromptError
from dbprompt.render.postgres.keywords import QUOTED

__all__ = [
    "MAX_NAME",
    "Statement",
    "StatementKind",
    "UnsafeSqlError",
    "comment_line",
    "identifier",
    "literal",
    "names",
    "short_name",
    "single_statement",
    "without_literals",
    "wrap_expression",
]

MAX_NAME = 63

StatementKind: TypeAlias = Literal[
    "extension", "function", "enum", "table", "foreign_key", "partition", "index", "comment", "view", "trigger",
    "role", "owner", "grant", "policy", "record",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Statement:
    """One DDL statement, without a closing semicolon.

    Args:
        sql: the text.
        section: the section that it was written from: `schema` or `indexes` (an extension: whichever needs it first).
        where: JSON pointer into that section, `/tables/3`.
        artefact: what it makes, as a person would say it, `table orders`.
        kind: what sort of statement it is; an `extension` that an engine lacks leaves the rest unverified, not wrong.
    """

    sql: str
    section: str
    where: str
    artefact: str
    kind: StatementKind

    @property
    def pointer(self) -> str:
        """JSON pointer into the whole design."""
        return f"/{self.section}{self.where}"


class UnsafeSqlError(DbpromptError, ValueError):
    """Free SQL could leave the place that it was written for.

    Attributes:
        reason: what is wrong with it and what to write instead.
        section: the section that holds the text, if known.
        where: JSON pointer into that section, if known.
    """

    def __init__(self, reason: str, *, section: str = "", where: str = "") -> None:
        self.reason = reason
        self.section = section
        self.where = where
        super().__init__(f"/{section}{where}: {reason}" if section else reason)

    def at(self, section: str, where: str) -> UnsafeSqlError:
        """The same error with its place."""
        return UnsafeSqlError(self.reason, section=section, where=where)


_BARE = re.compile(r"[a-z_][a-z0-9_]*\Z")


def identifier(name: str) -> str:
    """A name, quoted only where PostgreSQL needs it.

    >>> identifier("orders"), identifier("order"), identifier("Total")
    ('orders', '"order"', '"Total"')
    """
    if _BARE.match(name) and name not in QUOTED:
        return name
    return '"' + name.replace("\0", "").replace('"', '""') + '"'


def names(columns: tuple[str, ...]) -> str:
    """A list of names."""
    return ", ".join(identifier(column) for column in columns)


def literal(text: str) -> str:
    """Any text as one string literal, whatever standard_conforming_strings says; NUL, which no text may hold, is shown.

    >>> literal("it's")
    "'it''s'"
    """
    quoted = text.replace("\0", "\N{REPLACEMENT CHARACTER}").replace("'", "''")
    if "\\" in quoted:
        doubled = quoted.replace("\\", "\\\\")
        return f"E'{doubled}'"
    return f"'{quoted}'"


def comment_line(text: str) -> str:
    """Any text as one line that starts with `-- `."""
    return "-- " + " ".join(text.replace("\0", " ").split())


def short_name(name: str, suffix: str = "") -> str:
    """`name` + `suffix` in at most 63 characters; what is cut is replaced by six digits of its hash."""
    whole = name + suffix
    if len(whole) <= MAX_NAME:
        return whole
    mark = "_" + hashlib.sha256(whole.encode()).hexdigest()[:6]
    return name[: MAX_NAME - len(suffix) - len(mark)] + mark + suffix


def wrap_expression(text: str) -> str:
    """A free expression inside parentheses that it cannot close.

    Raises:
        UnsafeSqlError: brackets do not match, a literal does not end, or there is a `;`, a comment or a backslash.
    """
    bare = without_literals(text, comments=False)
    if ";" in bare:
        raise UnsafeSqlError("an expression cannot hold ';'; write one expression and nothing after it")
    _balanced(bare)
    if not bare.strip():
        raise UnsafeSqlError("the expression is empty")
    return f"({text.strip()})"


def single_statement(sql: str) -> str:
    """A free statement without its closing semicolon.

    Raises:
        UnsafeSqlError: there is more than one statement, none, or a literal, comment or bracket that does not end.
    """
    bare = without_literals(sql)
    closed = bare.rstrip()
    end = len(closed) - 1 if closed.endswith(";") else len(bare)
    if ";" in bare[:end]:
        raise UnsafeSqlError("there are two statements in one text; write exactly one")
    _balanced(bare)
    if not bare[:end].strip():
        raise UnsafeSqlError("there is no statement in this text")
    return (sql[:end] + sql[end + 1 :]).strip()


_TOKENS = re.compile(
    r"""
      (?P<glued> [0-9][eE] ' )
    | (?P<escape_string> (?<! [\w$] ) [eE] ' (?: [^'\\] | '' | \\. )*+ ' )
    | (?P<string> ' (?: [^'] | '' )*+ ' )
    | (?P<name> " (?: [^"] | "" )*+ " )
    | (?P<dollar> (?<! [\w$] ) \$ (?P<tag> (?: [^\W\d] \w* )? ) \$ .*? \$ (?P=tag) \$ )
    | (?P<parameter> (?<! [\w$] ) \$ [0-9]++ (?! [\w$] ) )
    | (?P<line> --[^\n\r]* )
    | (?P<block> /\* )
    | (?P<open> (?<! [\w$] ) [eE] ' | ['"\\$] )  # what reaches this has not matched as a whole above
    """,
    re.VERBOSE | re.DOTALL,
)
_OPEN = {
    "'": "a string literal does not end; double the quotes inside it",
    '"': "a quoted name does not end",
    "\\": "a backslash outside a literal is no SQL",
    "$": "a '$' stands before a parameter's number, or opens a dollar quote that has to end; nowhere else",
}
_BLOCK_EDGE = re.compile(r"/\*|\*/")


def without_literals(sql: str, *, comments: bool = True) -> str:
    """The text with literals, quoted names and comments blanked out, as long as before.

    It reads as PostgreSQL's scanner does (doubled quotes, E'' escapes, dollar quotes, nested block comments).

    Args:
        sql: the text.
        comments: whether comments are allowed.

    Raises:
        UnsafeSqlError: something does not end, or is not allowed.
    """
    if "\0" in sql:
        raise UnsafeSqlError("the text holds a NUL character; take it out")
    kept: list[str] = []
    at = 0
    while token := _TOKENS.search(sql, at):
        start, end = token.span()
        kind = token.lastgroup
        if kind == "open":
            raise UnsafeSqlError(_OPEN[token.group()[-1]])
        if kind == "glued":  # older scanners read 1e'..' as 1 and an escape string, newer ones refuse it
            raise UnsafeSqlError(f"put a space into {token.group()!r}")
        is_comment = kind in {"line", "block"}
        if is_comment and not comments:
            raise UnsafeSqlError("an expression cannot hold a comment; take it out")
        end = _block_end(sql, start) if kind == "block" else end
        # A comment is nothing, a literal or a name is something; a parameter stays as it is.
        blank = sql[start:end] if kind == "parameter" else (" " if is_comment else "x") * (end - start)
        kept += (sql[at:start], blank)
        at = end
    kept.append(sql[at:])
    return "".join(kept)


def _block_end(sql: str, start: int) -> int:
    depth = 0
    for edge in _BLOCK_EDGE.finditer(sql, start):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    raise UnsafeSqlError("a comment does not end")


_PAIRS = {")": "(", "]": "["}


def _balanced(bare: str) -> None:
    waiting: list[str] = []
    for character in bare:
        if character in "([":
            waiting.append(character)
        elif character in _PAIRS and (not waiting or waiting.pop() != _PAIRS[character]):
            raise UnsafeSqlError(f"a '{character}' closes nothing; the brackets have to match")
    if waiting:
        raise UnsafeSqlError(f"a '{waiting[-1]}' is not closed; the brackets have to match")
