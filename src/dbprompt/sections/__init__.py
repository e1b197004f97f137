"""The design: typed sections that a model fills once; every text is written from them."""

from __future__ import annotations

import warnings
from typing import Self, TypeAlias

from pydantic import BaseModel, ConfigDict

from dbprompt.sections.base import Section, output_schema
from dbprompt.sections.indexes import Indexes
from dbprompt.sections.queries import Queries
from dbprompt.sections.schema import Schema
from dbprompt.sections.selection import Selection

__all__ = ["SECTIONS", "DatabaseDesign", "Section", "SectionName", "output_schema"]

SectionName: TypeAlias = str

SECTIONS: dict[SectionName, type[Section]] = {
    "selection": Selection,
    "schema": Schema,
    "indexes": Indexes,
    "queries": Queries,
}
"""Every section by name, in the order of a document."""

with warnings.catch_warnings():
    # pydantic keeps a deprecated `BaseModel.schema()`; the trade's word for the section is worth more.
    warnings.filterwarnings("ignore", message='Field name "schema"')

    class DatabaseDesign(BaseModel):
        """A design. A section that was not asked for is None."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        selection: Selection | None = None
        schema: Schema | None = None  # type: ignore[assignment]
        indexes: Indexes | None = None
        queries: Queries | None = None

        def section(self, name: SectionName) -> Section | None:
            """One section by name."""
            found = getattr(self, name)
            return found if isinstance(found, Section) else None

        def with_section(self, name: SectionName, section: Section) -> Self:
            """The same design with one section set."""
            return self.model_copy(update={name: section})
