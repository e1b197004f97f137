"""The chapter on growth: phases with the disk that they need, signs, routes of reads, sharding."""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.capacity import Capacity
from dbprompt.machines.growth import gb_of, phase_of, records_3y, records_now
from dbprompt.machines.storage import disk_gb
from dbprompt.render.background import Background
from dbprompt.render.markdown import cell, code, table, text
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.scaling import Phase, Scaling

__all__ = ["scaling_chapter"]


def scaling_chapter(design: DatabaseDesign, about: Background) -> Iterator[str]:
    """The road of growth."""
    section = design.scaling
    if section is None:
        return
    yield "## Growth"
    yield from _phases(section, about.capacity)
    yield from _triggers(section)
    yield from _routes(section)
    yield from _sharding(section)


def _phases(section: Scaling, capacity: Capacity | None) -> Iterator[str]:
    yield "### Phases"
    rows = []
    for at, phase in enumerate(section.phases):
        start = section.phases[at - 1].up_to_records if at else 0
        rows.append(
            (
                cell(phase.name),
                f"{start:,}" if start is not None else "",
                f"{phase.up_to_records:,}" if phase.up_to_records is not None else "no end",
                _disk(phase, capacity),
                code(phase.tier),
                str(phase.read_replicas),
                cell("; ".join(phase.changes)),
            )
        )
    heads = ("Phase", "From records", "Up to", "Disk at its end", "Tier", "Replicas", "On entering")
    yield table(heads, rows, align="lrrrlrl")
    if capacity is not None:
        places = []
        for when, records in (("Today", records_now(capacity)), ("In three years", records_3y(capacity))):
            found = phase_of(section.phases, records)
            places.append(f"{when} **{records:,} records**: phase {text(found.name) if found else 'none'}.")
        yield " ".join(places) + " Counted over all entities, retention applied; disk is raw size x 2.5."


def _disk(phase: Phase, capacity: Capacity | None) -> str:
    if capacity is None or phase.up_to_records is None:
        return ""
    return f"{disk_gb(gb_of(phase.up_to_records, capacity)):,.0f} GB"


def _triggers(section: Scaling) -> Iterator[str]:
    if section.triggers:
        yield "### When to take the next tier"
        rows = (
            (code(one.metric), f"{one.above:g}", f"{one.for_minutes:,} min", cell(one.action))
            for one in section.triggers
        )
        yield table(("Metric", "Above", "For", "Then"), rows, align="lrrl")


def _routes(section: Scaling) -> Iterator[str]:
    if section.routes:
        yield "### Where reads go"
        rows = (
            (
                code(route.name),
                ", ".join(code(query) for query in route.queries),
                route.to.replace("_", " "),
                route.by.replace("_", " "),
                f"{route.lag_tolerance_s:,g} s",
            )
            for route in section.routes
        )
        yield table(("Route", "Queries", "To", "By", "May be old"), rows, align="llllr")


def _sharding(section: Scaling) -> Iterator[str]:
    plan = section.sharding
    yield "### Sharding"
    if plan.approach == "none":
        again = f" To be thought of again at {plan.revisit_at_gb:,g} GB of raw rows." if plan.revisit_at_gb else ""
        yield f"None. {_sentence(plan.reason)}{again}"
    else:
        tables = ", ".join(code(name) for name in plan.tables)
        yield f"By {plan.approach} of {code(plan.key or '')}: {tables}. {_sentence(plan.reason)}"
    for word, points in (("Gains", plan.gains), ("Costs", plan.costs)):
        if points:
            yield f"{word}: " + "; ".join(text(point) for point in points) + "."


def _sentence(words: str) -> str:
    """Words with a full stop behind them."""
    return text(words.rstrip(". ")) + "."
