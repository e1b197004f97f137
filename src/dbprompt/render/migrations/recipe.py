"""What every recipe for a change is written with: the table before it, time-outs, names, columns as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from dbprompt.render.migrations.portable import portable
from dbprompt.render.migrations.steps import Batch, Phase, Step, Way, in_transaction, outside
from dbprompt.render.postgres import column_type, default_sql, identifier, literal, wrap_expression
from dbprompt.render.postgres.base import short_name
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.migrations import PlannedChange
from dbprompt.sections.schema import Column, DefaultKind, Table

__all__ = ["Recipe", "column_line", "comment", "default_clause", "expression", "given", "is_volatile"]

_T = TypeVar("_T")
_VOLATILE = {DefaultKind.RANDOM_UUID, DefaultKind.TIME_ORDERED_UUID, DefaultKind.EXPRESSION}


@dataclass(frozen=True, slots=True)
class Recipe:
    """One change on its way to steps.

    Args:
        design: as it stands before the change.
        change: that is planned.
        where: its place, `/changes/0`.
        lock_timeout_ms: how long a statement may wait for a lock.
        partitions: names of the table's partitions that are known.
        version: the server's major version.
    """

    design: DatabaseDesign
    change: PlannedChange
    where: str
    lock_timeout_ms: int
    partitions: tuple[str, ...] = ()
    version: int = 0

    @property
    def table(self) -> Table:
        """The table that is changed, which an obstacle would have missed."""
        found = self.design.schema.table(self.change.table or "") if self.design.schema else None
        return given(found)

    @property
    def column(self) -> Column:
        """The column that is there."""
        return given(self.table.column(self.change.column or ""))

    @property
    def alter(self) -> str:
        """`ALTER TABLE orders`."""
        return f"ALTER TABLE {identifier(self.table.name)}"

    def name(self, suffix: str) -> str:
        """A name of the change's own: its name and what it is for, at most 63 characters."""
        return short_name(self.change.name, f"_{suffix}")

    def step(
        self,
        phase: Phase,
        suffix: str,
        up: Sequence[str],
        down: Sequence[str],
        note: str,
        *,
        after: str = "",
        way_back: Way = "exact",
    ) -> Step:
        """A step in one transaction."""
        up, down = in_transaction(self.lock_timeout_ms, up), in_transaction(self.lock_timeout_ms, down)
        return Step(self.name(suffix), phase, up, down, True, note, self.where, after, way_back)

    def lone(
        self,
        phase: Phase,
        suffix: str,
        up: Sequence[str],
        down: Sequence[str],
        note: str,
        *,
        patient: bool = False,
        batch: Batch | None = None,
        after: str = "",
        way_back: Way = "exact",
    ) -> Step:
        """A step whose statements stand alone. A patient one waits as long as it takes: nobody waits behind it."""
        wait = 0 if patient else self.lock_timeout_ms
        up, down = outside(wait, up), outside(wait, down)
        return Step(self.name(suffix), phase, up, down, False, note, self.where, after, way_back, batch)


def given(value: _T | None) -> _T:
    """A part that the change is known to have: `obstacles` looks before a recipe is written."""
    if value is None:
        raise ValueError("a recipe is only written for a change without obstacles")
    return value


def expression(text: str) -> str:
    """A free expression in its parentheses, safe to stand in a body."""
    return portable(wrap_expression(text))


def is_volatile(column: Column) -> bool:
    """Whether its default differs from row to row, so that adding it would write every row."""
    return column.default is not None and column.default.kind in _VOLATILE


def column_line(column: Column, *, required: bool = False, default: bool = True) -> str:
    """A column as ADD COLUMN takes it."""
    words = [identifier(column.name), column_type(column)]
    if default and column.default is not None:
        words.append(default_clause(column))
    return " ".join([*words, "NOT NULL"] if required else words)


def default_clause(column: Column) -> str:
    """`DEFAULT now()`."""
    return f"DEFAULT {portable(default_sql(column, given(column.default)))}"


def comment(table: Table, column: Column) -> tuple[str, ...]:
    """COMMENT ON COLUMN, if there is one."""
    if not column.comment:
        return ()
    return (
        f"COMMENT ON COLUMN {identifier(table.name)}.{identifier(column.name)} IS {portable(literal(column.comment))}",
    )
