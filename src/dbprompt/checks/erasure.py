"""A person or a tenant can be forgotten: every table that knows them says what happens to its rows.

Poor: `delete` for buyers while `orders` refers to them with `restrict`: PostgreSQL refuses. `anonymize` that overwrites
the mail address and leaves the name. A tenant that is deleted, and its activities are forgotten about.
Better: buyers anonymised (email, full_name), orders kept for ten years by tax law, which the reason names.

Which tables these are is read from the brief: attributes of role `pii` and `phi` make an entity one that can be
forgotten, attributes of role `tenant` tie rows to the tenant (Regulation (EU) 2016/679, Article 17).
"""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.brief import AttributeRole, Brief, Entity
from dbprompt.checks.base_design import error, judged, listing, rules, tables_with, warning
from dbprompt.checks.base_matching import is_misshapen, places_of, typed_columns
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Finding, Report
from dbprompt.sections.lifecycle import Erasure, Lifecycle
from dbprompt.sections.names import entity_matches
from dbprompt.sections.schema import Schema, Table

__all__ = ["erasure"]

_PERSONAL = {AttributeRole.PII, AttributeRole.PHI}


def erasure(subject: Subject) -> Report:
    """The erasures of the section `lifecycle`."""
    section, schema = subject.design.lifecycle, subject.design.schema
    if subject.section != "lifecycle" or section is None or schema is None:
        return Report()
    uncovered = "copies outside of the database: backups, logs, archives"
    return judged(subject, _findings(subject, section, schema), checker=rules("erasure"), uncovered=uncovered)


def _findings(subject: Subject, section: Lifecycle, schema: Schema) -> Iterator[Finding]:
    for at, one in enumerate(section.erasures):
        where, table = f"/erasures/{at}", schema.table(one.table)
        if subject.brief is not None and not _entity(subject.brief, one.entity):
            message = (
                f"{one.entity} is no entity of the brief; it has {listing(e.name for e in subject.brief.entities)}"
            )
            yield error("lifecycle.unknown_entity", where, message)
        if table is None:
            message = f"there is no table {one.table} in the schema; {tables_with(schema)}"
            yield error("references.unknown_table", where, message)
            continue
        yield from _action(subject, one, table, where)
        if one.action == "delete":
            yield from _blocked(one, section, schema, where)
    if subject.brief is not None:
        yield from _persons(subject, subject.brief, section, schema)
        yield from _tenants(subject, subject.brief, section, schema)


def _entity(brief: Brief, name: str) -> Entity | None:
    return next((entity for entity in brief.entities if entity_matches(name, entity.name, entity.aliases)), None)


def _action(subject: Subject, one: Erasure, table: Table, where: str) -> Iterator[Finding]:
    if strange := [name for name in one.columns if table.column(name) is None]:
        message = (
            f"table {table.name} has no column {listing(strange)}; it has {listing(c.name for c in table.columns)}"
        )
        yield error("references.unknown_column", where, message)
    if one.action == "keep" and not one.reason:
        message = f"rows of {table.name} are kept when {one.entity} is forgotten; name the duty in reason"
        yield error("lifecycle.kept_without_duty", where, message)
    if one.action != "anonymize":
        return
    if not one.columns:
        message = f"{table.name} is anonymized for {one.entity}, and columns is empty; name what is overwritten"
        yield error("lifecycle.nothing_anonymized", where, message)
    personal = [column.name for _, column, roles in typed_columns(subject.brief, table) if roles & _PERSONAL]
    if one.columns and (left := [name for name in personal if name not in one.columns]):
        message = (
            f"{table.name} is anonymized for {one.entity}, and {listing(left)} would still name the person; add it"
        )
        yield error("lifecycle.left_readable", where, message)
    if keys := sorted(set(one.columns) & {name for key in table.foreign_keys for name in key.columns}):
        message = f"{listing(keys)} of {table.name} refers to another table and cannot be overwritten with anything"
        yield warning("lifecycle.anonymized_reference", where, f"{message}; anonymize the row that it refers to")


def _blocked(one: Erasure, section: Lifecycle, schema: Schema, where: str) -> Iterator[Finding]:
    """Rows that refer to those that are deleted, and neither go along nor first."""
    deleted = {other.table for other in section.erasures if other.entity == one.entity and other.action == "delete"}
    for child in schema.tables:
        for key in child.foreign_keys:
            if key.references == one.table and key.on_delete in {"restrict", "no_action"} and child.name not in deleted:
                message = (
                    f"deleting {one.table} for {one.entity} is refused: {child.name} ({listing(key.columns)}) refers "
                    f"to it with {key.on_delete}. Delete {child.name} for {one.entity} too, or anonymize {one.table}"
                )
                yield error("lifecycle.erasure_blocked", where, message)


def _persons(subject: Subject, brief: Brief, section: Lifecycle, schema: Schema) -> Iterator[Finding]:
    """Every table with personal data is named by an erasure, or goes along with one that is deleted."""
    named = {one.table for one in section.erasures}
    gone = _gone(section, schema, {one.table for one in section.erasures if one.action == "delete"})
    for entity in brief.entities:
        personal = [attribute.name for attribute in entity.attributes if attribute.role in _PERSONAL]
        for place in places_of(brief, schema, entity) if personal else ():
            name = place.table.name
            if name not in named | gone and not is_misshapen(subject, name):
                message = (
                    f"{name} holds personal data ({listing(personal)}), and no erasure says what becomes of it when a "
                    "person has to be forgotten; add one with delete, anonymize or keep"
                )
                found = error if brief.compliance.regimes else warning
                yield found("lifecycle.not_forgotten", "/erasures", message)


def _tenants(subject: Subject, brief: Brief, section: Lifecycle, schema: Schema) -> Iterator[Finding]:
    """Every table with rows of tenants is part of what is erased when a tenant leaves."""
    held = [
        (table, column.name)
        for table in schema.tables
        for _, column, roles in typed_columns(brief, table)
        if AttributeRole.TENANT in roles
    ]
    if not held:
        return
    tenant = next((found for _, name in held if (found := _entity(brief, name.removesuffix("_id")))), None)
    own = [one for one in section.erasures if tenant and _entity(brief, one.entity) is tenant]
    called = tenant.name if tenant else "a tenant"
    named = {one.table for one in own}
    gone = _gone(section, schema, {one.table for one in own if one.action == "delete"})
    roots = places_of(brief, schema, tenant) if tenant else ()
    for name in dict.fromkeys([*(place.table.name for place in roots), *(table.name for table, _ in held)]):
        if name not in named | gone and not is_misshapen(subject, name):
            message = f"{name} holds rows of tenants, and no erasure of {called} names it; add what becomes of them"
            yield error("lifecycle.tenant_left", "/erasures", message)


def _gone(section: Lifecycle, schema: Schema, deleted: set[str]) -> set[str]:
    """Tables whose rows are deleted, with those that cascading foreign keys take along."""
    gone = set(deleted)
    for _ in schema.tables:
        gone |= {
            child.name
            for child in schema.tables
            for key in child.foreign_keys
            if key.on_delete == "cascade" and key.references in gone
        }
    return gone
