"""Every query has a plan at the volume of today and of three years, and every index has a query.

Poor: an index on `status` where 80 % of the rows are `shipped`: PostgreSQL reads the table anyway, and each write pays
for the index. `WHERE date(created_at) = $1`: no index on `created_at` serves it. `LIMIT 20` over a sort of a million
rows. A query of a partitioned table that does not name the partition key.
Better: what the planner of PostgreSQL, told the volume, takes: `Limit 20 > Index Scan orders_buyer_latest`, at cost 12
instead of 1,204,330 without that index.

The volume is told to the planner by statistics and by the length of empty files (facts/sql_checking.md, measured: plans
as on loaded tables). What the statistics are made of is in `engines.postgres.statistics`. A cost is the planner's
estimate: it compares plans of one query; it is no time (a ratio of 1,291 by cost was one of 33 by the clock).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import cast

from dbprompt.brief import QueryKind
from dbprompt.checks.base import QUERY_KINDS, Statement
from dbprompt.checks.base_access import accesses, serves, want_of
from dbprompt.checks.base_design import advice, artefacts, item_of, listing, not_checked, warning
from dbprompt.checks.base_matching import entity_of, places_of
from dbprompt.checks.base_plan_findings import Wish, findings_of, takes_over
from dbprompt.checks.base_plans import Planned, Planning, PlanQuery, PlanRun, Volume, milliseconds
from dbprompt.checks.subject import Subject
from dbprompt.engines.postgres.sizes import Figures
from dbprompt.engines.postgres.statistics import Frequencies
from dbprompt.engines.postgres.tables import IndexEntry, TableEntry
from dbprompt.evidence import Exhibit, Finding, Report, Severity, Status, Tier, Verdict
from dbprompt.messages import Json
from dbprompt.render.plans import PLAN, cost_words, plan_text
from dbprompt.render.postgres import UnsafeSqlError, ddl_statements
from dbprompt.render.queries import query_statements

__all__ = ["IndexClaim", "Wish", "judge", "plan_proof"]

_FAMILY = {"postgresql", "timescaledb"}
_UNCOVERED = "on assumed statistics; costs compare plans, they are no times"
_WRITES = {QueryKind.UPDATE, QueryKind.INSERT, QueryKind.DELETE}
_OPEN = {"plans.unserved", "plans.slow", "plans.index_ignored", "plans.no_pruning", "plans.sort"}


@dataclass(frozen=True, slots=True)
class IndexClaim:
    """An index that has to be worth its writes.

    Args:
        name: of the index.
        where: JSON pointer for its verdict.
        serves: the queries that the design says it serves.
    """

    name: str
    where: str
    serves: tuple[str, ...] = ()


def plan_proof(
    subject: Subject,
    *,
    plans: PlanRun,
    target: str,
    version: int,
    as_of: date,
    frequencies: Frequencies | None = None,
) -> Report:
    """Plans each query of a finished design at the brief's volume of today and of three years.

    Args:
        subject: the section `queries` in its design; any other section has no plans.
        plans: asks the planner: `dbprompt.plans.plan_queries`.
        target: the engine that the design is for.
        version: its major version.
        as_of: the day that partitions are counted from.
        frequencies: shares of values that are known, `{"orders.status": {"shipped": 0.8}}`.
    """
    if subject.section != "queries" or not artefacts(subject):
        return Report()
    if why := _out_of_reach(subject, target):
        return not_checked(subject, checker="postgresql planner", why=why)
    try:
        written = ddl_statements(subject.design, as_of=as_of, version=version)
    except UnsafeSqlError as unsafe:
        why = f"no plans while an SQL text could leave its place: {unsafe.reason}"
        return not_checked(subject, checker="postgresql planner", why=why)
    ddl = tuple(Statement(one.pointer, one.artefact, one.sql) for one in written if one.kind != "comment")
    queries = tuple(_queries(subject))
    planning = plans(ddl, queries, _volumes(subject), frequencies=frequencies or {}, version=version, as_of=as_of)
    wishes = {query.statement.where: _wish(subject, query) for query in queries}
    return judge(planning, queries, wishes, _claims(subject))


def judge(
    planning: Planning,
    queries: Sequence[PlanQuery],
    wishes: Mapping[str, Wish],
    claims: Sequence[IndexClaim] | None = None,
) -> Report:
    """Findings, a verdict for each query and index, and each plan as an exhibit.

    Args:
        planning: what the planner said.
        queries: what it was asked.
        wishes: what each query is meant to do, by its pointer.
        claims: the indexes to judge; None for all that stand behind no constraint.
    """
    if planning.problem:
        return Report(verdicts=tuple(_unplanned(query, planning, planning.problem) for query in _items(queries)))
    found = [(one, tuple(findings_of(planning, one, wishes.get(one.query.statement.where, Wish())))) for one in
             planning.planned]  # fmt: skip
    kept = tuple(_once(finding for _, findings in found for finding in findings))
    verdicts = tuple(_query_verdict(planning, query, found) for query in _items(queries))
    exhibits = tuple(_exhibit(planning, one) for one in planning.planned if one.plan)
    of_indexes = _indexes(planning, _all_indexes(planning) if claims is None else claims)
    return Report(kept, verdicts, exhibits) + of_indexes


def _out_of_reach(subject: Subject, target: str) -> str:
    if target not in _FAMILY:
        return f"the design is for {target}, and the planner that is built in is PostgreSQL's"
    if subject.design.schema is None:
        return "there is no schema to plan on"
    if subject.capacity is None:
        return "no volume is known: the design was asked for without a brief"
    if subject.misshapen:
        return "not planned while items have the wrong shape"
    return ""


def _queries(subject: Subject) -> Iterator[PlanQuery]:
    for one in query_statements(subject.design):
        need = subject.brief.query(one.id) if subject.brief else None
        statement = Statement(one.where, one.artefact, one.sql, one.parameter_types, QUERY_KINDS)
        name = f"{one.id} (next page)" if one.is_next_page else one.id
        yield PlanQuery(statement, name, need.limit if need and need.limit else 20)


def _volumes(subject: Subject) -> tuple[Volume, Volume]:
    today: dict[str, Figures] = {}
    later: dict[str, Figures] = {}
    for table in subject.design.schema.tables if subject.design.schema else ():
        entity = entity_of(subject.brief, table)
        known = subject.capacity.of(entity.name) if subject.capacity and entity else None
        if known is None:
            continue
        daily = known.rows_per_day
        for figures, rows in ((today, known.rows_now), (later, known.rows_3y)):
            figures[table.name] = Figures(rows, known.row_bytes, rows / daily if daily else None)
    return Volume("today", today), Volume("three years", later)


def _wish(subject: Subject, query: PlanQuery) -> Wish:
    """What the brief asks of a query, and the ways into its table that would serve that."""
    asked = subject.design.queries.queries[int(query.statement.where.split("/")[2])] if subject.design.queries else None
    brief = subject.brief
    need = brief.query(asked.id) if brief and asked else None
    if brief is None or need is None or asked is None:
        return Wish()
    usual = brief.workload.p95_write_ms if need.kind in _WRITES else brief.workload.p95_read_ms
    target = need.p95_ms if need.p95_ms is not None else usual if need.per_s else None
    entity, schema, meant = brief.entity(need.entity), subject.design.schema, []
    for place in places_of(brief, schema, entity) if entity and schema else ():
        want = want_of(brief, need, place.table, entity) if entity else ""
        if not isinstance(want, str):
            meant += [str(way) for way in accesses(place.table, subject.design.indexes) if serves(way, want)]
    return Wish(target, need.per_s or 0.0, asked.uses_index, tuple(meant))


def _claims(subject: Subject) -> tuple[IndexClaim, ...]:
    """The design's indexes; their pointers lead out of the section under check."""
    indexes = subject.design.indexes.indexes if subject.design.indexes else ()
    return tuple(IndexClaim(index.name, f"/../indexes/indexes/{at}", index.serves) for at, index in enumerate(indexes))


