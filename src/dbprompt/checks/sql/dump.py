"""What a dump holds beside SQL: rows after COPY ... FROM stdin, psql's own \\restrict lines, a mark of byte order.

They are blanked out, not cut out: every statement keeps its line and column. The rows are not looked at. The mark has
no column.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["BYTE_ORDER_MARK", "without_data"]

BYTE_ORDER_MARK = "\ufeff"

_RESTRICT = re.compile(r"^\\(?:un)?restrict\b[^\n]*$", re.MULTILINE)
_COPY = re.compile(r"^COPY\s", re.IGNORECASE | re.MULTILINE)
_HEAD = re.compile(r"""(?:--[^\n]*+|-|[^;'"-]++|'[^']*+'|"[^"]*+")*+;""")  # a semicolon in quotes ends nothing
_FROM_STDIN = re.compile(r"\bFROM\s+stdin\b", re.IGNORECASE)
_LINE_END = re.compile(r"[ \t]*\n")
_END_OF_ROWS = re.compile(r"^\\\.[ \t]*$", re.MULTILINE)
_MOST_WITHOUT_END = 100


def without_data(script: str) -> str:
    r"""The SQL of a dump, the rest replaced by spaces.

    >>> without_data("COPY t FROM stdin;\n1\n\\.\nSELECT 1;")
    'COPY t FROM stdin;\n \n  \nSELECT 1;'
    """
    script = script.removeprefix(BYTE_ORDER_MARK)
    if "\\" not in script:
        return script
    script = _RESTRICT.sub(lambda found: _blank(found[0]), script)
    kept, done = list[str](), 0
    for start, end in _rows(script):
        kept += script[done:start], _blank(script[start:end])
        done = end
    return "".join((*kept, script[done:]))


def _rows(script: str) -> Iterator[tuple[int, int]]:
    """Where rows stand, their closing line included; each part of the script is read once."""
    at, endless = 0, 0
    while (copy := _COPY.search(script, at)) and endless < _MOST_WITHOUT_END:
        head = _HEAD.match(script, copy.end())
        at = head.end() if head else copy.end()
        endless += head is None
        line_end = _LINE_END.match(script, at) if head and _FROM_STDIN.search(script, copy.start(), at) else None
        if line_end is None:
            continue
        rows = _END_OF_ROWS.search(script, line_end.end())
        if rows is None:
            return
        yield line_end.end(), rows.end()
        at = rows.end()


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)
