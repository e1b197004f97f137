"""The ER diagram, derived from the schema alone."""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.render.postgres import type_name
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.schema import Column, ColumnType, ForeignKey, Table

__all__ = ["er_diagram"]

# Tried on Mermaid's own parser: these three, in either case, are marks of a key and never a name or a type.
_MARKS = frozenset({"pk", "fk", "uk"})


def er_diagram(design: DatabaseDesign) -> str:
    """The schema as a Mermaid `erDiagram`. References to tables that do not exist are not drawn."""
    tables = design.schema.tables if design.schema else ()
    lines = ["erDiagram"]
    for table in tables:
        lines += [f'    "{table.name}" {{', *(f"        {_column(column, table)}" for column in table.columns), "    }"]
    lines += [line for table in tables for line in _references(table, design)]
    return "\n".join(lines) + "\n"


def _column(column: Column, table: Table) -> str:
    marks = [
        mark
        for mark, holds in (
            ("PK", column.name in table.primary_key),
            ("FK", any(column.name in key.columns for key in table.foreign_keys)),
            ("UK", any(unique.columns == (column.name,) for unique in table.uniques)),
        )
        if holds
    ]
    return f"{_word(_type(column))} {_word(column.name)}" + (f" {', '.join(marks)}" if marks else "")


def _type(column: Column) -> str:
    """The type without what would only widen the box."""
    if column.type is ColumnType.ENUM:
        return (column.enum or "") + "[]" * column.array
    return type_name(column).replace(" ", "_")


def _word(name: str) -> str:
    return f"{name}_" if name.lower() in _MARKS else name


def _references(table: Table, design: DatabaseDesign) -> Iterator[str]:
    for key in table.foreign_keys:
        if design.schema is None or design.schema.table(key.references) is None:
            continue
        columns = [column for name in key.columns if (column := table.column(name)) is not None]
        parent = "|o" if any(column.nullable for column in columns) else "||"
        child = "o|" if _is_unique(key, table, design) else "o{"
        line = "--" if set(key.columns) <= set(table.primary_key) else ".."
        yield f'    "{key.references}" {parent}{line}{child} "{table.name}" : "{", ".join(key.columns)}"'


def _is_unique(key: ForeignKey, table: Table, design: DatabaseDesign) -> bool:
    """Whether at most one row of the table can refer to a parent: a key lies within the referring columns."""
    own = [unique.columns for unique in table.uniques] + ([table.primary_key] if table.primary_key else [])
    for index in design.indexes.indexes if design.indexes else ():
        columns = tuple(part.column for part in index.keys if part.column is not None)
        if index.table == table.name and index.unique and index.where is None and len(columns) == len(index.keys):
            own.append(columns)
    return any(set(columns) <= set(key.columns) for columns in own)