def _all_indexes(planning: Planning) -> tuple[IndexClaim, ...]:
    return tuple(
        IndexClaim(index.name, f"/indexes/{index.name}")
        for table in planning.tables.tops
        for index in table.indexes
        if not index.constraint
    )


def _items(queries: Sequence[PlanQuery]) -> tuple[PlanQuery, ...]:
    """One for each query; its later pages are part of it."""
    first: dict[str, PlanQuery] = {}
    for query in queries:
        first.setdefault(item_of(query.statement.where), query)
    return tuple(first.values())


def _once(findings: Iterable[Finding]) -> Iterator[Finding]:
    """One finding of a kind for each query: that of the largest volume, which comes last."""
    last = {(finding.code, finding.where): finding for finding in findings}
    yield from last.values()


def _query_verdict(
    planning: Planning, query: PlanQuery, found: Sequence[tuple[Planned, tuple[Finding, ...]]]
) -> Verdict:
    where = item_of(query.statement.where)
    own = [(one, findings) for one, findings in found if item_of(one.query.statement.where) == where]
    problems = dict.fromkeys(one.problem for one, _ in own if one.problem)
    if problems or not own:
        return _unplanned(query, planning, "; ".join(problems) or "it was not planned")
    told = [finding for _, findings in own for finding in findings]
    if any(finding.severity is Severity.ERROR for finding in told):
        return _verdict(query.statement.artefact, where, Status.FAILED, planning)
    views = {
        table.name: planning.estimated[table.name]
        for one, _ in own
        for table in (planning.tables_in(one.plan) if one.plan else ())
        if table.name in planning.estimated
    }
    if unsized := [name for name, rows in views.items() if rows is None]:
        why = f"nobody knows how many rows the view {listing(unsized)} has, so its plan says nothing"
        return _verdict(query.statement.artefact, where, Status.INCONCLUSIVE, planning, why)
    heavy = dict.fromkeys(one.code for one in told if one.code in _OPEN and one.severity is not Severity.ADVICE)
    if heavy:
        why = f"its plan does not meet the target: see {', '.join(heavy)}"
        return _verdict(query.statement.artefact, where, Status.INCONCLUSIVE, planning, why)
    guess = "; ".join(f"the {rows:,} rows of {name} are the planner's estimate" for name, rows in views.items())
    uncovered = "; ".join(part for part in (_UNCOVERED, guess) if part)
    return _verdict(query.statement.artefact, where, Status.PASSED, planning, uncovered)


