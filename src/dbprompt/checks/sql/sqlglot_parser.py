"""sqlglot, the parser for every dialect: quick, and easily content.

Poor: trusting it. Under `postgres` it takes `id FOO`, `AUTO_INCREMENT` and `QUALIFY`, and turns what it does not know
into an opaque `Command`. Better: an empty parse fails, a `Command` counts as not checked, and a refusal only counts
against a statement if no stronger parser accepts it.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from dbprompt.checks.sql.nesting import UnreadableError, check_nesting, most_nodes

if TYPE_CHECKING:
    from sqlglot import Parser, Tokenizer, exp

__all__ = ["DIALECTS", "SHORT", "Opinion", "Said", "checker", "opine", "split", "trees"]

SHORT = 4_000
"""Characters up to which a text is read at once, and its opinion kept: a design's tables are asked about section
after section."""

# Names that people use, and sqlglot's own.
DIALECTS = {
    "postgres": "postgres",
    "postgresql": "postgres",
    "mysql": "mysql",
    "mariadb": "mysql",
    "tsql": "tsql",
    "mssql": "tsql",
    "sqlserver": "tsql",
    "oracle": "oracle",
    "sqlite": "sqlite",
    "duckdb": "duckdb",
    "clickhouse": "clickhouse",
    "bigquery": "bigquery",
    "snowflake": "snowflake",
    "redshift": "redshift",
}


class Said(StrEnum):
    """What sqlglot said."""

    PARSED = "parsed"
    EMPTY = "empty"
    OPAQUE = "opaque"
    REFUSED = "refused"
    GAVE_UP = "gave up"


@dataclass(frozen=True, slots=True)
class Opinion:
    """What sqlglot makes of one statement."""

    said: Said
    message: str = ""


class _Quiet(logging.Filter):
    """Keeps sqlglot's note on falling back to `Command` off the user's screen: it is in our verdict."""

    def __init__(self) -> None:
        super().__init__()
        self.here = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        return not getattr(self.here, "on", False)


_quiet = _Quiet()
_kept = threading.local()


@cache
def checker() -> str:
    """The parser and its version, for verdicts."""
    logging.getLogger("sqlglot").addFilter(_quiet)
    return f"sqlglot {version('sqlglot')}"


def opine(sql: str, dialect: str) -> Opinion:
    """Parses one statement (or more: the worst counts)."""
    return _kept_opinion(sql, dialect) if len(sql) <= SHORT else _opinion(sql, dialect)


@lru_cache(maxsize=512)
def _kept_opinion(sql: str, dialect: str) -> Opinion:
    return _opinion(sql, dialect)


def _opinion(sql: str, dialect: str) -> Opinion:
    checker()
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    _quiet.here.on = True
    try:
        trees = _parse(sql, dialect)
    except SqlglotError as error:
        return Opinion(Said.REFUSED, _first_line(error))
    except UnreadableError as error:
        return Opinion(Said.GAVE_UP, str(error))
    finally:
        _quiet.here.on = False
    trees = [tree for tree in trees if not isinstance(tree, exp.Semicolon)]
    if not trees:
        return Opinion(Said.EMPTY)
    if any(isinstance(tree, exp.Command) for tree in trees):
        return Opinion(Said.OPAQUE)
    return Opinion(Said.PARSED)


def trees(sql: str, dialect: str) -> tuple[exp.Expr, ...]:
    """The syntax trees of a text; none if sqlglot cannot read it."""
    checker()
    from sqlglot.errors import SqlglotError

    _quiet.here.on = True
    try:
        return tuple(_parse(sql, dialect))
    except (SqlglotError, UnreadableError):
        return ()
    finally:
        _quiet.here.on = False


def _parse(sql: str, dialect: str) -> list[exp.Expr]:
    """The syntax trees, as `sqlglot.parse` has them. It makes a tokenizer and a parser for each text, which takes a
    third of its time: here a thread keeps a pair of them for each dialect.

    Raises:
        SqlglotError: it is refused.
        UnreadableError: it is too deep to be read, or sqlglot breaks off over it.
    """
    from sqlglot.errors import ParseError

    name = DIALECTS[dialect]
    kept: dict[str, tuple[Tokenizer, Parser]] = _kept.__dict__
    if name not in kept:
        from sqlglot import Dialect

        of = Dialect.get_or_raise(name)
        kept[name] = of.tokenizer(), of.parser()
    tokenizer, parser = kept[name]
    tokens = tokenizer.tokenize(sql)
    check_nesting(tokens, parser.TYPE_TOKENS)
    parser.max_nodes = most = most_nodes(tokens)
    try:
        return [tree for tree in parser.parse(tokens, sql) if tree is not None]
    except ParseError as error:
        if parser._node_count > most:  # nothing else tells this from a refusal
            raise UnreadableError("it could be read in too many ways") from error
        raise
    except RecursionError as error:
        raise UnreadableError("it is nested too deeply to be read") from error
    except (TypeError, ValueError, AttributeError, LookupError, AssertionError) as error:  # mistakes of sqlglot's own
        raise UnreadableError(f"sqlglot broke off over it ({type(error).__name__})") from error


def split(sql: str, dialect: str) -> tuple[tuple[int, str], ...]:
    """The statements of a script with the character each starts at, cut at semicolons by the dialect's tokens.

    A script that cannot be cut safely (procedures hold semicolons) stays whole.
    """
    checker()
    from sqlglot import tokenize
    from sqlglot.errors import SqlglotError
    from sqlglot.tokenizer_core import TokenType

    try:
        tokens = tokenize(sql, read=DIALECTS[dialect])
    except SqlglotError:
        return ((0, sql),)
    pieces: list[tuple[int, str]] = []
    start: int | None = None
    for token in tokens:
        if token.token_type is TokenType.BEGIN:
            return ((0, sql),)
        if token.token_type is TokenType.SEMICOLON:
            if start is not None:
                pieces.append((start, sql[start : token.start].rstrip()))
            start = None
        elif start is None:
            start = token.start
    if start is not None:
        pieces.append((start, sql[start:].rstrip()))
    return tuple(pieces)


def _first_line(error: Exception) -> str:
    from sqlglot.errors import ParseError

    if isinstance(error, ParseError) and error.errors:
        first = error.errors[0]
        near = f' near "{first["highlight"]}"' if first.get("highlight") else ""
        return f"{str(first.get('description', '')).rstrip('.')}{near}"
    return str(error).splitlines()[0] if str(error) else type(error).__name__
