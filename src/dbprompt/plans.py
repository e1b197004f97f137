"""Plan proof: what PostgreSQL would do with queries at a volume that nobody has loaded.

>>> evidence = explain(
...     "CREATE TABLE visits (id bigint PRIMARY KEY, at timestamptz NOT NULL)",
...     {"one": "SELECT * FROM visits WHERE id = $1", "all": "SELECT * FROM visits WHERE at > $1"},
...     rows={"visits": 100_000_000},
... )
>>> [finding.code for finding in evidence.findings]
['plans.unserved']
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING

from dbprompt.checks.base import QUERY_KINDS, Statement
from dbprompt.checks.base_plan_findings import Wish
from dbprompt.checks.base_plans import Planned, Planning, PlanQuery, Volume, Without
from dbprompt.checks.plans import judge
from dbprompt.checks.settings import RuleSettings
from dbprompt.checks.sql import tree
from dbprompt.checks.sql.allow import ROLE_KINDS, Route, rule
from dbprompt.checks.sql.postgres_run import PostgresRun
from dbprompt.checks.sql.tree import Broken, Parsed
from dbprompt.engines.base import Limits, Needs, Outcome
from dbprompt.engines.postgres import PostgresEngine
from dbprompt.engines.postgres.plan_tree import Plan
from dbprompt.engines.postgres.sizes import Figures
from dbprompt.engines.postgres.statistics import Frequencies
from dbprompt.errors import EngineError, EngineUnavailableError, MissingExtraError, SetupError, TargetError
from dbprompt.evidence import Evidence, Finding, Report, Severity
from dbprompt.render.postgres import ddl_statements
from dbprompt.render.queries import query_statements
from dbprompt.sections import DatabaseDesign

if TYPE_CHECKING:
    from dbprompt.engines.postgres.plans import Planner

__all__ = ["explain", "plan_queries"]

_LIMIT = re.compile(r"\b(limit|offset)\s+\$(\d+)(?:::\w+)?(?!\d)", re.IGNORECASE)


def explain(
    design: str | DatabaseDesign,
    queries: Mapping[str, str] | None = None,
    *,
    rows: Mapping[str, int | Figures],
    frequencies: Frequencies | None = None,
    p95_ms: float = 100.0,
    version: int | None = None,
    as_of: date | None = None,
    ignore: Iterable[str] = (),
    severity: Mapping[str, str] | None = None,
) -> Evidence:
    """Plans queries at the given numbers of rows. No data is loaded and no model is needed.

    Args:
        design: DDL, or a design; its own queries are planned if `queries` is left out.
        queries: SQL by name, parameters as $1, $2, ...
        rows: of each table. A table without is taken to have as many as the largest that it refers to.
        frequencies: shares of values, `{"orders.status": {"shipped": 0.8}}`; None stands for null.
        p95_ms: the latency that each query is meant for.
        version: PostgreSQL's major version.
        as_of: the day that partitions are counted from; today if not given.
        ignore: rules that do not count, by id (`plans.sort`) or family; `dbprompt rules plans` lists them.
        severity: rules that weigh something else than usual.

    Returns:
        Evidence: a verdict for each query and index, findings under `plans.`, and each plan as an exhibit.

    Raises:
        TargetError: `rows`, `frequencies` or `queries` name what is not there, or hold what is no figure.
        SetupError: the DDL does not run.
        EngineUnavailableError: there is no PostgreSQL here.
    """
    settings = RuleSettings.of(ignore, severity)
    day = as_of or date.today()
    if queries is not None and not isinstance(queries, Mapping):
        raise TargetError("queries is a mapping of names to SQL, such as {'history': 'SELECT ...'}.")
    asked = tuple(_asked(design, queries))
    volume = Volume("the given rows", _figures(rows))
    planning = plan_queries(
        tuple(_ddl(design, day, version)), asked, (volume,),
        frequencies=_shares(frequencies), version=version, as_of=day, strict=True,
    )  # fmt: skip
    wishes = {query.statement.where: Wish(p95_ms) for query in asked}
    refused = tuple(
        Finding("engine.not_planned", Severity.ERROR, one.query.statement.where, f"{one.query.name}: {one.problem}")
        for one in planning.planned
        if one.problem
    )
    return Evidence.of([settings.apply(judge(planning, asked, wishes)), Report(refused)])


def plan_queries(
    ddl: Sequence[Statement],
    queries: Sequence[PlanQuery],
    volumes: Sequence[Volume],
    *,
    frequencies: Frequencies,
    version: int | None,
    as_of: date,
    strict: bool = False,
) -> Planning:
    """Makes the tables in a sandbox and plans each query at each volume. See `checks.base_plans.PlanRun`.

    Args:
        strict: raise what keeps it from planning anything, instead of saying it in the answer.
    """
    try:
        tree.checker()
        engine = PostgresEngine.of(version)
    except (EngineUnavailableError, MissingExtraError) as error:
        if strict:
            raise
        return Planning("postgresql planner", problem=str(error))
    label = f"postgresql {engine.version} planner"
    here = engine.installation.major
    uncovered = "" if version in {None, here} else f"on {here} instead of {version}"
    try:
        planning = _plan(engine, ddl, queries, volumes, frequencies, as_of, strict=strict)
    except (EngineError, EngineUnavailableError, SetupError, OSError) as error:
        if strict:
            raise
        return Planning(label, uncovered, problem=f"the volume could not be set up: {error}")
    return replace(planning, checker=label, uncovered=uncovered)


def _plan(
    engine: PostgresEngine,
    ddl: Sequence[Statement],
    queries: Sequence[PlanQuery],
    volumes: Sequence[Volume],
    frequencies: Frequencies,
    as_of: date,
    *,
    strict: bool,
) -> Planning:
    from dbprompt.engines.postgres.plans import Planner

    parsed = [_parsed(statement) for statement in ddl]
    extensions = {str(one.body.get("extname", "")) for one in parsed if one.kind == "CreateExtensionStmt"}
    needs = Needs(frozenset(extensions), roles=any(one.kind in ROLE_KINDS for one in parsed))
    with engine.sandbox(needs, Limits()) as sandbox:
        run = PostgresRun(sandbox)
        for statement, one in zip(ddl, parsed, strict=True):
            outcome = run.outcome(one, rule(one))
            if not outcome.ok and strict:
                raise _does_not_run(statement, outcome.message)
        planner = Planner(sandbox, now=datetime.combine(as_of, time(12), UTC))
        if strict:
            _known_tables(planner, volumes, frequencies)
        planned: list[Planned] = []
        for volume in volumes:
            planner.project(volume.figures, frequencies)
            planned += [_planned(planner, query, volume) for query in queries]
        statistics = planner.statistics.values()
        assumed = tuple(one.table.name for one in statistics if one.assumed and not one.table.parent)
        estimated = {
            one.table.name: None if one.table.name in planner.unsized else one.rows
            for one in statistics
            if one.table.kind == "view" and all(one.table.name not in volume.figures for volume in volumes)
        }
        return Planning("", tables=planner.tables, planned=tuple(planned), assumed=assumed, estimated=estimated)


def _known_tables(planner: Planner, volumes: Sequence[Volume], frequencies: Frequencies) -> None:
    """Refuses figures for what is not there: a typing error would prove the wrong volume."""
    known = sorted({table.name for table in planner.tables.entries})
    named = {name for volume in volumes for name in volume.figures} | {key.rpartition(".")[0] for key in frequencies}
    for name in sorted(named - set(known) - {table.relation for table in planner.tables.entries}):
        raise TargetError(f"There is no table {name!r} to give figures for; there are {', '.join(known)}.", known=known)


def _figures(rows: Mapping[str, int | Figures]) -> dict[str, Figures]:
    for name, one in rows.items():
        number = one.rows if isinstance(one, Figures) else one
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise TargetError(f"rows[{name!r}] is {number!r}: write a whole number of rows, such as 58_000_000.")
    return {name: one if isinstance(one, Figures) else Figures(one) for name, one in rows.items()}


def _shares(frequencies: Frequencies | None) -> Frequencies:
    for column, shares in (frequencies or {}).items():
        if (
            "." not in column
            or any(not 0 <= share <= 1 for share in shares.values())
            or sum(shares.values()) > 1.000001
        ):
            raise TargetError(
                f"frequencies[{column!r}] is {dict(shares)!r}: write shares between 0 and 1, at most 1 in all, "
                'such as {"orders.status": {"shipped": 0.8}}.'
            )
    return frequencies or {}


def _planned(planner: Planner, query: PlanQuery, volume: Volume) -> Planned:
    parsed = tree.parse(query.statement.sql)
    if problem := _closed(parsed):
        return Planned(query, volume.name, problem=problem)
    sql = _LIMIT.sub(
        lambda found: f"{found[1]} {query.limit if found[1].lower() == 'limit' else 0}", query.statement.sql
    )
    types = query.statement.parameter_types
    outcome = planner.prepare(sql if types else query.statement.sql, types)
    plan = planner.plan() if outcome.ok else outcome
    if isinstance(plan, Outcome):
        return Planned(query, volume.name, problem=plan.message)
    sampled = planner.reads_partitions(plan)
    if sampled and isinstance(chosen := planner.plan(samples=True), Plan) and planner.reads_partitions(chosen):
        plan = chosen
    else:
        sampled = False
    return _with_alternatives(planner, Planned(query, volume.name, plan, sampled=sampled))


def _with_alternatives(planner: Planner, planned: Planned) -> Planned:
    """The same with what becomes of the query without each of its indexes, and without reading whole tables."""
    plan = planned.plan
    if plan is None:
        return planned
    without: list[Without] = []
    for name in dict.fromkeys(plan.indexes):
        found = planner.tables.top_index(name)
        if found is None or any(one.index == found[1].name for one in without):
            continue
        with planner.without(found[1]):
            other = planner.plan(samples=planned.sampled)
        without.append(Without(found[1].name, other if isinstance(other, Plan) else None))
    reads = planner.volumes(plan)
    planned = replace(
        planned,
        without=tuple(without),
        rows={table.name: rows for table, rows, _ in reads},
        pages={table.name: pages for table, _, pages in reads},
    )
    whole = [table for node in plan.nodes() if node.kind == "Seq Scan" and (table := planner.table_of(node))]
    if any(planned.is_large(table.name) for table in whole):
        forced = planner.plan(samples=planned.sampled, settings=("enable_seqscan = off",))
        planned = replace(planned, forced=forced if isinstance(forced, Plan) else None)
    return planned


def _first_page(found: re.Match[str], limit: int) -> str:
    """A number in place of the parameter behind LIMIT or OFFSET, for which the planner would guess a tenth of all."""
    return f"{found[1]} {limit if found[1].lower() == 'limit' else 0}"


def _closed(parsed: tuple[Parsed, ...] | Broken) -> str:
    """Why a query does not meet the engine; empty if it may."""
    if isinstance(parsed, Broken) or len(parsed) != 1:
        return "its text is not one statement"
    ruling = rule(parsed[0])
    if parsed[0].kind not in QUERY_KINDS:
        return "it is no SELECT, INSERT, UPDATE, DELETE or MERGE"
    return ruling.reason if ruling.route in {Route.FORBIDDEN, Route.OUTSIDE} else ""


def _parsed(statement: Statement) -> Parsed:
    """A statement of the DDL that may run.

    Raises:
        SetupError: it may not.
    """
    parsed = tree.parse(statement.sql)
    if isinstance(parsed, Broken):
        raise _does_not_run(statement, parsed.message)
    if len(parsed) != 1:
        raise _does_not_run(statement, f"it holds {len(parsed)} statements where one is expected")
    ruling = rule(parsed[0])
    if ruling.route in {Route.FORBIDDEN, Route.OUTSIDE}:
        raise _does_not_run(statement, ruling.reason)
    return parsed[0]


def _does_not_run(statement: Statement, reason: str) -> SetupError:
    finding = Finding("plans.setup", Severity.ERROR, statement.where, reason)
    return SetupError(f"{statement.artefact} does not run: {reason}.", findings=(finding,))


def _asked(design: str | DatabaseDesign, queries: Mapping[str, str] | None) -> Iterator[PlanQuery]:
    if queries is not None:
        for number, (name, sql) in enumerate(queries.items()):
            yield PlanQuery(Statement(f"/queries/{number}", f"query {name}", sql, kinds=QUERY_KINDS), name)
    elif isinstance(design, DatabaseDesign):
        for one in query_statements(design):
            yield PlanQuery(Statement(one.where, one.artefact, one.sql, one.parameter_types, QUERY_KINDS), one.name)


def _ddl(design: str | DatabaseDesign, as_of: date, version: int | None) -> Iterator[Statement]:
    if isinstance(design, DatabaseDesign):
        for one in ddl_statements(design, as_of=as_of, **({"version": version} if version else {})):
            yield Statement(one.pointer, one.artefact, one.sql)
        return
    for number, piece in enumerate(tree.split(design)):
        yield Statement(f"/statements/{number}", f"statement {number + 1}", piece.sql)