def _verdict(artefact: str, where: str, status: Status, planning: Planning, uncovered: str = "") -> Verdict:
    said = "; ".join(part for part in (uncovered, planning.uncovered) if part)
    return Verdict(artefact, where, status, Tier.ENGINE, planning.checker, said)


def _unplanned(query: PlanQuery, planning: Planning, why: str) -> Verdict:
    where = item_of(query.statement.where)
    status = Status.NOT_CHECKED if planning.problem else Status.INCONCLUSIVE
    tier = Tier.NOTHING if planning.problem else Tier.ENGINE
    return Verdict(query.statement.artefact, where, status, tier, planning.checker, f"no plan: {why}")


def _exhibit(planning: Planning, one: Planned) -> Exhibit:
    plan = one.plan
    if plan is None:
        raise ValueError("there is no plan to show")
    indexes = list(planning.indexes_of(plan))
    without = {hidden.index: hidden.plan.cost for hidden in one.without if hidden.plan}
    beside = [f"without {name} {cost_words(cost)}" for name, cost in without.items()]
    beside += [f"without {hidden.index} it cannot be planned" for hidden in one.without if not hidden.plan]
    how = "plan for sample values of the parameters" if one.sampled else "generic plan, for any parameters"
    costs = "; ".join([f"cost {cost_words(plan.cost)} ({how})", *beside])
    reads = ", ".join(f"{name} {rows:,} rows" for name, rows in one.rows.items() if name not in one.volume)
    volume = f"{one.volume} ({reads})" if reads else one.volume
    data = {
        "query": one.query.name, "volume": one.volume, "rows": dict(one.rows), "indexes": indexes, "cost": plan.cost,
        "without": without, "milliseconds": milliseconds(plan.cost), "prepared": how, PLAN: dict(plan.json),
    }  # fmt: skip
    title = f"plan of {one.query.name}, {volume}"
    return Exhibit(one.query.statement.where, title, f"{plan_text(plan)}\n{costs}", cast("Json", data))


