"""What the planner would do with a query at a volume, and what it would do without an index.

Everything runs as the role that owns the sandbox: functions that call themselves immutable run when a plan is made.
A query is prepared under its declared parameter types and planned as `EXECUTE` under `plan_cache_mode`. EXPLAIN
(GENERIC_PLAN), which PostgreSQL 16 brought, infers the types anew, and so never sees that `bigint = numeric` keeps an
index out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dbprompt.engines.base import Outcome
from dbprompt.engines.postgres.plan_tree import Plan
from dbprompt.engines.postgres.projection import SegmentedFiles, relation_figures, write_statistics
from dbprompt.engines.postgres.sandbox import PostgresSandbox
from dbprompt.engines.postgres.sizes import Figures, TableStatistics
from dbprompt.engines.postgres.statistics import Frequencies, invent, period_of
from dbprompt.engines.postgres.tables import IndexEntry, TableEntry, Tables, read_tables

__all__ = ["Planner"]

_NAME = "dbprompt_plan"
_LONGEST_PLAN = 2_000_000
_SAMPLES = {
    "bool": "true", "int2": "7", "int4": "7", "int8": "7", "numeric": "7", "float4": "7", "float8": "7",
    "uuid": "'0190a6b2-7c3e-7d4f-8a5b-6c7d8e9f0a1b'", "text": "'a'", "varchar": "'a'", "bpchar": "'a'",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Prepared:
    sql: str
    types: tuple[str, ...]


class Planner:
    """Plans queries in a sandbox whose tables stand and are empty.

    Attributes:
        tables: what the sandbox holds.
        statistics: those that were set last, by number of the table.
        unsized: materialised views whose rows nobody could estimate.
    """

    def __init__(self, sandbox: PostgresSandbox, *, now: datetime | None = None) -> None:
        self._sandbox = sandbox
        self._ask = sandbox.admin().ask
        self._files = SegmentedFiles(sandbox.server.data)
        self._now = now
        self._prepared: _Prepared | None = None
        self.tables: Tables = read_tables(self._ask)
        self.statistics: Mapping[int, TableStatistics] = {}
        self.unsized: frozenset[str] = frozenset()

    def project(self, figures: Mapping[str, Figures], frequencies: Frequencies) -> None:
        """Sets the volume of all tables. A materialised view gets the rows that the planner expects of its SELECT.

        Raises:
            EngineError: the statistics could not be set.
            OSError: the files could not be made longer.
        """
        self._project(figures, frequencies)
        found, sizes = set[str](), dict(figures)
        for view in (table for table in self.tables.tops if table.kind == "view" and table.name not in figures):
            size = self._size_of(view)  # views come in the order in which they were made: one may read another
            if size is None:
                found.add(view.name)
            else:
                sizes[view.name] = size
                self._project(sizes, frequencies)
        self.unsized = frozenset(found)

    def _size_of(self, view: TableEntry) -> Figures | None:
        """What the planner expects of a view's SELECT at the volume that is set."""
        body = self._ask("SELECT pg_get_viewdef($1::oid)", str(view.oid))[0][0]
        outcome, rows = self._sandbox.fetch(f"EXPLAIN (FORMAT JSON) {body}")
        if not outcome.ok or not rows:
            return None
        plan = json.loads("\n".join(row[0] or "" for row in rows))[0]["Plan"]
        return Figures(max(1, round(plan["Plan Rows"])), max(1, plan["Plan Width"]))

    def _project(self, figures: Mapping[str, Figures], frequencies: Frequencies) -> None:
        tables = invent(self.tables, figures, frequencies, now=self._now)
        self.statistics = {one.table.oid: one for one in tables}
        partial = [
            (one.table, index) for one in tables for index in one.table.indexes if index.predicate and index.file
        ]
        if partial:  # their size depends on rows that only the planner can estimate
            self._set(tables, {})
        self._set(tables, {index.oid: self._share(table, index) for table, index in partial})

    def prepare(self, sql: str, types: Sequence[str] = ()) -> Outcome:
        """Readies a query; it is the one that `plan` plans."""
        if self._prepared:
            self._sandbox.run(f"DEALLOCATE {_NAME}")
            self._prepared = None
        declared = f" ({', '.join(types)})" if types else ""
        outcome = self._sandbox.run(f"PREPARE {_NAME}{declared} AS {sql}")
        if outcome.ok:
            found = self._sandbox.look(
                "SELECT pg_catalog.array_to_json(parameter_types::pg_catalog.text[]) "
                f"FROM pg_catalog.pg_prepared_statements WHERE name OPERATOR(pg_catalog.=) '{_NAME}'"
            )
            self._prepared = _Prepared(sql, tuple(json.loads(found[0][0] or "[]")) if found else ())
        return outcome

    def plan(self, *, samples: bool = False, settings: Sequence[str] = ()) -> Plan | Outcome:
        """The plan of the prepared query.

        Args:
            samples: for sample values of its parameters, so that partitions can be left out, instead of for any.
            settings: further settings for this plan alone, `enable_seqscan = off`.
        """
        prepared = self._prepared
        if prepared is None:
            raise RuntimeError("plan() came before prepare()")
        values = self._samples(prepared.types) if samples else ["NULL"] * len(prepared.types)
        call = f"({', '.join(values)})" if values else ""
        mode = "force_custom_plan" if samples else "force_generic_plan"
        wanted = (f"plan_cache_mode = {mode}", *settings)
        for one in wanted:
            self._sandbox.run(f"SET {one}")
        if settings:  # a plan that is kept does not notice them
            self._sandbox.run("DISCARD PLANS")
        outcome, rows = self._sandbox.fetch(f"EXPLAIN (FORMAT JSON) EXECUTE {_NAME}{call}")
        for one in settings:
            self._sandbox.run(f"RESET {one.partition(' ')[0]}")
        if settings:
            self._sandbox.run("DISCARD PLANS")
        if not outcome.ok:
            return outcome
        text = "\n".join(row[0] or "" for row in rows)
        if len(text) > _LONGEST_PLAN:
            return replace(outcome, message="its plan is longer than anybody reads")
        return Plan(json.loads(text)[0]["Plan"])

    def table_of(self, node: Plan) -> TableEntry | None:
        """The table that a node reads; of a partition, the partitioned table."""
        found = self.tables.named("", node.relation)
        return self.tables.top(found) if found else None

    def reads_partitions(self, plan: Plan) -> bool:
        """Whether a plan reads a partition, or would for other values of its parameters."""
        parts = {table.relation for table in self.tables.entries if table.parent}
        return any(node.relation in parts or "Subplans Removed" in node.json for node in plan.nodes())

    def volumes(self, plan: Plan) -> tuple[tuple[TableEntry, int, int], ...]:
        """The tables that a plan reads, with their rows and pages."""
        tables = {table.oid: table for node in plan.nodes() if (table := self.table_of(node))}
        return tuple(
            (
                table,
                self.statistics[table.oid].rows,
                sum(self.statistics[one.oid].pages for one in self.tables.leaves(table)),
            )
            for table in tables.values()
        )

    @contextmanager
    def without(self, index: IndexEntry) -> Iterator[None]:
        """Hides an index, and its parts on partitions, from the planner.

        `DROP INDEX` in a transaction would do for most. An index behind a key it cannot drop, and dropping the key
        breaks GROUP BY and foreign keys that lean on it; an index that is marked invalid is just not used.
        """
        numbers = ", ".join(str(one.oid) for one in self.tables.with_parts(index))
        change = f"UPDATE pg_index SET indisvalid = {{}} WHERE indexrelid IN ({numbers})"
        self._ask(change.format("false"))
        self._sandbox.run("DISCARD PLANS")
        try:
            yield
        finally:
            self._ask(change.format("true"))
            self._sandbox.run("DISCARD PLANS")

    def _set(self, tables: Sequence[TableStatistics], shares: Mapping[int, float]) -> None:
        relations = tuple(relation_figures(tables, shares))
        write_statistics(self._ask, tables, relations, major=self._sandbox.server.installation.major)
        shorter = [self._files.stretch(file, pages) for _, _, _, file, pages, _ in relations if file]
        if any(shorter):
            self._sandbox.reconnect()
            self._prepared = None

    def _share(self, table: TableEntry, index: IndexEntry) -> float:
        """The share of a table's rows for which the predicate of a partial index holds."""
        name = f'"{table.schema}"."{table.relation}"'
        outcome, rows = self._sandbox.fetch(f"EXPLAIN (FORMAT JSON) SELECT FROM {name} WHERE {index.predicate}")
        if not outcome.ok or not rows:
            return 1.0
        estimated = Plan(json.loads(rows[0][0] or "[]")[0]["Plan"]).rows
        return min(1.0, max(estimated / max(1, self.statistics[table.oid].rows), 1e-9))

    def _samples(self, types: Sequence[str]) -> list[str]:
        """A value for each parameter: moments lie in the second partition by time, where today is."""
        moment, found = self._moment(), []
        for number, name in enumerate(types):
            plain = name.rpartition(".")[2].strip('"')
            if name.startswith(("timestamp", "date")):
                found.append(f"'{(moment + timedelta(hours=number)).isoformat()}'")
            elif (labels := self._labels(plain)) and not name.endswith("[]"):
                found.append("'" + labels[0].replace("'", "''") + "'")
            else:
                found.append(_SAMPLES.get(_SHORT.get(name, name), "NULL"))
        return found

    def _moment(self) -> datetime:
        for table in self.tables.tops:
            periods = sorted(period for part in self.tables.parts(table) if (period := period_of(part)))
            if periods:
                return periods[min(1, len(periods) - 1)][0] + timedelta(hours=1)
        return self._now or datetime.now().astimezone()

    def _labels(self, name: str) -> tuple[str, ...]:
        columns = (column for table in self.tables.entries for column in table.columns)
        return next((column.labels for column in columns if column.type == name), ())


_SHORT = {
    "boolean": "bool", "smallint": "int2", "integer": "int4", "bigint": "int8", "real": "float4",
    "double precision": "float8", "character varying": "varchar", "character": "bpchar",
}  # fmt: skip
