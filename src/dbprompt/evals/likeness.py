"""How much a schema is like another that a person made: tables, columns, keys and foreign keys found again.

Names are matched as `briefs/FORMAT.md` matches them, with an entity's aliases where there is a brief. A likeness says
nothing of quality: another design may be better than the gold one, and share little with it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

from dbprompt.brief import Brief, Entity
from dbprompt.checks.base_matching import columns_of, entity_of
from dbprompt.sections.names import normal
from dbprompt.sections.schema import Schema, Table

__all__ = ["Likeness", "Overlap", "likeness"]


@dataclass(frozen=True, slots=True)
class Overlap:
    """What two sets share.

    Args:
        found: things of the design that the gold has too.
        design: things of the design.
        gold: things of the gold.
    """

    found: int
    design: int
    gold: int

    @property
    def precision(self) -> float | None:
        """The share of the design that the gold has; None of nothing."""
        return self.found / self.design if self.design else None

    @property
    def recall(self) -> float | None:
        """The share of the gold that the design has; None of nothing."""
        return self.found / self.gold if self.gold else None

    @property
    def f1(self) -> float | None:
        """Their harmonic mean: 2 found / (design + gold); None where both have none."""
        total = self.design + self.gold
        return 2 * self.found / total if total else None


@dataclass(frozen=True, slots=True)
class Likeness:
    """The overlap of each kind of thing. A foreign key counts with its delete rule left aside."""

    tables: Overlap
    columns: Overlap
    keys: Overlap
    foreign_keys: Overlap


def likeness(design: Schema, gold: Schema, brief: Brief | None = None) -> Likeness:
    """Compares a schema with a gold one.

    Args:
        design: the schema that is judged.
        gold: what it is compared with.
        brief: whose entities and aliases say which tables and columns mean the same; without it, names alone do.
    """

    def overlap(things: Callable[[Schema, Brief | None], list[Hashable]]) -> Overlap:
        ours, theirs = set(things(design, brief)), set(things(gold, brief))
        return Overlap(len(ours & theirs), len(ours), len(theirs))

    return Likeness(overlap(_tables), overlap(_columns), overlap(_keys), overlap(_foreign_keys))


def _meant(table: Table, brief: Brief | None) -> str:
    """What a table stores: the brief's entity, else its own name."""
    entity = entity_of(brief, table)
    return normal(entity.name if entity else table.name)


def _words(table: Table, brief: Brief | None) -> dict[str, str]:
    """What each column of a table means: the brief's attribute, else its own name without the entity's in front."""
    entity = entity_of(brief, table)
    prefix = f"{_meant(table, brief)}_"
    said = {column.name: normal(column.name).removeprefix(prefix) for column in table.columns}
    return said | (_attributes(table, entity) if entity else {})


def _attributes(table: Table, entity: Entity) -> dict[str, str]:
    found: dict[str, str] = {}
    for attribute in entity.attributes:
        for column in columns_of(table, entity, attribute.name):
            found.setdefault(column.name, normal(attribute.name))
    return found


def _tables(schema: Schema, brief: Brief | None) -> list[Hashable]:
    return [_meant(table, brief) for table in schema.tables]


def _columns(schema: Schema, brief: Brief | None) -> list[Hashable]:
    return [(_meant(table, brief), word) for table in schema.tables for word in _words(table, brief).values()]


def _keys(schema: Schema, brief: Brief | None) -> list[Hashable]:
    found: list[Hashable] = []
    for table in schema.tables:
        said = _words(table, brief)
        for columns in (table.primary_key, *(unique.columns for unique in table.uniques)):
            if columns:
                found.append((_meant(table, brief), frozenset(said.get(name, normal(name)) for name in columns)))
    return found


def _foreign_keys(schema: Schema, brief: Brief | None) -> list[Hashable]:
    found: list[Hashable] = []
    for table in schema.tables:
        said = _words(table, brief)
        for key in table.foreign_keys:
            parent = schema.table(key.references)
            to = _meant(parent, brief) if parent else normal(key.references)
            columns = frozenset(said.get(name, normal(name)) for name in key.columns)
            found.append((_meant(table, brief), columns, to))
    return found
