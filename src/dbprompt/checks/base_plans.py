"""What plan proof passes around: queries to plan, the volumes to plan them at, and what the planner said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol

from dbprompt.checks.base import Statement
from dbprompt.engines.postgres.plan_tree import Plan
from dbprompt.engines.postgres.sizes import Figures
from dbprompt.engines.postgres.statistics import Frequencies
from dbprompt.engines.postgres.tables import IndexEntry, TableEntry, Tables

__all__ = ["MS_PER_COST", "PlanQuery", "PlanRun", "Planned", "Planning", "Volume", "milliseconds"]

MS_PER_COST = 0.01
"""The time that one unit of cost is taken for: reading 8 kB in a row at 800 MB/s."""

_SMALL_PAGES = 128  # a megabyte: nobody needs an index to read that


def milliseconds(cost: float) -> float:
    """Estimated work. It tells a factor of ten, never a latency: caches, load and hardware decide that."""
    return cost * MS_PER_COST


@dataclass(frozen=True, slots=True)
class PlanQuery:
    """A query to plan.

    Args:
        statement: its text with the types of its parameters.
        name: as the report's table names it.
        limit: what a parameter behind LIMIT is taken for.
    """

    statement: Statement
    name: str
    limit: int = 20


@dataclass(frozen=True, slots=True)
class Volume:
    """How much the tables hold at one time.

    Args:
        name: `today`, `in three years`.
        figures: by table.
    """

    name: str
    figures: Mapping[str, Figures]


@dataclass(frozen=True, slots=True)
class Without:
    """What becomes of a query when one index is hidden; no plan if it cannot do without."""

    index: str
    plan: Plan | None


@dataclass(frozen=True, slots=True)
class Planned:
    """One query at one volume.

    Args:
        query: which.
        volume: name of the volume.
        plan: None if there is none.
        problem: why there is none.
        sampled: whether it was planned for sample values of its parameters instead of for any.
        without: the plans without each index that it takes.
        forced: its plan with reading whole tables forbidden, where it reads a large one.
        rows: of the tables that it reads.
        pages: of the tables that it reads.
    """

    query: PlanQuery
    volume: str
    plan: Plan | None = None
    problem: str = ""
    sampled: bool = False
    without: tuple[Without, ...] = ()
    forced: Plan | None = None
    rows: Mapping[str, int] = field(default_factory=dict)
    pages: Mapping[str, int] = field(default_factory=dict)

    def is_large(self, table: str) -> bool:
        """Whether a table is so large that reading all of it is worth a word."""
        return self.pages.get(table, 0) > _SMALL_PAGES


@dataclass(frozen=True, slots=True)
class Planning:
    """Everything that was planned.

    Args:
        checker: the engine and its version, `postgresql 18.6 planner`.
        uncovered: what every verdict has to own up to.
        tables: what the database holds.
        planned: each query at each volume.
        problem: why nothing was planned; empty if something was.
        assumed: tables for whose rows nobody gave a figure.
        estimated: the rows of each materialised view as the planner expects them at the last volume; None if it
            could not say.
    """

    checker: str
    uncovered: str = ""
    tables: Tables = field(default_factory=lambda: Tables(()))
    planned: tuple[Planned, ...] = ()
    problem: str = ""
    assumed: tuple[str, ...] = ()
    estimated: Mapping[str, int | None] = field(default_factory=dict)

    def table_of(self, node: Plan) -> TableEntry | None:
        """The table that a node reads; of a partition, the partitioned table."""
        found = self.tables.named(node.text("Schema"), node.relation)
        return self.tables.top(found) if found else None

    def index(self, name: str) -> tuple[TableEntry, IndexEntry] | None:
        """An index of a plan with its table; of a partition's, the partitioned table's."""
        return self.tables.top_index(name)

    def indexes_of(self, plan: Plan) -> tuple[str, ...]:
        """The indexes that a plan takes, each once, as the design names them."""
        return tuple(dict.fromkeys(self.name_of(name) for name in plan.indexes))

    def name_of(self, index: str) -> str:
        """The name of an index as the design gives it."""
        found = self.index(index)
        return found[1].name if found else index

    def tables_in(self, plan: Plan) -> Iterator[TableEntry]:
        """The tables that a plan reads, each once."""
        found = (self.table_of(node) for node in plan.nodes() if node.relation)
        yield from {table.oid: table for table in found if table}.values()


class PlanRun(Protocol):
    """Makes the tables, sets each volume and plans the queries at it."""

    def __call__(
        self,
        ddl: Sequence[Statement],
        queries: Sequence[PlanQuery],
        volumes: Sequence[Volume],
        *,
        frequencies: Frequencies,
        version: int | None,
        as_of: date,
    ) -> Planning:
        """What the planner says; `problem` says why it could not be asked."""
