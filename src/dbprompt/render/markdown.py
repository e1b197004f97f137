"""Markdown in which text of users and models stays text: no HTML, no link, no image, no new row, no heading."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import Literal

__all__ = ["cell", "code", "count", "fenced", "table", "text"]

_SPECIAL = re.compile(r"([\\`*\[\]|~$])")
_UNDERSCORE = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_AT_START = re.compile(r"^([#+=-]|[0-9]+(?=[.)]))")
_SCHEME = re.compile(r"\b(https?|ftp|mailto):|\bwww\.(?=\w)", re.IGNORECASE)


def text(words: str) -> str:
    """Any text as one paragraph of plain words.

    >>> text("# *free* <b>|</b>")
    '\\\\# \\\\*free\\\\* &lt;b&gt;\\\\|&lt;/b&gt;'
    """
    line = html.escape(" ".join(words.replace("\0", " ").split()), quote=False)
    line = _SPECIAL.sub(r"\\\1", line)
    line = _UNDERSCORE.sub(r"\\_", line)
    line = _SCHEME.sub(lambda match: match.group()[:-1] + ("&#58;" if match.group()[-1] == ":" else "&#46;"), line)
    return _AT_START.sub(
        lambda match: "\\" + match.group() if not match.group()[0].isdigit() else match.group() + "\\", line
    )


def cell(words: str) -> str:
    """Any text as the content of a table's cell; an empty one is shown as nothing."""
    return text(words)


def code(sql: str) -> str:
    """Any text as code within a line, in or out of a table."""
    line = " ".join(sql.replace("\0", " ").split()).replace("|", "\\|")
    if not line:
        return ""
    fence = "`" * (1 + max((len(run) for run in re.findall(r"`+", line)), default=0))
    pad = " " if line[0] == "`" or line[-1] == "`" else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def fenced(body: str, language: str) -> str:
    """Any text as a block of code."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", body)), default=0))
    return f"{fence}{language}\n{body.rstrip()}\n{fence}"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, align: str = "") -> str:
    """A table of finished cells, padded so that its source can be read too.

    Args:
        heads: the head of each column.
        rows: cells that `cell` or `code` made.
        align: one letter a column, l or r; left if it is shorter.
    """
    body = [tuple(row) for row in rows]
    widths = [max(3, min(48, max(len(row[at]) for row in [tuple(heads), *body]))) for at in range(len(heads))]
    sides: list[Literal["l", "r"]] = ["r" if at < len(align) and align[at] == "r" else "l" for at in range(len(heads))]

    def line(cells: Sequence[str]) -> str:
        padded = (
            content.rjust(width) if side == "r" else content.ljust(width)
            for content, width, side in zip(cells, widths, sides, strict=True)
        )
        return f"| {' | '.join(padded)} |"

    rule = ["-" * (width - 1) + ":" if side == "r" else "-" * width for width, side in zip(widths, sides, strict=True)]
    return "\n".join([line(heads), line(rule), *map(line, body)])


def count(number: int, one: str, many: str = "") -> str:
    """A number with its noun.

    >>> count(1, "table"), count(2, "query", "queries")
    ('1 table', '2 queries')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"
