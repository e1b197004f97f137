"""Access patterns: what the brief asks of its data, how often and how fast, and what in the design answers it."""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.brief import Brief, QueryKind, QueryNeed
from dbprompt.render.background import Background
from dbprompt.render.markdown import cell, code, table, text
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.queries import Query

__all__ = ["access_patterns_markdown", "age", "answers"]

_WRITES = {QueryKind.INSERT, QueryKind.UPDATE, QueryKind.DELETE}


def access_patterns_markdown(design: DatabaseDesign, about: Background) -> Iterator[str]:
    """Each query of the brief in one line, and how much of the load they are."""
    brief = about.brief
    if brief is None or design.queries is None or not brief.queries:
        return
    yield "## Access patterns"
    heads = ("Query", "Kind", "How often", "95 of 100 within", "May be old", "Answered by")
    yield table(heads, (_row(need, design, brief) for need in brief.queries), align="llrrrl")
    yield _load(brief)
    if notes := [query for query in design.queries.queries if query.note]:
        yield "What makes them fast and safe:"
        yield "\n".join(f"- {code(query.id)}: {text(query.note)}" for query in notes)


def age(seconds: float) -> str:
    """A time that a person can read.

    >>> age(0), age(45), age(3_600), age(86_400)
    ('0 s', '45 s', '1 hour', '1 day')
    """
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length and seconds % length == 0:
            number = int(seconds // length)
            return f"{number:,} {unit}{'' if number == 1 else 's'}"
    return f"{seconds:,g} s"


def answers(design: DatabaseDesign, query_id: str) -> tuple[str, ...]:
    """Everything in a design that answers a query, finished for a table's cell; empty if nothing does."""
    query = next((one for one in (design.queries.queries if design.queries else ()) if one.id == query_id), None)
    views = [view.name for view in (design.views.views if design.views else ()) if query_id in view.serves]
    cached = [entry for entry in (design.caching.entries if design.caching else ()) if entry.query == query_id]
    routes = [route for route in (design.scaling.routes if design.scaling else ()) if query_id in route.queries]
    return (
        *((_statement(query, design, bool(views)),) if query else ()),
        *(f"view {code(name)}" for name in views),
        *(f"cache {code(entry.name)} in {entry.store}, {age(entry.ttl_s)}" for entry in cached),
        *(f"on the {route.to.replace('_', ' ')} ({code(route.name)})" for route in routes if route.to != "cache"),
    )


def _statement(query: Query, design: DatabaseDesign, by_view: bool) -> str:
    if query.uses_index is not None:
        indexes = design.indexes.indexes if design.indexes else ()
        method = next((index.method for index in indexes if index.name == query.uses_index), "btree")
        by = f"index {code(query.uses_index)}" + ("" if method == "btree" else f" ({method})")
    else:
        by = "" if by_view else "a key"
    pages = "keyset pages" if query.pagination == "keyset" else ""
    return ", ".join(part for part in ("statement" + (f" by {by}" if by else ""), pages) if part)


def _row(need: QueryNeed, design: DatabaseDesign, brief: Brief) -> tuple[str, ...]:
    usual = brief.workload.p95_write_ms if need.kind in _WRITES else brief.workload.p95_read_ms
    target = _time(need.p95_ms) if need.p95_ms is not None else f"{_time(usual)} (all)"
    return (
        f"{code(need.id)} {cell(need.text)}",
        need.kind.replace("_", " "),
        _often(need),
        target,
        age(need.freshness_s),
        "; ".join(answers(design, need.id)) or "**nothing**",
    )


def _time(milliseconds: float) -> str:
    return f"{milliseconds:,g} ms" if milliseconds < 1_000 else f"{milliseconds / 1_000:,g} s"


def _often(need: QueryNeed) -> str:
    if need.per_s is not None:
        return f"{need.per_s:,g} a second"
    return f"{need.per_day:,g} a day" if need.per_day is not None else ""


def _load(brief: Brief) -> str:
    """What part of the peak the named queries are: the sum of their rates over the brief's own."""
    reads = sum(need.per_s or 0 for need in brief.queries if need.kind not in _WRITES)
    peak = brief.workload.reads_per_s_peak
    if not peak:
        return ""
    share = f" ({reads / peak:.0%})" if reads <= peak else ", which is more than the peak that the brief states"
    return (
        f"The reads named here are {reads:,g} of {peak:,g} a second at the peak{share}. Summed, not asked of a model."
    )
