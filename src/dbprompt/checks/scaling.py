"""Growth: signs that come in time, reads that go where they are answered, sharding only where one server is too small.

Poor: a dashboard read sent to a replica that nobody runs; a point read that must be current sent to one that is seconds
behind; a shard key that the hottest query does not know; 16 shards for 135 GB; phases that end where they began.
Better: each query of the brief routed once, to something that stands in the design; phases that grow, with the tiers
that carry them; and a figure at which sharding is thought of again.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from dbprompt.brief import QueryKind, QueryNeed
from dbprompt.capacity import Capacity
from dbprompt.checks.base_design import error, judged, listing, rules, warning
from dbprompt.checks.base_matching import columns_of, entity_of
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Exhibit, Finding, Report
from dbprompt.machines.growth import gb_of, phase_of, records_3y, records_now
from dbprompt.machines.storage import disk_gb
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.infrastructure import Infrastructure
from dbprompt.sections.monitoring import Metric
from dbprompt.sections.scaling import Phase, ReadRoute, Scaling

__all__ = ["scaling"]

_BETTER_WHEN_HIGH = {Metric.CACHE_HIT_PERCENT, Metric.PARTITIONS_AHEAD}
_SIGNS = {Metric.CPU_PERCENT, Metric.MEMORY_PERCENT, Metric.DISK_PERCENT, Metric.DISK_QUEUE}
_WRITES = {QueryKind.INSERT, QueryKind.UPDATE, QueryKind.DELETE}
_WAREHOUSES = {"clickhouse", "bigquery", "snowflake", "redshift", "duckdb"}


def scaling(subject: Subject) -> Report:
    """The section `scaling`."""
    section = subject.design.scaling
    if subject.section != "scaling" or section is None:
        return Report()
    findings = [*_triggers(section, subject.design), *_routes(section, subject), *_sharding(section, subject)]
    findings += [*_phases(section, subject.design), *_placed(section, subject)]
    uncovered = "that the load grows with the records: phases are computed from records alone"
    report = judged(subject, findings, checker=rules("scaling"), uncovered=uncovered)
    return report + Report(exhibits=tuple(_shown(section, subject.capacity)))


def _triggers(section: Scaling, design: DatabaseDesign) -> Iterator[Finding]:
    if not _SIGNS & {trigger.metric for trigger in section.triggers}:
        message = f"no trigger watches the machine; add one on {listing(sorted(_SIGNS))}"
        yield error("scaling.no_sign", "/triggers", message)
    seen: set[Metric] = set()
    criticals = {one.metric: one.critical for one in design.monitoring.thresholds} if design.monitoring else {}
    for at, trigger in enumerate(section.triggers):
        where = f"/triggers/{at}"
        if trigger.metric in seen:
            message = f"{trigger.metric} has two triggers; keep the one that comes first"
            yield error("scaling.duplicate_trigger", where, message, may_drop=True)
        seen.add(trigger.metric)
        if trigger.metric in _BETTER_WHEN_HIGH:
            message = (
                f"{trigger.metric} is good when it is high, and the trigger waits for it to rise; take another metric"
            )
            yield error("scaling.wrong_direction", where, message, may_drop=True)
        elif trigger.metric.endswith("_percent") and trigger.above >= 100:
            message = f"{trigger.metric} is never above 100, so {trigger.above:g} never comes; write a share such as 75"
            yield error("scaling.never_reached", where, message)
        elif (critical := criticals.get(trigger.metric)) is not None and trigger.above > critical:
            message = (
                f"{trigger.metric} is critical from {critical:g} (/monitoring/thresholds), and growth starts above "
                f"{trigger.above:g} only; grow before it is critical"
            )
            yield error("scaling.later_than_critical", where, message)


def _routes(section: Scaling, subject: Subject) -> Iterator[Finding]:
    brief = subject.brief
    if brief is None:
        return
    routed: dict[str, str] = {}
    for at, route in enumerate(section.routes):
        where = f"/routes/{at}"
        if route.name in [other.name for other in section.routes[:at]]:
            yield error("scaling.duplicate_route", where, f"route {route.name} is there twice; give it another name")
        if problem := _no_target(route, subject.design):
            yield error("scaling.no_such_target", f"{where}/to", f"route {route.name} goes to {problem}")
        if route.by == "pooler" and subject.design.infrastructure and subject.design.infrastructure.pool is None:
            message = f"route {route.name} goes by a pooler, and /infrastructure/pool is null"
            yield error("scaling.no_such_target", f"{where}/by", message)
        for number, query_id in enumerate(route.queries):
            place = f"{where}/queries/{number}"
            need = brief.query(query_id)
            if need is None:
                known = listing(query.id for query in brief.queries)
                yield error("scaling.unknown_query", place, f"{query_id} is no query of the brief; queries: {known}")
                continue
            if query_id in routed:
                message = (
                    f"query {query_id} is routed by {routed[query_id]} and by {route.name}; leave it in one of them"
                )
                yield error("scaling.routed_twice", place, message)
            routed[query_id] = route.name
            yield from _fits(route, need, place, subject.design)
    missing = [query.id for query in brief.queries if query.id not in routed]
    if missing and not subject.misshapen:
        message = f"no route has {listing(missing)}; add a route for them, to the primary if they must be current"
        yield error("scaling.unrouted", "/routes", message)


def _no_target(route: ReadRoute, design: DatabaseDesign) -> str:
    """What is missing where a route goes; empty if it is there, or if its section does not stand."""
    if route.to == "read_replica" and design.infrastructure and not design.infrastructure.having("read_replica"):
        return "a read_replica, and no node of /infrastructure/nodes is one; route it to the primary"
    if route.to == "warehouse" and design.selection:
        stores = {store.engine.value for store in design.selection.supporting}
        if not stores & _WAREHOUSES:
            return f"a warehouse, and /selection/supporting has {listing(sorted(stores))}; route it elsewhere"
    return ""


def _fits(route: ReadRoute, need: QueryNeed, where: str, design: DatabaseDesign) -> Iterator[Finding]:
    """One query on its route: writes, freshness, and whether the cache or view is there."""
    if need.kind in _WRITES and route.to != "primary":
        yield error(
            "scaling.write_elsewhere", where, f"query {need.id} writes ({need.kind}), and only the primary takes writes"
        )
        return
    if route.lag_tolerance_s > need.freshness_s:
        message = (
            f"query {need.id} may be {need.freshness_s:g} s old, and route {route.name} tolerates "
            f"{route.lag_tolerance_s:g} s; route it to the primary, or tolerate less"
        )
        yield error("scaling.too_old", where, message)
    elif route.to == "read_replica" and need.freshness_s == 0:
        message = f"query {need.id} has to be current, and a replica is always a little behind; route it to the primary"
        yield error("scaling.too_old", where, message)
    if route.to == "cache" and design.caching is not None:
        entries = [entry for entry in design.caching.entries if entry.query == need.id]
        if not entries:
            message = f"query {need.id} goes to a cache, and no entry of /caching/entries keeps it"
            yield error("scaling.no_such_target", where, f"{message}; route it to the primary or a replica")
        elif all(entry.ttl_s > route.lag_tolerance_s and entry.invalidated_by == "expiry" for entry in entries):
            message = (
                f"query {need.id} is kept in cache entry {entries[0].name} for {entries[0].ttl_s} s, and route "
                f"{route.name} tolerates {route.lag_tolerance_s:g} s"
            )
            yield error("scaling.too_old", where, message)
    views = design.views.views if design.views is not None else None
    if route.to == "materialized_view" and views is not None and not any(need.id in view.serves for view in views):
        message = f"query {need.id} goes to a materialised view, and none of /views/views serves it"
        yield error("scaling.no_such_target", where, f"{message}; route it to the primary or a replica")


def _sharding(section: Scaling, subject: Subject) -> Iterator[Finding]:
    plan, capacity = section.sharding, subject.capacity
    later = capacity.projected_3y_gb if capacity else None
    if plan.approach == "none":
        if plan.key or plan.tables:
            yield error(
                "scaling.sharding_half", "/sharding", "approach is none, and key or tables are given; null and []"
            )
        if plan.revisit_at_gb is None:
            message = (
                "there is no sharding, and nothing says when to think again; write revisit_at_gb, in GB of raw rows"
            )
            yield error("scaling.no_revisit", "/sharding", message)
        elif later is not None and plan.revisit_at_gb <= later:
            message = (
                f"sharding is to be thought of again at {plan.revisit_at_gb:g} GB, and the data has {later:.0f} GB in "
                "three years: that is within the plan; decide now, or name a larger figure"
            )
            yield error("scaling.revisit_too_early", "/sharding", message)
        return
    if plan.key is None or not plan.tables:
        yield error("scaling.sharding_half", "/sharding", f"sharding by {plan.approach} needs key and tables")
        return
    infrastructure = subject.design.infrastructure
    largest = max((tier.storage_gb for tier in infrastructure.tiers), default=0) if infrastructure else 0
    if later is not None and disk_gb(later) <= largest:
        message = (
            f"the data needs {disk_gb(later):.0f} GB of disk in three years and the largest tier has {largest} GB: one "
            "server holds it; take approach none, unless the writes alone are too many for one"
        )
        yield warning("scaling.sharding_not_needed", "/sharding", message)
    yield from _key(section, subject)


def _key(section: Scaling, subject: Subject) -> Iterator[Finding]:
    """The shard key is in each table, and in each query over one of them."""
    plan, schema, brief = section.sharding, subject.design.schema, subject.brief
    if schema is None or plan.key is None:
        return
    for number, name in enumerate(plan.tables):
        table = schema.table(name)
        if table is None:
            known = listing(table.name for table in schema.tables)
            yield error(
                "scaling.unknown_table", f"/sharding/tables/{number}", f"there is no table {name}; tables: {known}"
            )
        elif table.column(plan.key) is None:
            message = f"table {name} is spread by {plan.key} and has no such column; choose a key that each table has"
            yield error("scaling.key_missing", f"/sharding/tables/{number}", message)
    for need in brief.queries if brief else ():
        entity = brief.entity(need.entity) if brief else None
        spread = [t for t in schema.tables if t.name in plan.tables and entity and entity_of(brief, t) == entity]
        told = f"{plan.reason} {' '.join(plan.costs)}"
        if not spread or entity is None or need.id in told:
            continue
        fixed = {column.name for name in need.eq for column in columns_of(spread[0], entity, name)}
        if plan.key not in fixed and spread[0].column(plan.key) is not None:
            message = (
                f"query {need.id} does not fix the shard key {plan.key} and has to ask every shard; choose another "
                f"key, or say in costs what becomes of {need.id}"
            )
            yield error("scaling.asks_every_shard", "/sharding", message)


def _phases(section: Scaling, design: DatabaseDesign) -> Iterator[Finding]:
    phases = section.phases
    for at, (before, phase) in enumerate(pairwise(phases), start=1):
        where, start = f"/phases/{at}", before.up_to_records
        if start is None:
            message = f"phase {before.name} has no end, and {phase.name} stands after it; only the last one has no end"
            yield error("scaling.phase_without_end", f"/phases/{at - 1}", message)
        elif phase.up_to_records is not None and phase.up_to_records <= start:
            message = f"phase {phase.name} ends at {phase.up_to_records:,} records, and the one before at {start:,}"
            yield error("scaling.phases_not_growing", where, f"{message}; order them by records")
        if phase.read_replicas < before.read_replicas:
            message = (
                f"phase {phase.name} has {phase.read_replicas} read replicas, the one before {before.read_replicas}"
            )
            yield warning("scaling.fewer_replicas", where, message)
        if not phase.changes:
            message = f"phase {phase.name} changes nothing; say what is done on entering it"
            yield warning("scaling.phase_without_change", where, message)
    if (last := phases[-1]).up_to_records is not None:
        message = f"the last phase {last.name} ends at {last.up_to_records:,} records; null, or a phase after it"
        yield error("scaling.phase_with_end", f"/phases/{len(phases) - 1}", message)
    if design.infrastructure is not None:
        yield from _tiers_of(phases, design.infrastructure)


def _tiers_of(phases: tuple[Phase, ...], infrastructure: Infrastructure) -> Iterator[Finding]:
    names = [tier.name for tier in infrastructure.tiers]
    highest = -1
    for at, phase in enumerate(phases):
        if phase.tier not in names:
            message = f"phase {phase.name} runs on tier {phase.tier}, which /infrastructure/tiers does not have"
            yield error("scaling.unknown_tier", f"/phases/{at}/tier", f"{message}; tiers: {listing(names)}")
            continue
        if names.index(phase.tier) < highest:
            message = f"phase {phase.name} runs on {phase.tier}, and one before it on the larger {names[highest]}"
            yield error("scaling.tier_shrinks", f"/phases/{at}/tier", message)
        highest = max(highest, names.index(phase.tier))


def _placed(section: Scaling, subject: Subject) -> Iterator[Finding]:
    """Today's phase is what stands today, and each phase's disk holds its records."""
    capacity, infrastructure = subject.capacity, subject.design.infrastructure
    if capacity is None or infrastructure is None or not records_now(capacity):
        return
    today, later = records_now(capacity), records_3y(capacity)
    phase, primary = phase_of(section.phases, today), infrastructure.primary
    if phase is not None and primary is not None:
        at = section.phases.index(phase)
        if phase.tier != primary.tier and infrastructure.tier(phase.tier) is not None:
            message = (
                f"today's {today:,} records fall in phase {phase.name} with tier {phase.tier}, and the primary "
                f"{primary.name} of /infrastructure/nodes runs on {primary.tier}"
            )
            yield error("scaling.not_todays_tier", f"/phases/{at}/tier", f"{message}; make the two agree")
        replicas = len(infrastructure.having("read_replica"))
        if phase.read_replicas != replicas:
            message = (
                f"today's phase {phase.name} has {phase.read_replicas} read replicas, and /infrastructure/nodes has "
                f"{replicas}; make the two agree"
            )
            yield error("scaling.not_todays_replicas", f"/phases/{at}/read_replicas", message)
    for at, phase in enumerate(section.phases):
        tier = infrastructure.tier(phase.tier)
        records = phase.up_to_records if phase.up_to_records is not None else later
        needed = disk_gb(gb_of(records, capacity))
        if tier is not None and tier.storage_gb < needed and section.sharding.approach == "none":
            message = (
                f"phase {phase.name} goes to {records:,} records, {needed:.0f} GB of disk with indexes and room, and "
                f"tier {tier.name} has {tier.storage_gb} GB; end it earlier, or take a larger tier"
            )
            yield error("scaling.phase_outgrows_tier", f"/phases/{at}", message)


def _shown(section: Scaling, capacity: Capacity | None) -> Iterator[Exhibit]:
    """Which phases today's and the three years' records fall in."""
    if capacity is None:
        return
    lines = []
    for when, records in (("today", records_now(capacity)), ("in three years", records_3y(capacity))):
        phase = phase_of(section.phases, records)
        lines.append(f"{when}: {records:,} records, phase {phase.name if phase else 'none'}")
    yield Exhibit("/phases", "phases that the records fall in", "\n".join(lines))
