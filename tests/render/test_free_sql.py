"""What the guard lets through is compared with PostgreSQL's own scanner and grammar (libpg_query)."""

from __future__ import annotations

import postgast
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dbprompt.render.postgres import UnsafeSqlError, single_statement, wrap_expression

_PIECES = [
    *"'\"$();[]\\-/*eEuU&1a_ \n\r\té;:%",
    *(
        "''",
        "$$",
        "$a$",
        "$1",
        "--",
        "/*",
        "*/",
        "E'",
        "e'",
        "U&'",
        'U&"',
        "1e'",
        "1$",
        "0x1",
        "x'",
        "n'",
        "a$",
        "é'",
        "\\'",
    ),
    *("SELECT 1", "DROP TABLE t", " OR ", "a.b", "::text"),
]
_TEXTS = st.lists(st.sampled_from(_PIECES), max_size=14).map("".join)
_SENTINEL = "; SELECT 'sentinel'"


def _tail(sql: str) -> str | None:
    """What PostgreSQL's grammar takes the last statement for; None if it refuses the whole."""
    try:
        parsed = postgast.parse(sql)
    except postgast.PgQueryError:
        return None
    return postgast.deparse(parsed).rsplit("; ", 1)[-1] if len(parsed.stmts) == 2 else f"{len(parsed.stmts)} statements"


def _closed(text: str) -> bool:
    """Whether PostgreSQL's scanner, if it takes the text at all, sees our semicolon where we wrote it."""
    sql = text + _SENTINEL
    try:
        tokens = postgast.scan(sql).tokens
    except postgast.PgQueryError:
        return "unterminated" not in _error(sql)
    return any(token.start == len(text.encode()) for token in tokens)


def _error(sql: str) -> str:
    try:
        postgast.scan(sql)
    except postgast.PgQueryError as error:
        return str(error)
    return ""


@settings(max_examples=600, deadline=None)
@given(_TEXTS)
@example("E'\\' ")
@example("1e'\\'; DROP TABLE t; --'")
@example("a$a$ ' $a$; DROP TABLE t; --'")
def test_expression_stays_inside(text: str) -> None:
    """An expression that is let through is one value of one statement, or PostgreSQL refuses it where it stands."""
    try:
        wrapped = wrap_expression(text)
    except UnsafeSqlError:
        return
    assert _closed(f"SELECT {wrapped}")
    assert _tail(f"SELECT {wrapped} AS a, 'b'{_SENTINEL}") in {None, "SELECT 'sentinel'"}


@settings(max_examples=600, deadline=None)
@given(_TEXTS)
def test_statement_stays_one(text: str) -> None:
    """A statement that is let through ends where we end it, or PostgreSQL refuses it where it stands."""
    try:
        single = single_statement(text)
    except UnsafeSqlError:
        return
    assert _closed(f"{single}\n")
    assert _tail(f"PREPARE q AS\n{single}\n{_SENTINEL}") in {None, "SELECT 'sentinel'"}
