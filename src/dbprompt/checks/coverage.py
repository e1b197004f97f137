"""What the brief asks for is in the design: entities, the attributes that queries need, relationships, queries.

Poor: a brief whose queries look orders up by `public_number`, and an `orders` table without such a column. The schema
is sound by itself, and the query can never be written.
Better: every entity has a table (it says so in `entity`), every attribute that a query filters or sorts by has a column
by the attribute's name or alias, every query of the brief has a statement.

Names are matched as `briefs/FORMAT.md` says, the same way as designs are scored.
"""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.brief import AttributeRole, Brief, Entity, QueryNeed, Relationship
from dbprompt.capacity import capacity_of
from dbprompt.checks.base_design import error, judged, listing, rules, tables_with, warning
from dbprompt.checks.base_matching import Place, columns_of, is_misshapen, places_of
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Finding, Report
from dbprompt.sections.schema import ForeignKey, Schema, Table

__all__ = ["coverage"]

_POSTGRES = {"postgresql", "timescaledb"}
_ROUNDING = 0.02
"""Briefs state sizes in three figures."""

_TELLING = 2
"""So many attributes say what an entity is; one alone may be stored elsewhere."""


def coverage(subject: Subject) -> Report:
    """What the brief asks for and the section under check has not."""
    if subject.brief is None:
        return Report()
    if subject.section == "schema" and subject.design.schema is not None:
        findings = _of_schema(subject, subject.brief, subject.design.schema)
        return judged(
            subject, findings, checker=rules("coverage"), uncovered="what names mean; they are matched as words"
        )
    if subject.section == "queries" and subject.design.queries is not None:
        return Report(tuple(_missing_queries(subject, subject.brief)))
    return Report()


def _of_schema(subject: Subject, brief: Brief, schema: Schema) -> Iterator[Finding]:
    for entity in brief.entities:
        places = places_of(brief, schema, entity)
        if places:
            yield from _unlike(brief, entity, places)
            yield from _attributes(brief, entity, places)
        elif not is_misshapen(subject, entity.name, *entity.aliases):
            # With a free choice of engines, another store may hold it.
            found = warning if brief.target.free_choice else error
            message = (
                f"no table stores the brief's entity {entity.name}; add a table for it and write its name into "
                "entity, or "
                f"set entity of the table that stores it; {tables_with(schema)}"
            )
            yield found("coverage.entity_missing", "/tables", message)
    for relationship in brief.relationships:
        yield from _relationship(brief, schema, relationship)
    yield from _volumes(brief)


def _volumes(brief: Brief) -> Iterator[Finding]:
    """Sizes that the brief states beside those that its entities come to."""
    stated, computed = brief.volume, capacity_of(brief)
    for name in ("size_now_gb", "growth_gb_per_month", "projected_3y_gb") if stated else ():
        said, found = float(getattr(stated, name)), float(getattr(computed, name))
        if abs(said - found) > _ROUNDING * max(said, found):
            message = (
                f"the brief's volume says {name} {said:g}, and its entities come to {found:.3g} (rows x bytes, "
                "retention applied); every size here follows the entities, so mend one of the two"
            )
            yield warning("coverage.volume_disagrees", "/tables", message)


def _unlike(brief: Brief, entity: Entity, places: tuple[Place, ...]) -> Iterator[Finding]:
    """A table that says it stores an entity and has nothing of it stores something else."""
    telling = [a.name for a in entity.attributes if a.role is not AttributeRole.ID and a.name != "created_at"]
    if len(telling) < _TELLING or any(columns_of(place.table, entity, name) for place in places for name in telling):
        return
    table = places[0].table
    message = (
        f"table {table.name} stores {entity.name} by its word, and has none of its attributes ({listing(telling)}); "
        f"it has {listing(column.name for column in table.columns)}: set entity of the right table"
    )
    found = warning if brief.target.free_choice else error
    yield found("coverage.entity_unlike", places[0].where, message)


