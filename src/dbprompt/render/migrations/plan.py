"""All steps of a design: the initial migration, then each planned change on top of those before it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from itertools import takewhile

from dbprompt.render.migrations.initial import initial_step
from dbprompt.render.migrations.obstacles import Obstacle, obstacles
from dbprompt.render.migrations.recipe import Recipe
from dbprompt.render.migrations.recipes import RECIPES
from dbprompt.render.migrations.state import after
from dbprompt.render.migrations.steps import Step, Versioned, versioned
from dbprompt.render.postgres import UnsafeSqlError, ddl_statements
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.migrations import PlannedChange

__all__ = ["Planned", "planned_changes", "versioned_steps"]

_PARTITION = re.compile(r'CREATE TABLE (?P<name>"(?:[^"]|"")+"|\w+) PARTITION OF ')


_CHANGES_NOTHING = {"changes.name_taken", "changes.no_change"}


@dataclass(frozen=True, slots=True)
class Planned:
    """A planned change in its place.

    Args:
        change: itself.
        where: its place in the section, `/changes/0`.
        before: the design as it stands when its turn comes.
        steps: its steps; none if something stands against it.
        obstacles: what does.
    """

    change: PlannedChange
    where: str
    before: DatabaseDesign
    steps: tuple[Step, ...]
    obstacles: tuple[Obstacle, ...]


def planned_changes(design: DatabaseDesign, *, as_of: date, version: int) -> tuple[Planned, ...]:
    """Every planned change with its steps; one that something stands against has none."""
    section, state, found = design.migrations, design, []
    for at, change in enumerate(section.changes if section else ()):
        where = f"/changes/{at}"
        against = obstacles(state, change, version=version)
        steps: tuple[Step, ...] = ()
        if not against and section is not None and design.schema is not None:
            parts = _partitions(state, change, as_of=as_of, version=version)
            recipe = Recipe(state, change, where, section.lock_timeout_ms, parts, version)
            steps = tuple(RECIPES[change.kind](recipe))
        found.append(Planned(change, where, state, steps, against))
        # What a later change builds on is there for it even if this one has to be mended: one cause, one finding.
        state = state if {one.code for one in against} & _CHANGES_NOTHING else after(state, change)
    return tuple(found)


def versioned_steps(design: DatabaseDesign, *, as_of: date, version: int) -> tuple[Versioned, ...]:
    """The one list that every form is written from. It ends before a change that something stands against.

    Raises:
        UnsafeSqlError: a free expression of the schema could leave its parentheses.
    """
    if design.migrations is None or design.schema is None:
        return ()
    changes = takewhile(lambda one: not one.obstacles, planned_changes(design, as_of=as_of, version=version))
    steps = [initial_step(design, as_of=as_of, version=version), *(step for one in changes for step in one.steps)]
    return versioned(steps, design.migrations.versioning, as_of)


def _partitions(design: DatabaseDesign, change: PlannedChange, *, as_of: date, version: int) -> tuple[str, ...]:
    """Names of the partitions that the design's own DDL makes for the change's table."""
    table = design.schema.table(change.table or "") if design.schema else None
    if table is None or table.partitioning is None:
        return ()
    try:
        statements = ddl_statements(design.only(("schema", "indexes")), as_of=as_of, version=version)
    except UnsafeSqlError:
        return ()
    made = (one.sql for one in statements if one.kind == "partition" and one.artefact == f"table {table.name}")
    return tuple(found["name"].strip('"') for sql in made if (found := _PARTITION.match(sql)))
