"""The chapters of the document behind tables, indexes and queries: one function a section, in the order of reading."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from dbprompt.render.access import access_chapter
from dbprompt.render.access_patterns import access_patterns_markdown
from dbprompt.render.background import Background
from dbprompt.render.caching import caching_markdown
from dbprompt.render.infrastructure import infrastructure_chapter
from dbprompt.render.lifecycle import lifecycle_chapter
from dbprompt.render.migrations.chapter import migrations_chapter
from dbprompt.render.monitoring import monitoring_chapter
from dbprompt.render.rationale import rationale_markdown
from dbprompt.render.recovery_plan import backup_chapter
from dbprompt.render.runbooks import runbooks_chapter
from dbprompt.render.scaling import scaling_chapter
from dbprompt.render.upkeep import upkeep_chapter
from dbprompt.render.views import views_chapter
from dbprompt.sections import DatabaseDesign, SectionName

__all__ = ["CHAPTERS", "Chapter"]

Chapter: TypeAlias = Callable[[DatabaseDesign, Background], Iterator[str]]
"""Gives Markdown paragraphs, the first a heading `## ...`; none if the design lacks the section."""

CHAPTERS: Mapping[SectionName, Chapter] = {
    "views": views_chapter,
    "queries": access_patterns_markdown,
    "caching": caching_markdown,
    "lifecycle": lifecycle_chapter,
    "security": access_chapter,
    "infrastructure": infrastructure_chapter,
    "scaling": scaling_chapter,
    "backup": backup_chapter,
    "upkeep": upkeep_chapter,
    "monitoring": monitoring_chapter,
    "migrations": migrations_chapter,
    "runbooks": runbooks_chapter,
    "rationale": rationale_markdown,
}
"""By section, in the order of reading. Names of artefacts stand in backticks: the page links them to their evidence."""
