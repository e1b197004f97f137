"""What a dump holds beside SQL: rows after COPY ... FROM stdin, and psql's own \\restrict lines.

They are blanked out, not cut out: every statement keeps its line and column. The rows are not looked at.
"""

from __future__ import annotations

import re

__all__ = ["without_data"]

_RESTRICT = re.compile(r"^\\(?:un)?restrict\b[^\n]*$", re.MULTILINE)
_ROWS = re.compile(
    r"^COPY\s[^;]*?\bFROM\s+stdin\b[^;]*;[ \t]*\n(.*?^\\\.[ \t]*$)", re.IGNORECASE | re.MULTILINE | re.DOTALL
)


def without_data(script: str) -> str:
    r"""The SQL of a dump, the rest replaced by spaces.

    >>> without_data("COPY t FROM stdin;\n1\n\\.\nSELECT 1;")
    'COPY t FROM stdin;\n \n  \nSELECT 1;'
    """
    if "\\" not in script:
        return script
    script = _RESTRICT.sub(lambda found: " " * len(found[0]), script)
    return _ROWS.sub(lambda found: found[0][: found.start(1) - found.start(0)] + _blank(found[1]), script)


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)
