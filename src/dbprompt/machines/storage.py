"""What the data needs of a machine: disk for rows, indexes and room; memory for what is read often; and the bill."""

from __future__ import annotations

from dbprompt.brief import Brief
from dbprompt.sections.infrastructure import Infrastructure

__all__ = ["DISK_PER_RAW", "FULL_AT", "cost_usd_month", "disk_gb", "hot_gb", "memory_for_cache_gb"]

ON_DISK_PER_RAW = 2.0
"""Bytes on disk for a raw row byte: row headers and page slack about 0.3, indexes about 0.7."""

FULL_AT = 0.8
"""How full a disk may be: the rest is for WAL, sorting, index builds and dead rows."""

DISK_PER_RAW = ON_DISK_PER_RAW / FULL_AT
"""Disk for a raw row byte: 2.5."""

CACHE_SHARE = 0.75
"""The share of a machine's memory that holds data pages, PostgreSQL's and the system's together."""


def disk_gb(raw_gb: float) -> float:
    """The disk that raw rows of this size need: x 2.0 on disk, which may be 80 % full.

    >>> disk_gb(100)
    250.0
    """
    return raw_gb * DISK_PER_RAW


def hot_gb(brief: Brief) -> float | None:
    """What is read often: rows of the last `hot_days` (all, if there are fewer) x bytes x 2.0; None if not said."""
    days = brief.lifecycle.hot_days
    if not days:
        return None
    rows = sum(min(e.rows_now, days * e.rows_per_day) * e.avg_row_bytes for e in brief.entities)
    return rows * ON_DISK_PER_RAW / 1e9


def memory_for_cache_gb(memory_gb: float) -> float:
    """The part of a machine's memory that holds data pages."""
    return memory_gb * CACHE_SHARE


def cost_usd_month(infrastructure: Infrastructure) -> float:
    """Everything that is paid for: each node at the price of its tier, and the rest."""
    tiers = {tier.name: tier.usd_month for tier in infrastructure.tiers}
    nodes = sum(tiers.get(node.tier, 0) for node in infrastructure.nodes)
    return nodes + sum(cost.usd_month for cost in infrastructure.other_costs)
