"""Volumes computed from a brief: now, at each retention, in three years. Never asked of a model.

Rules (`briefs/FORMAT.md`): sizes are decimal (1 GB = 1e9 bytes) of raw row bytes, a month has 30 days, growth is
gross, and the projection has retention applied: an entity that is kept for N days holds at most N days of rows.
"""

from __future__ import annotations

from dataclasses import dataclass

from dbprompt.brief import Brief, Entity

__all__ = ["Capacity", "EntityCapacity", "capacity_of"]

DAYS_IN_MONTH = 30
PROJECTION_DAYS = 3 * 365


@dataclass(frozen=True, slots=True)
class EntityCapacity:
    """One entity's rows and raw bytes. `rows_at_retention` is the steady state, None if rows are kept for ever."""

    name: str
    row_bytes: int
    rows_now: int
    rows_per_day: float
    retention_days: int | None

    def rows_in(self, days: int) -> int:
        """Rows after so many days: `rows_now + days x rows_per_day`, at most `retention_days x rows_per_day`."""
        grown = round(self.rows_now + days * self.rows_per_day)
        return grown if self.rows_at_retention is None else min(grown, self.rows_at_retention)

    @property
    def rows_at_retention(self) -> int | None:
        """Rows in the steady state: `retention_days x rows_per_day`."""
        return None if self.retention_days is None else round(self.retention_days * self.rows_per_day)

    @property
    def rows_3y(self) -> int:
        """Rows in three years."""
        return self.rows_in(PROJECTION_DAYS)

    @property
    def bytes_now(self) -> int:
        """Raw bytes now."""
        return self.rows_now * self.row_bytes

    @property
    def bytes_3y(self) -> int:
        """Raw bytes in three years."""
        return self.rows_3y * self.row_bytes

    @property
    def bytes_per_month(self) -> float:
        """Raw bytes that are added in a month of 30 days."""
        return self.rows_per_day * self.row_bytes * DAYS_IN_MONTH


@dataclass(frozen=True, slots=True)
class Capacity:
    """All entities of a brief, and their sums in decimal gigabytes."""

    entities: tuple[EntityCapacity, ...]

    @property
    def size_now_gb(self) -> float:
        """Raw size now."""
        return sum(entity.bytes_now for entity in self.entities) / 1e9

    @property
    def growth_gb_per_month(self) -> float:
        """Gross growth in a month of 30 days."""
        return sum(entity.bytes_per_month for entity in self.entities) / 1e9

    @property
    def projected_3y_gb(self) -> float:
        """Raw size in three years, retention applied."""
        return sum(entity.bytes_3y for entity in self.entities) / 1e9

    def of(self, entity: str) -> EntityCapacity | None:
        """One entity's figures."""
        return next((item for item in self.entities if item.name == entity), None)


def capacity_of(brief: Brief) -> Capacity:
    """The figures of a brief."""
    return Capacity(tuple(_entity_capacity(entity) for entity in brief.entities))


def _entity_capacity(entity: Entity) -> EntityCapacity:
    return EntityCapacity(
        entity.name, entity.avg_row_bytes, entity.rows_now, entity.rows_per_day, entity.retention_days
    )
