"""The chapters of the document behind tables, indexes and queries: one function a section, in the order of reading."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from dbprompt.render.background import Background
from dbprompt.sections import DatabaseDesign

__all__ = ["CHAPTERS", "Chapter"]

Chapter: TypeAlias = Callable[[DatabaseDesign, Background], Iterator[str]]
"""Gives Markdown paragraphs, the first a heading `## ...`; none if the design lacks the section."""

CHAPTERS: tuple[Chapter, ...] = ()
