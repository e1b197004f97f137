"""The files of a design by their place in the folder: what each section is written as."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from dbprompt.render.background import Background
from dbprompt.sections import DatabaseDesign

__all__ = ["FILES", "Files"]

Files: TypeAlias = Callable[[DatabaseDesign, Background], Mapping[str, str]]
"""Gives texts by path, such as `ops/alerts.yaml`; none if the design lacks the section."""

FILES: tuple[Files, ...] = ()
