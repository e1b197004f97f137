"""How deeply a text may nest before sqlglot reads it.

sqlglot reads by recursion, compiled to C where it is: no limit of Python's holds there (from 3.12 on none at all), so
twenty thousand brackets end the process. And it tries a word that may be a type as a type first, then as a call: each
level of `int(int(int(...` takes twice the time of the one inside. Both are bounded here, before and while it reads.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlglot import Token
    from sqlglot.tokenizer_core import TokenType

__all__ = ["DEEPEST", "UnreadableError", "check_nesting", "most_nodes"]

DEEPEST = 100
"""Brackets, and CASE ... END, inside each other. Nobody writes ten."""
LONGEST = 200
"""Tokens that may each be one more call: `NOT NOT NOT`, `a JOIN b JOIN c`, `x[1][1][1]`."""
MOST_TYPES = 6
"""Names of types, each with its bracket inside the one before, or in a row. `numeric(10, 2)[]` is one."""
NODES_PER_TOKEN = 20
"""A tree has fewer nodes than tokens; what was tried in vain counts too, and comes to three times as many at most."""


class UnreadableError(Exception):
    """sqlglot cannot read a text: it nests so deeply that it could end the process or take days, or sqlglot fails."""


def check_nesting(tokens: Sequence[Token], types: Collection[TokenType]) -> None:
    """Bounds the recursion that reading these tokens can take, and what is read over and over.

    Args:
        tokens: of the text.
        types: which of them sqlglot may take for a type.

    Raises:
        UnreadableError: it may be too deep.
    """
    opens, closes, ends, flat, join = _kinds()
    levels: list[tuple[int, bool]] = []
    run = joined = above = typed = in_a_row = 0
    for token in tokens:
        kind = token.token_type
        is_type = kind in types
        if kind in opens:
            levels.append((run, in_a_row > 0))
            above += run
            typed += in_a_row > 0
            run = 0
        elif kind in closes:
            if levels:
                run, was_typed = levels.pop()
                above -= run
                typed -= was_typed
            run += 1
        elif kind in ends:
            run = 0
        elif kind not in flat:
            run += 1
            joined += kind is join
        in_a_row = in_a_row + 1 if is_type else 0
        if len(levels) > DEEPEST or above + run > LONGEST or joined > LONGEST or typed + in_a_row > MOST_TYPES:
            raise UnreadableError("it is nested too deeply to be read")


def most_nodes(tokens: Sequence[Token]) -> int:
    """How many nodes sqlglot may make of them."""
    return 1_000 + NODES_PER_TOKEN * len(tokens)


@cache
def _kinds() -> tuple[
    frozenset[TokenType], frozenset[TokenType], frozenset[TokenType], frozenset[TokenType], TokenType
]:
    """What opens a level, what closes one, what ends an operand, what is no step of a recursion; a join."""
    from sqlglot.tokenizer_core import TokenType as T

    opens = {T.L_PAREN, T.L_BRACKET, T.L_BRACE, T.CASE}
    closes = {T.R_PAREN, T.R_BRACKET, T.R_BRACE, T.END}
    ends = {T.COMMA, T.SEMICOLON, T.AND, T.OR, T.UNION, T.EXCEPT, T.INTERSECT, T.WHEN, T.THEN, T.ELSE}
    flat = {T.VAR, T.IDENTIFIER, T.STRING, T.NUMBER, T.DOT, T.EQ, T.DPIPE, T.NULL, T.TRUE, T.FALSE}
    return frozenset(opens), frozenset(closes), frozenset(ends), frozenset(flat), T.JOIN
