"""How the schema changes without stopping: tool and rules, the changes that are known already, batched backfills."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from dbprompt.sections.base import Identifier, Part, Section, SqlExpression, TableName, Words, asked
from dbprompt.sections.indexes import Index
from dbprompt.sections.schema import Check, Column, ForeignKey

__all__ = ["Backfill", "ChangeKind", "Migrations", "PlannedChange"]

ChangeKind = Literal[
    "add_column",
    "add_required_column",
    "rename_column",
    "drop_column",
    "change_type",
    "set_not_null",
    "add_check",
    "add_foreign_key",
    "add_index",
    "drop_index",
    "add_enum_value",
]

_NEEDS: dict[str, tuple[str, ...]] = {
    "add_column": ("new_column",),
    "add_required_column": ("new_column", "backfill"),
    "rename_column": ("column", "new_name"),
    "drop_column": ("column",),
    "change_type": ("column", "new_column", "backfill"),
    "set_not_null": ("column",),
    "add_check": ("check",),
    "add_foreign_key": ("foreign_key",),
    "add_index": ("index",),
    "drop_index": ("index_name",),
    "add_enum_value": ("enum", "value"),
}
_MAY_HAVE: dict[str, tuple[str, ...]] = {"set_not_null": ("backfill",)}
_PARTS = frozenset(part for parts in _NEEDS.values() for part in parts)


class Backfill(Part):
    """Fills a column of existing rows, batch by batch, each in its own transaction; it can be resumed."""

    expression: Annotated[SqlExpression, Field(description="the value, from columns of the same row; never null")]
    batch_rows: Annotated[int, Field(ge=100, le=1_000_000)] = 5_000
    pause_ms: Annotated[int, Field(ge=0, le=60_000)] = 50


class PlannedChange(Part):
    """One change that is known to come. dbprompt writes its steps, none of which blocks for long."""

    name: Identifier
    kind: ChangeKind
    table: Annotated[TableName | None, Field(description="null only for add_enum_value")] = None
    column: Annotated[Identifier | None, Field(description="the column that is there")] = None
    new_column: Annotated[Column | None, Field(description="the column that is added, or its new type")] = None
    new_name: Identifier | None = None
    backfill: Annotated[Backfill | None, Field(description="set_not_null: only if rows are null today")] = None
    check: Check | None = None
    foreign_key: ForeignKey | None = None
    index: Index | None = None
    index_name: Identifier | None = None
    enum: Identifier | None = None
    value: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    reason: Words = ""

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> Self:
        missing = [name for name in _NEEDS[self.kind] if getattr(self, name) is None]
        if missing:
            raise ValueError(f"a change of kind {self.kind} needs {' and '.join(missing)}")
        if self.kind != "add_enum_value" and self.table is None:
            raise ValueError(f"a change of kind {self.kind} needs its table")
        used = {*_NEEDS[self.kind], *_MAY_HAVE.get(self.kind, ())}
        idle = sorted(name for name in _PARTS - used if getattr(self, name) is not None)
        if idle:
            raise ValueError(f"a change of kind {self.kind} has no {' and no '.join(idle)}; write null")
        return self


class Migrations(Section):
    """The strategy and the planned changes."""

    tool: Literal["plain_sql", "alembic", "flyway", "liquibase"]
    versioning: Literal["timestamp", "sequence"]
    lock_timeout_ms: Annotated[int, Field(ge=10, le=600_000)] = 2_000
    testing: Annotated[Words, Field(min_length=1, description="where and how a migration is tried before production")]
    rollback: Annotated[Words, Field(min_length=1, description="how a migration is taken back, and when it is not")]
    changes: Annotated[tuple[PlannedChange, ...], Field(json_schema_extra=asked)] = ()
