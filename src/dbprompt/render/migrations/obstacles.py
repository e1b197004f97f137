"""Why a change cannot be written: what it names is not there, is there already, or would stop the database."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from dbprompt.render.migrations.recipe import is_volatile
from dbprompt.render.migrations.recipes import foreign_key_name
from dbprompt.render.postgres import UnsafeSqlError, wrap_expression
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.indexes import Index, Indexes
from dbprompt.sections.migrations import ChangeKind, PlannedChange
from dbprompt.sections.schema import DefaultKind, Schema, Table

__all__ = ["Obstacle", "obstacles"]

_FIRST_WITH_OPEN_KEYS_ON_PARTITIONED = 18
_ABOUT_COLUMN = {"rename_column", "drop_column", "change_type", "set_not_null"}


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What stands against a change.

    Args:
        code: of the rule.
        field: of the change, `column`; empty for the change as a whole.
        message: what is wrong, and what to do.
    """

    code: str
    field: str
    message: str


def obstacles(design: DatabaseDesign, change: PlannedChange, *, version: int) -> tuple[Obstacle, ...]:
    """Everything that stands against a change of the design as it is; a recipe is written if there is nothing."""
    schema = design.schema
    if schema is None:
        return ()
    if change.kind == "add_enum_value":
        return tuple(_enum(schema, change))
    table = schema.table(change.table or "")
    if table is None:
        there = ", ".join(one.name for one in schema.tables)
        return (Obstacle("changes.unknown_table", "table", f"there is no table {change.table}; tables: {there}"),)
    of_column = tuple(_column(table, change)) if change.kind in _ABOUT_COLUMN else ()
    if of_column:
        return of_column
    look = _BY_KIND.get(change.kind)
    found = look(_Case(design, schema, table, change, version)) if look else iter(())
    return (*found, *_backfill(table, change), *_texts(change))


@dataclass(frozen=True, slots=True)
class _Case:
    design: DatabaseDesign
    schema: Schema
    table: Table
    change: PlannedChange
    version: int

    @property
    def indexes(self) -> tuple[Index, ...]:
        return (self.design.indexes or Indexes()).indexes

    @property
    def relations(self) -> set[str]:
        views = self.design.views.views if self.design.views else ()
        made = {index.name for index in self.indexes} | {view.name for view in views}
        return {table.name for table in self.schema.tables} | made


def _enum(schema: Schema, change: PlannedChange) -> Iterator[Obstacle]:
    found = next((enum for enum in schema.enums if enum.name == change.enum), None)
    if found is None:
        there = ", ".join(enum.name for enum in schema.enums) or "none"
        yield Obstacle("changes.unknown_enum", "enum", f"there is no enum {change.enum}; enums: {there}")
    elif change.value in found.values:
        yield Obstacle("changes.no_change", "value", f"enum {found.name} has the value {change.value!r} already")


def _column(table: Table, change: PlannedChange) -> Iterator[Obstacle]:
    column = table.column(change.column or "")
    if column is None:
        there = ", ".join(one.name for one in table.columns)
        message = f"{table.name} has no column {change.column} at this point; it has: {there}"
        yield Obstacle("changes.unknown_column", "column", message)
    elif change.kind == "set_not_null" and not column.nullable:
        yield Obstacle("changes.no_change", "column", f"{table.name}.{column.name} is not nullable already")
    elif change.kind == "set_not_null":
        for key in table.foreign_keys:
            if column.name in key.columns and key.on_delete == "set_null":
                message = (
                    f"{table.name}.{column.name} is set to null when its row of {key.references} is deleted, which NOT "
                    "NULL would refuse; leave the change out, or choose another on_delete in the schema"
                )
                yield Obstacle("changes.contradiction", "column", message)


def _free(table: Table, name: str | None, field: str) -> Iterator[Obstacle]:
    if name is not None and table.column(name) is not None:
        message = f"{table.name} has a column {name} already; choose another name, or leave the change out"
        yield Obstacle("changes.name_taken", field, message)


