"""Which phase of growth a number of records falls in, and how large that is."""

from __future__ import annotations

from collections.abc import Sequence

from dbprompt.capacity import Capacity
from dbprompt.sections.scaling import Phase

__all__ = ["gb_of", "phase_of", "records_3y", "records_now"]


def records_now(capacity: Capacity) -> int:
    """Records of all entities today."""
    return sum(entity.rows_now for entity in capacity.entities)


def records_3y(capacity: Capacity) -> int:
    """Records of all entities in three years, retention applied."""
    return sum(entity.rows_3y for entity in capacity.entities)


def phase_of(phases: Sequence[Phase], records: int) -> Phase | None:
    """The first phase whose end is not passed; the one without an end takes what is left."""
    return next((phase for phase in phases if phase.up_to_records is None or records <= phase.up_to_records), None)


def gb_of(records: int, capacity: Capacity) -> float:
    """Raw size of so many records, at today's mean bytes a record."""
    today = records_now(capacity)
    return records * capacity.size_now_gb / today if today else 0.0
