"""Words that stand where a reason should: blanks that were never filled in."""

from __future__ import annotations

import re

__all__ = ["placeholder"]

_ANYWHERE = re.compile(
    r"\bTODO\b|\bTBD\b|\bTBC\b|\bFIXME\b|\bXXX+\b|\blorem ipsum\b|\bplaceholder text\b"
    r"|\bto be (?:defined|determined|decided|added|filled in)\b|\[[A-Z][A-Z0-9_ /]{2,}\]|<[a-z][a-z0-9_ ]+ here>",
)
_WHOLE = re.compile(
    r"[\W_]*|(?:n\.?/?a\.?|none|null|nil|unknown|not applicable|same|see above|as above|reason|text|string)"
    r"[\W_]*",
    re.IGNORECASE,
)


def placeholder(words: str) -> str:
    """What in a text is a blank that was left; empty if it says something.

    A customer may well build a todo list, so only the mark in capitals counts.

    >>> placeholder("TODO: ask finance"), placeholder("n/a"), placeholder("Todo lists are small.")
    ('TODO', 'n/a', '')
    """
    text = words.strip()
    if _WHOLE.fullmatch(text):
        return text or "nothing"
    found = _ANYWHERE.search(text)
    return found.group() if found else ""