def _attributes(brief: Brief, entity: Entity, places: tuple[Place, ...]) -> Iterator[Finding]:
    """An attribute that a query needs has to be there; the others are worth a word."""
    needed: dict[str, str] = {}
    for query in brief.queries:
        if brief.entity(query.entity) == entity:
            needed |= dict.fromkeys(_attributes_of(query), query.id)
    for attribute in entity.attributes:
        if any(columns_of(place.table, entity, attribute.name) for place in places):
            continue
        if attribute.role is AttributeRole.ID and attribute.name not in needed:
            continue  # the key may be made of references
        table, where = places[0].table, places[0].where
        have = listing(column.name for column in table.columns)
        called = listing([attribute.name, *attribute.aliases])
        if attribute.name in needed:
            message = (
                f"query {needed[attribute.name]} of the brief needs attribute {attribute.name} of {entity.name}, and "
                "table "
                f"{table.name} has no column for it (it has {have}); add one named {called}"
            )
            yield error("coverage.query_attribute_missing", where, message)
        else:
            message = (
                f"table {table.name} has no column for attribute {attribute.name} of {entity.name} (it has {have}); "
                "add one "
                f"named {called}, unless it is stored elsewhere on purpose"
            )
            yield warning("coverage.attribute_missing", where, message)


def _attributes_of(query: QueryNeed) -> tuple[str, ...]:
    return (*query.eq, *query.range, *(name for name, _ in query.sort_keys))


def _relationship(brief: Brief, schema: Schema, relationship: Relationship) -> Iterator[Finding]:
    child, parent = brief.entity(relationship.from_), brief.entity(relationship.to)
    if child is None or parent is None:
        return
    children, parents = places_of(brief, schema, child), places_of(brief, schema, parent)
    if not children or not parents:
        return
    targets = {place.table.name for place in parents}
    if relationship.kind == "many_to_many":
        sources = {place.table.name for place in children}
        if not any(_joins(table, sources, targets) for table in schema.tables):
            message = (
                f"{child.name} and {parent.name} are many to many; add a table with a foreign key to each "
                f"({listing(sources)}; {listing(targets)}) whose pair is the primary key or unique"
            )
            yield warning("coverage.junction_missing", "/tables", message)
        return
    if relationship.on_parent_delete == "keep":
        # The child outlives its parent, so a foreign key could not hold; a column still says whose it is.
        yield from (_no_trace(place, parent) for place in children if not _names(place.table, parent, targets))
        return
    # A key of a partitioned table holds its partition columns, which the child may well not have.
    is_kept = (
        brief.target.primary in _POSTGRES
        and not brief.target.free_choice
        and not any(place.table.partitioning for place in parents)
    )
    for place in children:
        keys = [key for key in place.table.foreign_keys if key.references in targets]
        if not keys:
            message = (
                f"{place.table.name} belongs to {parent.name} in the brief and has no foreign key to "
                f"{listing(targets)}; add one"
            )
            found = error if is_kept else warning
            yield found("coverage.relationship_missing", f"{place.where}/foreign_keys", message)
        elif not any(_deletes_as(key, relationship) for key in keys):
            message = (
                f"when a {parent.name} is deleted, the brief wants {relationship.on_parent_delete} for its "
                f"{child.name}, "
                f"and the foreign key has on_delete {keys[0].on_delete}"
            )
            yield warning("coverage.delete_rule", f"{place.where}/foreign_keys", message)


def _names(table: Table, parent: Entity, targets: set[str]) -> bool:
    """Whether a column or a foreign key of a table says which parent it belongs to."""
    names = (parent.name, *parent.aliases)
    return any(key.references in targets for key in table.foreign_keys) or any(
        name in column.name for column in table.columns for name in names
    )


def _no_trace(place: Place, parent: Entity) -> Finding:
    message = (
        f"{place.table.name} belongs to {parent.name} in the brief, and no column says to which; add {parent.name}_id "
        "(without a foreign key, since it outlives its parent)"
    )
    return warning("coverage.relationship_missing", f"{place.where}/columns", message)


def _deletes_as(key: ForeignKey, relationship: Relationship) -> bool:
    if relationship.on_parent_delete == "restrict":
        return key.on_delete in {"restrict", "no_action"}
    return key.on_delete == relationship.on_parent_delete


def _joins(table: Table, left: set[str], right: set[str]) -> bool:
    """Whether a table refers to both sides and has the pair only once."""
    lefts = [key for key in table.foreign_keys if key.references in left]
    rights = [key for key in table.foreign_keys if key.references in right]
    keys = [set(columns) for columns in (table.primary_key, *(unique.columns for unique in table.uniques)) if columns]
    pairs = [{*one.columns, *other.columns} for one in lefts for other in rights if one != other]
    return any(key <= pair for pair in pairs for key in keys)


def _missing_queries(subject: Subject, brief: Brief) -> Iterator[Finding]:
    answered = {query.id for query in subject.design.queries.queries} if subject.design.queries else set()
    for need in brief.queries:
        if need.id not in answered and need.id not in subject.misshapen:
            yield error(
                "queries.missing",
                "/queries",
                f"query {need.id} is not answered ({need.text}); add an item for it",
            )
