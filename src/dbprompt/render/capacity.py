"""Volumes as a table, with the formula that they come from."""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.capacity import Capacity, EntityCapacity
from dbprompt.render.markdown import code, table

__all__ = ["capacity_markdown", "size"]


def size(amount: float) -> str:
    """Bytes in decimal units, three figures.

    >>> size(1_302_000_000), size(0)
    ('1.3 GB', '0 B')
    """
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if amount >= factor:
            value = amount / factor
            return f"{value:.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"
    return f"{amount:.0f} B"


def capacity_markdown(capacity: Capacity) -> Iterator[str]:
    """The figures as blocks."""
    rows = [_row(entity) for entity in capacity.entities]
    now, month, later = capacity.size_now_gb, capacity.growth_gb_per_month, capacity.projected_3y_gb
    rows.append(
        ("**all**", "", "", f"**{size(now * 1e9)}**", f"**{size(month * 1e9)}**", "", "", f"**{size(later * 1e9)}**")
    )
    heads = ("Entity", "Rows now", "Rows a day", "Now", "A month", "Kept", "Rows in 3 years", "In 3 years")
    yield table(heads, rows, align="lrrrrlrr")
    yield (
        "Computed, not asked of a model. Rows in 3 years: rows now + 1,095 days of rows a day, at most as many days as "
        "they are kept. Size: rows times bytes a row, in decimal units, without indexes. A month has 30 days; its "
        "growth is gross."
    )


def _row(entity: EntityCapacity) -> tuple[str, ...]:
    kept = "always" if entity.retention_days is None else f"{entity.retention_days:,} days"
    return (
        code(entity.name),
        f"{entity.rows_now:,}",
        f"{entity.rows_per_day:,g}" if entity.rows_per_day < 1e6 else f"{entity.rows_per_day:,.0f}",
        size(entity.bytes_now),
        size(entity.bytes_per_month),
        kept,
        f"{entity.rows_3y:,}",
        size(entity.bytes_3y),
    )
