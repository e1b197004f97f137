"""The scorer that asks PostgreSQL: with sequential scans off, does the planner find the way (`planner_uses_index`)?

The tables are made and stay empty: nothing is proven about time, only that the statement, its parameters' types and the
indexes fit each other. A parameter of type numeric against a bigint column is enough to keep an index out.

Where the brief asks for an order, sorting is made dear as well: on an empty table, sorting what a bitmap found costs
less than reading an index in order, which says nothing about the index. A sort that has to be is still in the plan.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time

from dbprompt.checks.base import QUERY_KINDS
from dbprompt.checks.base_matching import Place
from dbprompt.checks.base_trees import Broken, column_names, expression
from dbprompt.checks.engine import target_major
from dbprompt.checks.sql import tree
from dbprompt.checks.sql.allow import Route, rule
from dbprompt.engines.base import Outcome
from dbprompt.engines.postgres import PostgresEngine
from dbprompt.engines.postgres.plan_tree import Plan
from dbprompt.engines.postgres.plans import Planner
from dbprompt.evals.expectations import OfQuery
from dbprompt.evals.scorers.base import Look, NotHeld, Scene, bad, good, query_of
from dbprompt.proofs.base import NoStageError, stage
from dbprompt.render.queries import query_statements

__all__ = ["planner_uses_index"]

_NO_SCANS = ("enable_seqscan = off",)
_NO_SORTS = ("enable_sort = off", "enable_incremental_sort = off")
_SORTS = {"Sort", "Incremental Sort"}
_CLOSED = {Route.FORBIDDEN, Route.OUTSIDE}


@dataclass(frozen=True, slots=True)
class _Planned:
    """A plan, and the partitions of each table, by the name of the table."""

    plan: Plan
    parts: dict[str, tuple[str, ...]]


def planner_uses_index(expectation: OfQuery, scene: Scene) -> Iterator[Look]:
    """The plan of the design's statement on its empty schema.

    Raises:
        EngineUnavailableError: there is no PostgreSQL here.
    """
    at, query = query_of(scene, expectation.query)
    need = scene.brief.query(expectation.query)
    if need is None:
        raise NotHeld(f"the brief has no query {expectation.query}")
    where = f"/queries/queries/{at}"
    places = scene.places(need.entity)
    eq = {name: {column for place in places for column in scene.names(place, need.entity, name)} for name in need.eq}
    planned = _plan(scene, query.id, _NO_SCANS + (_NO_SORTS if need.sort else ()))
    if isinstance(planned, str):
        yield bad(where, planned)
        return
    few = [
        place.table.name for place in places if place.table.partitioning and len(planned.parts[place.table.name]) < 2
    ]
    if few:
        yield bad(where, f"{few[0]} has fewer than two partitions to plan over")
    wrong = list(_wrong(planned, places, eq, sorts=bool(need.sort)))
    if wrong:
        scene.need(scene.design.indexes, "indexes")  # an index that was not asked for may be what is missing
    yield from (bad(where, f"for {query.id}, {said}") for said in wrong)
    if not wrong:
        yield good(where, f"the planner reads {', '.join(planned.plan.indexes)} for {query.id}")


def _wrong(planned: _Planned, places: tuple[Place, ...], eq: Mapping[str, set[str]], *, sorts: bool) -> Iterator[str]:
    """What the planner does that an index would have spared it."""
    looked_up, filtered = _conditions(planned, places)
    for name, columns in eq.items():
        if columns & filtered:
            yield f"the planner filters by {name} after reading"
        elif not columns & looked_up:
            yield f"the planner does not look {name} up in an index"
    if sorts and any(node.kind in _SORTS for node in planned.plan.nodes()):
        yield "the planner sorts"
    if not planned.plan.indexes:
        yield "the planner reads no index"


def _plan(scene: Scene, query: str, settings: tuple[str, ...]) -> _Planned | str:
    """The plan of a query, or why there is none."""
    PostgresEngine.of(target_major(scene.brief))  # no engine is no answer, and is never scored as one
    asked = next(one for one in query_statements(scene.design) if one.id == query and not one.is_next_page)
    read = tree.parse(asked.sql)
    if isinstance(read, tree.Broken) or len(read) != 1 or read[0].kind not in QUERY_KINDS:
        return f"query {query} is not one statement"
    if rule(read[0]).route in _CLOSED:
        return f"query {query} may not run: {rule(read[0]).reason}"
    try:
        with stage(scene.subject("queries"), as_of=scene.as_of, sections=("schema", "indexes", "views")) as ready:
            planner = Planner(ready.sandbox, now=datetime.combine(scene.as_of, time(12), UTC))
            plan = _of_statement(planner, asked.sql, asked.parameter_types, settings)
            if isinstance(plan, Outcome):
                return f"query {query} cannot be planned: {plan.message}"
            tables = planner.tables
            parts = {top.name: tuple(leaf.relation for leaf in tables.leaves(top)) for top in tables.tops}
            return _Planned(plan, parts)
    except NoStageError as error:
        return str(error)


def _of_statement(planner: Planner, sql: str, types: tuple[str, ...], settings: tuple[str, ...]) -> Plan | Outcome:
    outcome = planner.prepare(sql, types)
    if not outcome.ok:
        return outcome
    plan = planner.plan(settings=settings)
    if isinstance(plan, Plan) and planner.reads_partitions(plan):  # for no values at all, every partition is left out
        return planner.plan(samples=True, settings=settings)
    return plan


def _conditions(planned: _Planned, places: tuple[Place, ...]) -> tuple[set[str], set[str]]:
    """The columns of the entity's tables in index conditions, and in filters."""
    relations = {place.table.name for place in places}
    relations |= {leaf for name in relations for leaf in planned.parts.get(name, ())}
    looked_up: set[str] = set()
    filtered: set[str] = set()
    waiting = [(planned.plan, "")]
    while waiting:
        node, above = waiting.pop()
        relation = node.relation or above
        if relation in relations:
            looked_up |= _columns(node.text("Index Cond"))
            filtered |= _columns(node.text("Filter"))
        waiting += [(child, relation if node.kind.startswith("Bitmap") else "") for child in node.children]
    return looked_up, filtered


def _columns(condition: str) -> set[str]:
    """The columns in a condition as EXPLAIN writes it."""
    found = expression(condition) if condition else None
    if found is None:
        return set()
    if isinstance(found, Broken):  # such as (hashed SubPlan 1)
        return set(re.findall(r"[a-z_][a-z0-9_]*", condition))
    return {names[-1] for names in column_names(found)}
