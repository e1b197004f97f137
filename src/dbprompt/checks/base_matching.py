"""Which table stores which entity of the brief, and which column which attribute (`briefs/FORMAT.md`, "Names").

A table's own word (`Table.entity`) goes before its name, and a name before an alias: a table `accounts` that says it
stores `wallet` is no tenant, and `occurred_at` is not also found in `created_at` beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dbprompt.brief import Attribute, AttributeRole, Brief, Entity
from dbprompt.checks.subject import Subject
from dbprompt.sections.names import entity_matches, name_matches, normal
from dbprompt.sections.schema import Column, Schema, Table

__all__ = ["Place", "columns_of", "entity_of", "is_misshapen", "places_of", "rows_3y", "typed_columns"]


@dataclass(frozen=True, slots=True)
class Place:
    """A table and where it stands in the schema."""

    at: int
    table: Table

    @property
    def where(self) -> str:
        """Pointer into the schema section."""
        return f"/tables/{self.at}"


def entity_of(brief: Brief | None, table: Table) -> Entity | None:
    """The brief's entity that a table stores; None for a junction, a log or whatever else the brief does not name."""
    if brief is None:
        return None
    for name in (table.entity, table.name):
        if name is None:
            continue
        by_name = [entity for entity in brief.entities if normal(entity.name) == normal(name)]
        by_alias = [entity for entity in brief.entities if entity_matches(name, entity.name, entity.aliases)]
        if found := by_name or by_alias:
            return found[0]
    return None


def places_of(brief: Brief, schema: Schema, entity: Entity) -> tuple[Place, ...]:
    """The tables that store an entity."""
    return tuple(Place(at, table) for at, table in enumerate(schema.tables) if entity_of(brief, table) == entity)


def columns_of(table: Table, entity: Entity, name: str) -> tuple[Column, ...]:
    """The columns of a table that hold an attribute: those with its name, else those with an alias."""
    attribute = entity.attribute(name) or Attribute(name=name, role=AttributeRole.TEXT)
    by_name = tuple(column for column in table.columns if name_matches(column.name, attribute.name, (), entity.name))
    return by_name or tuple(
        column for column in table.columns if name_matches(column.name, attribute.name, attribute.aliases, entity.name)
    )


def typed_columns(brief: Brief | None, table: Table) -> Iterator[tuple[int, Column, frozenset[AttributeRole]]]:
    """Each column of a table with the roles that the brief gives it."""
    entity = entity_of(brief, table)
    roles: dict[str, set[AttributeRole]] = {}
    for attribute in entity.attributes if entity else ():
        for column in columns_of(table, entity, attribute.name) if entity else ():
            roles.setdefault(column.name, set()).add(attribute.role)
    for at, column in enumerate(table.columns):
        yield at, column, frozenset(roles.get(column.name, ()))


def rows_3y(subject: Subject, table: Table) -> int | None:
    """The rows of a table in three years; None where the brief does not say."""
    entity = entity_of(subject.brief, table)
    figures = subject.capacity.of(entity.name) if subject.capacity and entity else None
    return figures.rows_3y if figures else None


def is_misshapen(subject: Subject, name: str, *aliases: str) -> bool:
    """Whether an item of this name was left out for its shape, so that missing it is no mistake of its own."""
    return any(entity_matches(broken, name, aliases) for broken in subject.misshapen)