def _indexes(planning: Planning, claims: Sequence[IndexClaim]) -> Report:
    total, dropped = Report(), set[str]()
    for claim in claims:
        found = planning.index(claim.name)
        if found is not None:
            one = _index(planning, claim, *found, dropped)
            dropped |= {claim.name} if one.findings else set()
            total += one
    return total


def _index(
    planning: Planning, claim: IndexClaim, table: TableEntry, index: IndexEntry, dropped: Collection[str]
) -> Report:
    """Whether an index is worth its writes: a plan takes it and is worse without, or a key needs it."""
    uses = [one for one in planning.planned if one.plan and index.name in planning.indexes_of(one.plan)]
    artefact = f"index {index.name}"
    if uses:
        covered = _covered(planning, uses, table, index, dropped)
        findings = (advice("plans.covered_index", claim.where, covered),) if covered else ()
        return Report(findings, (_verdict(artefact, claim.where, Status.PASSED, planning, _UNCOVERED),))
    if index.unique or index.constraint:
        why = "no query takes it; it keeps values unique"
        return Report(verdicts=(_verdict(artefact, claim.where, Status.PASSED, planning, why),))
    if any(set(index.keys[: len(key.columns)]) == set(key.columns) for key in table.foreign_keys):
        why = "no query takes it; it is for its foreign key, which deletes of the parent follow"
        return Report(verdicts=(_verdict(artefact, claim.where, Status.PASSED, planning, why),))
    if any(one.problem for one in planning.planned) or not planning.planned:
        why = "no plan takes it, and not every query could be planned"
        return Report(verdicts=(_verdict(artefact, claim.where, Status.INCONCLUSIVE, planning, why),))
    said = f", though it says that it serves {listing(claim.serves)}" if claim.serves else ""
    message = (
        f"no plan of the {len(_items([one.query for one in planning.planned]))} queries takes {index.name} "
        f"({', '.join(table.names(index.keys))}) on {table.name} at any volume{said}; each write pays for it: drop it, "
        "or name the query that it is for"
    )
    finding = (warning if claim.serves else advice)("plans.unused_index", claim.where, message)
    verdict = _verdict(artefact, claim.where, Status.INCONCLUSIVE, planning, "no query's plan takes it")
    return Report((finding,), (verdict,))


def _covered(
    planning: Planning, uses: Sequence[Planned], table: TableEntry, index: IndexEntry, dropped: Collection[str]
) -> str:
    """What to say of an index without which another one does the same work; empty if it is worth itself."""
    if index.unique or any(index.keys[: len(key.columns)] == key.columns for key in table.foreign_keys):
        return ""
    others: list[str] = []
    for one in uses:
        hidden = next((hidden for hidden in one.without if hidden.index == index.name), None)
        other = takes_over(planning, hidden, one.plan.cost) if hidden and one.plan else ""
        if not other or other in dropped or not _stays(planning, other, uses):
            return ""
        others.append(other)
    names = listing(dict.fromkeys(others))
    queries = listing(dict.fromkeys(one.query.name for one in uses))
    return (
        f"{index.name} on {table.name} is covered: without it {queries} costs the same by {names}; each write pays for "
        "both: drop it"
    )


def _stays(planning: Planning, index: str, uses: Sequence[Planned]) -> bool:
    """Whether an index is needed beside the queries that it would take over: one of the two has to stay."""
    found = planning.index(index)
    if found is not None and (found[1].unique or found[1].constraint):
        return True
    others = (one for one in planning.planned if one.plan and one not in uses)
    return any(index in planning.indexes_of(one.plan) for one in others if one.plan)
