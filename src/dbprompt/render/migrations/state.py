"""The design as it stands after a planned change: the next change is written for that."""

from __future__ import annotations

from collections.abc import Iterable

from dbprompt.sections import DatabaseDesign
from dbprompt.sections.indexes import Index, Indexes
from dbprompt.sections.migrations import PlannedChange
from dbprompt.sections.schema import Column, EnumType, Table

__all__ = ["after"]


def after(design: DatabaseDesign, change: PlannedChange) -> DatabaseDesign:
    """The design with the change made. A change that does not fit leaves it as it is."""
    schema, indexes = design.schema, design.indexes or Indexes()
    if schema is None:
        return design
    if change.kind == "add_enum_value":
        enums = tuple(_with_value(enum, change) for enum in schema.enums)
        return design.with_section("schema", schema.model_copy(update={"enums": enums}))
    if change.kind in {"add_index", "drop_index"}:
        kept = tuple(index for index in indexes.indexes if index.name != change.index_name)
        made: tuple[Index, ...] = (change.index,) if change.kind == "add_index" and change.index else ()
        return design.with_section("indexes", indexes.model_copy(update={"indexes": (*kept, *made)}))
    tables = tuple(_changed(table, change) if table.name == change.table else table for table in schema.tables)
    return design.with_section("schema", schema.model_copy(update={"tables": tables}))


def _with_value(enum: EnumType, change: PlannedChange) -> EnumType:
    if enum.name != change.enum or change.value is None or change.value in enum.values:
        return enum
    return enum.model_copy(update={"values": (*enum.values, change.value)})


def _changed(table: Table, change: PlannedChange) -> Table:
    columns = _columns(table.columns, change)
    checks = (*table.checks, change.check) if change.kind == "add_check" and change.check else table.checks
    keys = table.foreign_keys
    if change.kind == "add_foreign_key" and change.foreign_key:
        keys = (*keys, change.foreign_key)
    return table.model_copy(update={"columns": tuple(columns), "checks": checks, "foreign_keys": keys})


def _columns(columns: Iterable[Column], change: PlannedChange) -> list[Column]:
    kept = list(columns)
    match change.kind:
        case "add_column" | "add_required_column":
            new = change.new_column
            required = {"nullable": False} if change.kind == "add_required_column" else {}
            return [*kept, new.model_copy(update=required)] if new else kept
        case "rename_column":
            old = next((column for column in kept if column.name == change.column), None)
            others = [column for column in kept if column.name != change.column]
            return [*others, old.model_copy(update={"name": change.new_name})] if old else kept
        case "change_type":
            others = [column for column in kept if column.name != change.column]
            return [*others, change.new_column] if change.new_column else kept
        case "drop_column":
            return [column for column in kept if column.name != change.column]
        case "set_not_null":
            return [
                column.model_copy(update={"nullable": False}) if column.name == change.column else column
                for column in kept
            ]
        case _:
            return kept
