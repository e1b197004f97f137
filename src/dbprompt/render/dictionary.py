"""The data dictionary: every table and column with its type, rules and meaning."""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.brief import Attribute, Brief, Entity
from dbprompt.render.markdown import cell, code, text
from dbprompt.render.markdown import table as markdown_table
from dbprompt.render.postgres import column_type
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.names import entity_matches, name_matches
from dbprompt.sections.schema import Column, DefaultKind, Schema, Table

__all__ = ["dictionary_markdown", "entity_of"]

_DEFAULT_WORDS = {
    DefaultKind.NOW: "now",
    DefaultKind.TODAY: "today",
    DefaultKind.RANDOM_UUID: "random UUID",
    DefaultKind.TIME_ORDERED_UUID: "time-ordered UUID",
    DefaultKind.EMPTY_OBJECT: "empty object",
    DefaultKind.EMPTY_ARRAY: "empty list",
}


def dictionary_markdown(design: DatabaseDesign, *, brief: Brief | None = None) -> str:
    """The whole dictionary as a file."""
    if design.schema is None:
        return "# Data dictionary\n\nThere is no schema yet.\n"
    tables = design.schema.tables
    parts = ["# Data dictionary", ", ".join(f"[{code(table.name)}](#{_anchor(table)})" for table in tables)]
    parts += [part for table in tables for part in _table(table, design.schema, brief)]
    if design.schema.enums:
        parts.append("## Enums")
        rows = [(code(enum.name), ", ".join(code(value) for value in enum.values)) for enum in design.schema.enums]
        parts.append(markdown_table(("Enum", "Values"), rows))
    return "\n\n".join(part for part in parts if part) + "\n"


def entity_of(table: Table, brief: Brief | None) -> Entity | None:
    """The brief's entity that a table stores: the one that it names, else the one that its name matches."""
    if brief is None:
        return None
    named = brief.entity(table.entity) if table.entity else None
    return named or next((e for e in brief.entities if entity_matches(table.name, e.name, e.aliases)), None)


def _anchor(table: Table) -> str:
    return f"table-{table.name}"


def _table(table: Table, schema: Schema, brief: Brief | None) -> Iterator[str]:
    entity = entity_of(table, brief)
    yield f"## Table {code(table.name)}"
    yield text(table.comment)
    if entity is not None:
        yield f"Stores the brief's {code(entity.name)}."
    heads = ["Column", "Type", "Null", "Default", "Key", "Meaning"] + (["In the brief"] if entity else [])
    rows = []
    for column in table.columns:
        row = [code(column.name), code(column_type(column)), "yes" if column.nullable else ""]
        row += [_default(column), _keys(column, table), cell(_meaning(column, table, schema))]
        rows.append([*row, _role(column, entity)] if entity else row)
    yield markdown_table(heads, rows)
    rules = [f"- {code(check.name)}: {code(check.expression)}" for check in table.checks]
    rules += [
        f"- {code(exclusion.name)}: no two rows clash on "
        + code(", ".join(f"{side.expression} {side.operator}" for side in exclusion.elements))
        + (f" where {code(exclusion.where)}" if exclusion.where else "")
        for exclusion in table.exclusions
    ]
    rules += [
        f"- {code(', '.join(unique.columns))} together occur once"
        for unique in table.uniques
        if len(unique.columns) > 1
    ]
    if rules:
        yield "Rules:\n\n" + "\n".join(rules)


def _default(column: Column) -> str:
    if column.identity:
        return "numbered by the database"
    if column.generated is not None:
        return f"computed: {code(column.generated)}"
    if column.default is None:
        return ""
    return _DEFAULT_WORDS.get(column.default.kind) or code(column.default.value or "''")


def _keys(column: Column, table: Table) -> str:
    found = ["primary"] if column.name in table.primary_key else []
    if any(unique.columns == (column.name,) for unique in table.uniques):
        found.append("unique")
    found += [
        f"→ {code(f'{key.references}.{target}')}"
        for key in table.foreign_keys
        for name, target in zip(key.columns, key.referenced_columns, strict=True)
        if name == column.name
    ]
    return ", ".join(found)


def _meaning(column: Column, table: Table, schema: Schema) -> str:
    copies = [
        f"Stored copy of {copy.source}, kept by {copy.sync.replace('_', ' ')}"
        for copy in schema.denormalized
        if (copy.table, copy.column) == (table.name, column.name)
    ]
    return ". ".join(part.rstrip(".") for part in (column.comment, *copies) if part)


def _role(column: Column, entity: Entity) -> str:
    found = next((a for a in entity.attributes if _stores(column, a, entity)), None)
    return f"{code(found.name)} ({found.role})" if found else ""


def _stores(column: Column, attribute: Attribute, entity: Entity) -> bool:
    return name_matches(column.name, attribute.name, attribute.aliases, entity.name)
