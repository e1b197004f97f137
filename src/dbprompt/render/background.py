"""What every text about a design says beside the design itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from dbprompt.brief import Brief
from dbprompt.capacity import Capacity
from dbprompt.messages import TurnUsage

__all__ = ["Background"]


@dataclass(frozen=True, slots=True)
class Background:
    """What a report says beside the design and its evidence.

    Args:
        brief: what was asked, if a brief asked it.
        capacity: figures computed from it.
        provenance: where the answers came from: a live model, or a recording and who wrote it.
        prompt: the template family and version that asked.
        usage_by_turn: what each request cost.
        as_of: the day that partitions are counted from.
        version: the server's major version that is written for.
    """

    brief: Brief | None
    capacity: Capacity | None
    provenance: str
    prompt: str
    usage_by_turn: tuple[TurnUsage, ...]
    as_of: date
    version: int

    @property
    def title(self) -> str:
        """The application's name, for headings."""
        return self.brief.app_name if self.brief else "this design"
