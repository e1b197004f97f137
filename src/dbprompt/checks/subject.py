"""What a design check looks at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from dbprompt.evidence import Report

if TYPE_CHECKING:
    from dbprompt.brief import Brief
    from dbprompt.capacity import Capacity
    from dbprompt.sections import DatabaseDesign, SectionName

__all__ = ["DesignCheck", "Subject"]


@dataclass(frozen=True, slots=True)
class Subject:
    """One section under check, in its place in the design.

    Args:
        design: everything finished so far, with the section under check set.
        section: the section under check; `where` of findings and verdicts is a pointer into it.
        brief: what the user knows; None if the design was asked for by variables alone.
        capacity: figures computed from the brief.
        misshapen: names of items that failed their shape and are left out of the section; a reference to one
            of them is not a mistake of its own.
    """

    design: DatabaseDesign
    section: SectionName
    brief: Brief | None = None
    capacity: Capacity | None = None
    misshapen: frozenset[str] = frozenset()


DesignCheck: TypeAlias = Callable[[Subject], Report]