def _new_column(case: _Case) -> Iterator[Obstacle]:
    new, table = case.change.new_column, case.table
    if new is None:
        return
    yield from _free(table, new.name, "new_column")
    if new.type == "enum" and new.enum not in {enum.name for enum in case.schema.enums}:
        yield Obstacle("changes.unknown_enum", "new_column", f"{new.name} is of enum {new.enum}, which is not there")
    if new.identity or new.generated is not None:
        kind = "an identity" if new.identity else "a generated"
        message = (
            f"{kind} column writes every row of {table.name} anew while nobody reads or writes it; add a plain column "
            "and fill it with a backfill"
        )
        yield Obstacle("changes.rewrites_table", "new_column", message)
    elif case.change.kind == "add_column" and not new.nullable and (new.default is None or is_volatile(new)):
        what = "has no default" if new.default is None else "has a default that differs from row to row"
        message = (
            f"{new.name} is not nullable and {what}, so the rows of {table.name} have no value for it; use kind "
            "add_required_column with a backfill, or make it nullable"
        )
        yield Obstacle("changes.needs_backfill", "new_column", message)
    elif case.change.kind == "add_required_column" and new.nullable:
        message = f"{new.name} is to be required and says nullable: true; write false, or use kind add_column"
        yield Obstacle("changes.contradiction", "new_column", message)


def _leaving(case: _Case) -> Iterator[Obstacle]:
    """A column that goes: what keys, checks and indexes say about it would go with it."""
    name, table = case.change.column or "", case.table
    users = ["the primary key"] if name in table.primary_key else []
    users += [f"unique ({', '.join(one.columns)})" for one in table.uniques if name in one.columns]
    users += [f"the foreign key to {key.references}" for key in table.foreign_keys if name in key.columns]
    users += [
        f"the foreign key of {other.name}"
        for other in case.schema.tables
        for key in other.foreign_keys
        if key.references == table.name and name in key.referenced_columns
    ]
    users += [f"check {one.name}" for one in table.checks if _names(one.expression, name)]
    users += [f"generated column {one.name}" for one in table.columns if one.generated and _names(one.generated, name)]
    users += ["the partitioning"] if table.partitioning and table.partitioning.column == name else []
    users += [f"index {index.name}" for index in case.indexes if index.table == table.name and _uses(index, name)]
    if users:
        message = (
            f"{table.name}.{name} is used by {', '.join(users)}, which would go with it. Plan their change first "
            "(drop_index for an index), or keep the column"
        )
        yield Obstacle("changes.column_in_use", "column", message)


def _renamed(case: _Case) -> Iterator[Obstacle]:
    yield from _free(case.table, case.change.new_name, "new_name")
    yield from _replaced(case)


def _retyped(case: _Case) -> Iterator[Obstacle]:
    yield from _new_column(case)
    yield from _replaced(case)


def _replaced(case: _Case) -> Iterator[Obstacle]:
    """The old column is written by a trigger and by releases of the application, and goes in the end."""
    column = case.table.column(case.change.column or "")
    if column is not None and (column.identity or column.generated is not None):
        kind = "an identity" if column.identity else "a generated"
        message = (
            f"{case.table.name}.{column.name} is {kind} column, which the server writes itself, so that no trigger can "
            "keep a second column in step with it; keep its name and type"
        )
        yield Obstacle("changes.server_writes_it", "column", message)
    yield from _leaving(case)


def _constraints(table: Table) -> set[str]:
    return {check.name for check in table.checks} | {exclusion.name for exclusion in table.exclusions}


def _check(case: _Case) -> Iterator[Obstacle]:
    check = case.change.check
    if check is not None and check.name in _constraints(case.table):
        message = f"{case.table.name} has a constraint {check.name} already; choose another name"
        yield Obstacle("changes.name_taken", "check", message)


