"""What functions of ours share: bodies that no text can leave, and names that are derived from a table's."""

from __future__ import annotations

from itertools import count

__all__ = ["dollar_quoted"]


def dollar_quoted(body: str, tag: str = "body") -> str:
    """Any text as one dollar-quoted literal; the tag is one that the text does not hold.

    >>> dollar_quoted("SELECT $body$x$body$", "body")
    '$body1$SELECT $body$x$body$$body1$'
    """
    for number in count():
        quote = f"${tag}{number or ''}$"
        if (body + quote).find(quote) == len(body):  # it may not stand in the text, nor begin at its end
            return f"{quote}{body}{quote}"
    raise AssertionError("count() does not end")
