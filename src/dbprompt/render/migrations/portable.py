"""SQL text that means the same through every tool that carries it.

Migration tools read SQL line by line and look inside literals: Liquibase takes a line `--changeset ...` for a header,
Flyway and Liquibase replace `${name}`, SQLAlchemy takes `:name` for a parameter. A comment or a default of the design
may hold any of these. So comments go, and a literal that holds such a thing is written with escapes: to PostgreSQL it
is the same text.
"""

from __future__ import annotations

import re

__all__ = ["portable"]

_TOKENS = re.compile(
    r"""
      (?P<escaped> (?<! [\w$] ) [eE] ' (?P<inside> (?: [^'\\] | '' | \\. )*+ ) ' )
    | (?P<plain> ' (?P<text> (?: [^'] | '' )*+ ) ' )
    | (?P<name> " (?: [^"] | "" )*+ " )
    | (?P<dollar> (?<! [\w$] ) \$ (?P<tag> (?: [^\W\d] \w* )? ) \$ (?P<body> .*? ) \$ (?P=tag) \$ )
    | (?P<line> --[^\n\r]* )
    | (?P<block> /\* )
    """,
    re.VERBOSE | re.DOTALL,
)
_RISKY = re.compile(r"[\n\r\t\\]|\$(?=\{)|(?<![:\w]):(?=\w)|(?<=-)-|(?<=/)\*")
_INSIDE = re.compile(r"\\[^\w']|[\n\r\t]|\$(?=\{)|(?<![:\w]):(?=\w)|(?<=-)-|(?<=/)\*")
_EDGE = re.compile(r"/\*|\*/")


def portable(sql: str) -> str:
    r"""The same statement without comments, in which no literal holds what a migration tool would read as its own.

    >>> print(portable("COMMENT ON TABLE t IS 'a\n--changeset x:1 ${user}' -- why"))
    COMMENT ON TABLE t IS E'a\x0a-\x2dchangeset x:1 \x24{user}'
    """
    parts, at = [], 0
    while token := _TOKENS.search(sql, at):
        parts.append(sql[at : token.start()])
        at = token.end()
        match token.lastgroup:
            case "line":
                pass
            case "block":
                at = _block_end(sql, token.start())
                parts.append(" ")
            case _:
                parts.append(_literal(token))
    return "".join((*parts, sql[at:])).strip()


def _literal(token: re.Match[str]) -> str:
    if token["plain"] is not None and _RISKY.search(token["text"]):
        return f"E'{_RISKY.sub(_hex, token['text'])}'"
    if token["escaped"] is not None:
        return f"E'{_INSIDE.sub(_hex, token['inside'])}'"
    if token["dollar"] is not None:
        quote = f"${token['tag']}$"
        return f"{quote}\n{portable(token['body'])}\n{quote}"
    return token.group()


def _hex(found: re.Match[str]) -> str:
    r"""One character as `\x0a`; an escaped one without its backslash."""
    return f"\\x{ord(found.group()[-1]):02x}"


def _block_end(sql: str, start: int) -> int:
    depth = 0
    for edge in _EDGE.finditer(sql, start):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(sql)
