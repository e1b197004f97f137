"""Caching as a table: what, where, under which key, for how long, and what ends it."""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.brief import Brief
from dbprompt.render.access_patterns import age
from dbprompt.render.background import Background
from dbprompt.render.markdown import cell, code, table
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.caching import CachedThing

__all__ = ["caching_markdown"]

_ENDS = {
    "expiry": "nothing but its age",
    "write": "a write",
    "event": "an event",
    "logout": "logout",
    "purge": "a purge",
}


def caching_markdown(design: DatabaseDesign, about: Background) -> Iterator[str]:
    """The chapter; it says so where nothing is cached."""
    if design.caching is None:
        return
    yield "## Caching"
    if not design.caching.entries:
        yield "Nothing is cached: the database alone meets the numbers."
        return
    heads = ("Entry", "Holds", "Where", "Key", "Lives", "Ended by", "Asked for in one life", "Why")
    yield table(heads, (_row(entry, about.brief) for entry in design.caching.entries), align="llllrlr")
    yield (
        "Asked for in one life: the brief's rate times the time to live, which is what one key could serve at most. A "
        "cache may be lost at any time; what has to stay is in the database."
    )


def _row(entry: CachedThing, brief: Brief | None) -> tuple[str, ...]:
    holds = {
        "query": f"the answer of {code(entry.query or '')}",
        "row": f"a row of {code(entry.table or '')}",
        "session": "a session",
        "page": "a page" + (f" with {code(entry.query)}" if entry.query else ""),
    }[entry.kind]
    to = ", ".join(map(code, entry.invalidating_tables))
    return (
        code(entry.name),
        holds,
        entry.store,
        code(entry.key),
        age(entry.ttl_s),
        _ENDS[entry.invalidated_by] + (f" to {to}" if to else ""),
        _uses(entry, brief),
        cell(entry.reason),
    )


def _uses(entry: CachedThing, brief: Brief | None) -> str:
    need = brief.query(entry.query) if brief and entry.query else None
    if need is None or (need.per_s is None and need.per_day is None):
        return ""
    rate = need.per_s if need.per_s is not None else (need.per_day or 0) / 86_400
    return f"{rate * entry.ttl_s:,.2g}" if rate * entry.ttl_s < 10 else f"{rate * entry.ttl_s:,.0f}"
