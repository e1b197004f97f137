"""The design: typed sections that a model fills once; every text is written from them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Self, TypeAlias

from pydantic import BaseModel, ConfigDict

from dbprompt.sections.backup import Backup
from dbprompt.sections.base import Section, output_schema
from dbprompt.sections.caching import Caching
from dbprompt.sections.indexes import Indexes
from dbprompt.sections.infrastructure import Infrastructure
from dbprompt.sections.lifecycle import Lifecycle
from dbprompt.sections.migrations import Migrations
from dbprompt.sections.monitoring import Monitoring
from dbprompt.sections.queries import Queries
from dbprompt.sections.rationale import Rationale
from dbprompt.sections.runbooks import Runbooks
from dbprompt.sections.scaling import Scaling
from dbprompt.sections.schema import Schema
from dbprompt.sections.security import Security
from dbprompt.sections.selection import Selection
from dbprompt.sections.upkeep import Upkeep
from dbprompt.sections.views import Views

__all__ = ["NEEDS", "SECTIONS", "DatabaseDesign", "Section", "SectionName", "all_needs", "output_schema"]

SectionName: TypeAlias = str

SECTIONS: dict[SectionName, type[Section]] = {
    "selection": Selection,
    "schema": Schema,
    "views": Views,
    "indexes": Indexes,
    "queries": Queries,
    "caching": Caching,
    "lifecycle": Lifecycle,
    "security": Security,
    "infrastructure": Infrastructure,
    "backup": Backup,
    "upkeep": Upkeep,
    "monitoring": Monitoring,
    "scaling": Scaling,
    "migrations": Migrations,
    "runbooks": Runbooks,
    "rationale": Rationale,
}
"""Every section by name, in the order of a document; none stands before what it needs."""

NEEDS: Mapping[SectionName, tuple[SectionName, ...]] = {
    "selection": (),
    "schema": ("selection",),
    "views": ("schema",),
    "indexes": ("views",),
    "queries": ("indexes",),
    "caching": ("queries",),
    "lifecycle": ("schema",),
    "security": ("schema",),
    "infrastructure": ("queries", "security"),
    "backup": ("infrastructure",),
    "upkeep": ("indexes", "lifecycle"),
    "monitoring": ("infrastructure", "lifecycle"),
    "scaling": ("caching", "monitoring"),
    "migrations": ("upkeep",),
    "runbooks": ("backup", "monitoring"),
    "rationale": ("indexes",),
}
"""What each section builds on, and is asked for after. Sections that do not need each other are asked for at once."""


def all_needs(name: SectionName) -> tuple[SectionName, ...]:
    """What a section builds on, with what that builds on, in the order of a document.

    >>> all_needs("queries")
    ('selection', 'schema', 'views', 'indexes')
    """
    below = {need for direct in NEEDS[name] for need in (direct, *all_needs(direct))}
    return tuple(section for section in SECTIONS if section in below)


with warnings.catch_warnings():
    # pydantic keeps a deprecated `BaseModel.schema()`; the trade's word for the section is worth more.
    warnings.filterwarnings("ignore", message='Field name "schema"')

    class DatabaseDesign(BaseModel):
        """A design. A section that was not asked for is None."""

        model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

        selection: Selection | None = None
        schema: Schema | None = None  # type: ignore[assignment]
        views: Views | None = None
        indexes: Indexes | None = None
        queries: Queries | None = None
        caching: Caching | None = None
        lifecycle: Lifecycle | None = None
        security: Security | None = None
        infrastructure: Infrastructure | None = None
        backup: Backup | None = None
        upkeep: Upkeep | None = None
        monitoring: Monitoring | None = None
        scaling: Scaling | None = None
        migrations: Migrations | None = None
        runbooks: Runbooks | None = None
        rationale: Rationale | None = None

        def section(self, name: SectionName) -> Section | None:
            """One section by name."""
            found = getattr(self, name)
            return found if isinstance(found, Section) else None

        def only(self, names: Iterable[SectionName]) -> Self:
            """The same design with nothing but these sections."""
            kept = set(names)
            return self.model_copy(update={name: None for name in SECTIONS if name not in kept})

        def without(self, *names: SectionName) -> Self:
            """The same design without these sections, so that they are asked for again."""
            return self.only(name for name in SECTIONS if name not in names)

        def with_section(self, name: SectionName, section: Section) -> Self:
            """The same design with one section set."""
            return self.model_copy(update={name: section})