def _foreign_key(case: _Case) -> Iterator[Obstacle]:
    key, table = case.change.foreign_key, case.table
    if key is None:
        return
    target = case.schema.table(key.references)
    if target is None:
        yield Obstacle("changes.unknown_table", "foreign_key", f"it refers to {key.references}, which is not there")
        return
    for side, names in ((table, key.columns), (target, key.referenced_columns)):
        if missing := [name for name in names if side.column(name) is None]:
            message = f"{side.name} has no column {', '.join(missing)} at this point"
            yield Obstacle("changes.unknown_column", "foreign_key", message)
    if any(one.columns == key.columns and one.references == key.references for one in table.foreign_keys):
        message = f"{table.name} has the foreign key {foreign_key_name(table.name, key)} already"
        yield Obstacle("changes.no_change", "foreign_key", message)
    if table.partitioning and case.version < _FIRST_WITH_OPEN_KEYS_ON_PARTITIONED:
        message = (
            f"PostgreSQL {case.version} cannot add a foreign key NOT VALID to a partitioned table, and adding it whole "
            f"stops writes to {table.name} while every row is read; plan it for PostgreSQL 18"
        )
        yield Obstacle("changes.stops_writes", "foreign_key", message)


def _index(case: _Case) -> Iterator[Obstacle]:
    index = case.change.index
    if index is None:
        return
    if index.table != case.table.name:
        message = f"the change is about {case.table.name}, its index about {index.table}; name one table"
        yield Obstacle("changes.contradiction", "index", message)
    if index.name in case.relations:
        yield Obstacle("changes.name_taken", "index", f"there is an index or table {index.name} already")
    named = [key.column for key in index.keys if key.column is not None] + list(index.include)
    if missing := [name for name in named if case.table.column(name) is None]:
        message = f"{case.table.name} has no column {', '.join(missing)} at this point"
        yield Obstacle("changes.unknown_column", "index", message)


def _dropped_index(case: _Case) -> Iterator[Obstacle]:
    own = [index.name for index in case.indexes if index.table == case.table.name]
    if case.change.index_name not in own:
        message = f"{case.table.name} has no index {case.change.index_name}; it has: {', '.join(own) or 'none'}"
        yield Obstacle("changes.unknown_index", "index_name", message)


_BY_KIND: Mapping[ChangeKind, Callable[[_Case], Iterator[Obstacle]]] = {
    "add_column": _new_column,
    "add_required_column": _new_column,
    "rename_column": _renamed,
    "change_type": _retyped,
    "drop_column": _leaving,
    "add_check": _check,
    "add_foreign_key": _foreign_key,
    "add_index": _index,
    "drop_index": _dropped_index,
}


def _backfill(table: Table, change: PlannedChange) -> Iterator[Obstacle]:
    if (change.backfill is not None or change.kind == "rename_column") and not table.primary_key:
        message = f"{table.name} has no primary key, so its rows cannot be walked through in batches"
        yield Obstacle("changes.no_key", "backfill", message)


def _texts(change: PlannedChange) -> Iterator[Obstacle]:
    """Free SQL that could leave the place that it is written for."""
    for field, text in _expressions(change):
        try:
            wrap_expression(text)
        except UnsafeSqlError as error:
            yield Obstacle("changes.not_one_expression", field, error.reason)


def _expressions(change: PlannedChange) -> Iterator[tuple[str, str]]:
    if change.backfill is not None:
        yield "backfill", change.backfill.expression
    if change.check is not None:
        yield "check", change.check.expression
    new = change.new_column
    if new is not None and new.default is not None and new.default.kind is DefaultKind.EXPRESSION:
        yield "new_column", new.default.value or ""
    for key in change.index.keys if change.index else ():
        if key.expression is not None:
            yield "index", key.expression
    if change.index is not None and change.index.where is not None:
        yield "index", change.index.where


def _uses(index: Index, column: str) -> bool:
    texts = [key.expression for key in index.keys if key.expression] + ([index.where] if index.where else [])
    named = {key.column for key in index.keys} | set(index.include)
    return column in named or any(_names(text, column) for text in texts)


def _names(text: str, column: str) -> bool:
    """Whether an expression may name a column: its name stands in it as a word."""
    bare = "".join(letter if letter.isalnum() or letter == "_" else " " for letter in text.lower())
    return column in bare.split()
