"""Machines, failover and money meet what the brief promises: uptime, loss, recovery, places, budget, three years.

Poor: one node for 99.95 %; a standby in the zone of the primary; an asynchronous standby where nothing may be lost; a
backup region in London for data that stays in the European Union; three xlarge nodes on a budget for one; a disk that
is full in a year.
Better: a standby in another zone that takes over within the recovery time, tiers that grow, and the bill added up.

All figures are computed here (`dbprompt.machines`), with assumptions that the document states.
"""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.brief import Brief
from dbprompt.capacity import Capacity
from dbprompt.checks.base_design import error, judged, listing, rules, warning
from dbprompt.checks.base_matching import is_misshapen
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Finding, Report
from dbprompt.machines.availability import ASYNC_LAG_S, BY_HAND_S, REPLACE_S, loss_s, recovery_s, uptime_pct
from dbprompt.machines.regions import lies_in
from dbprompt.machines.storage import DISK_PER_RAW, cost_usd_month, disk_gb, hot_gb, memory_for_cache_gb
from dbprompt.sections.infrastructure import Infrastructure, InstanceTier

__all__ = ["infrastructure"]


def infrastructure(subject: Subject) -> Report:
    """The section `infrastructure`, but for its pool."""
    section = subject.design.infrastructure
    if subject.section != "infrastructure" or section is None:
        return Report()
    findings = [*_names(section, subject), *_tiers(section), *_failover(section)]
    if (brief := subject.brief) is not None:
        findings += [*_promises(section, brief), *_places(section, brief), *_budget(section, brief)]
        if subject.capacity is not None:
            findings += _sizes(section, brief, subject.capacity)
    uncovered = "prices, and the assumed rates of failure: they are the provider's to tell"
    return judged(subject, findings, checker=rules("infrastructure"), uncovered=uncovered)


def _names(section: Infrastructure, subject: Subject) -> Iterator[Finding]:
    for field, names in (("tiers", [t.name for t in section.tiers]), ("nodes", [n.name for n in section.nodes])):
        for at, name in enumerate(names):
            if name in names[:at]:
                message = f"{field[:-1]} {name} is listed twice; give each its own name, or drop one"
                yield error("infrastructure.duplicate_name", f"/{field}/{at}", message)
    tiers = listing(tier.name for tier in section.tiers)
    for at, node in enumerate(section.nodes):
        if section.tier(node.tier) is None and not is_misshapen(subject, node.tier):
            message = f"node {node.name} is of tier {node.tier}, which is not listed; tiers: {tiers}"
            yield error("infrastructure.unknown_tier", f"/nodes/{at}/tier", message)
    primaries = [(at, node.name) for at, node in enumerate(section.nodes) if node.role == "primary"]
    if not primaries and not subject.misshapen:
        yield error(
            "infrastructure.not_one_primary", "/nodes", "no node is the primary, which takes the writes; add it"
        )
    for at, name in primaries[1:]:
        message = f"{primaries[0][1]} and {name} are both primary; exactly one node takes the writes"
        yield error("infrastructure.not_one_primary", f"/nodes/{at}/role", message)


def _tiers(section: Infrastructure) -> Iterator[Finding]:
    """Each tier is larger than the one before: more CPUs and memory, and no less of anything else."""
    for at, (smaller, larger) in enumerate(zip(section.tiers, section.tiers[1:], strict=False), start=1):
        grows = larger.cpus > smaller.cpus or larger.memory_gb > smaller.memory_gb
        shrinks = [
            field
            for field in ("cpus", "memory_gb", "storage_gb", "iops", "usd_month")
            if getattr(larger, field) < getattr(smaller, field)
        ]
        if shrinks or not grows:
            what = f"less of {listing(shrinks)}" if shrinks else "no more CPUs or memory"
            message = (
                f"tier {larger.name} stands after {smaller.name} and has {what}; list the tiers from the smallest to "
                "the largest"
            )
            yield error("infrastructure.tiers_not_growing", f"/tiers/{at}", message)


def _failover(section: Infrastructure) -> Iterator[Finding]:
    primary, failover = section.primary, section.failover
    for at, node in enumerate(section.nodes):
        standby = node.role in {"sync_standby", "async_standby"}
        if primary and standby and (node.region, node.zone) == (primary.region, primary.zone):
            message = (
                f"standby {node.name} is in zone {node.zone} of {node.region} with the primary {primary.name}, and "
                "goes down with it; put it into another zone"
            )
            yield error("infrastructure.standby_in_zone", f"/nodes/{at}/zone", message)
        here, there = section.tier(node.tier), section.tier(primary.tier) if primary else None
        if standby and here and there and (here.cpus, here.memory_gb) < (there.cpus, there.memory_gb):
            message = (
                f"standby {node.name} ({node.tier}) is smaller than the primary ({there.name}), whose load it has to "
                f"carry after a failover; give it {there.name}"
            )
            yield warning("infrastructure.standby_smaller", f"/nodes/{at}/tier", message)
    if section.standbys and failover is None:
        message = f"standby {section.standbys[0].name} stands ready and nothing says how it takes over; fill failover"
        yield error("infrastructure.failover_missing", "/failover", message)
    if failover is not None and not section.standbys:
        message = "failover is described and no node is a standby; add a sync_standby or async_standby in another zone"
        yield error("infrastructure.nothing_to_fail_to", "/nodes", message)
    if failover is None:
        return
    if failover.by == "by_hand" and failover.detect_s + failover.promote_s < BY_HAND_S:
        message = (
            f"a person is called, logs in and promotes within {failover.detect_s + failover.promote_s} s; count with "
            f"{BY_HAND_S} s at least, or let a tool do it"
        )
        yield error("infrastructure.by_hand_too_fast", "/failover", message)
    if failover.by == "managed_service" and section.deployment in {"self_hosted_cloud", "on_premise"}:
        message = (
            f"failover is by a managed service, and deployment is {section.deployment}; name the tool that does it"
        )
        yield error("infrastructure.no_such_service", "/failover/by", message)


def _promises(section: Infrastructure, brief: Brief) -> Iterator[Finding]:
    """Uptime, loss and recovery."""
    promised = brief.availability
    at = "/failover" if section.standbys else "/nodes"
    uptime, recovery, loss = uptime_pct(section), recovery_s(section), loss_s(section)
    if uptime < promised.uptime_pct:
        message = (
            f"the brief promises {promised.uptime_pct:g} % uptime, and these nodes come to {uptime:.3f} % "
            f"({recovery:g} s for each failure of the primary); add a standby in another zone, or fail over faster"
        )
        yield error("infrastructure.uptime_missed", at, message)
    if recovery > promised.rto_s:
        by = (
            "detecting and promoting take"
            if section.failover and section.standbys
            else "without a standby, a new node takes"
        )
        message = f"{by} {recovery:g} s, and the brief's RTO is {promised.rto_s:g} s"
        yield error(
            "infrastructure.recovery_too_slow", at, f"{message}; shorten it, or add a standby ({REPLACE_S} s without)"
        )
    if loss is not None and loss > promised.rpo_s:
        message = (
            f"the brief allows {promised.rpo_s:g} s of writes to be lost, and an asynchronous standby is up to "
            f"{ASYNC_LAG_S} s behind; make it a sync_standby"
        )
        yield error("infrastructure.loses_writes", f"/nodes/{section.nodes.index(section.standbys[0])}/role", message)
    if loss is None and promised.rpo_s == 0:
        message = "the brief allows no write to be lost, and the only copy is the primary's; add a sync_standby"
        yield error("infrastructure.loses_writes", "/nodes", message)


def _places(section: Infrastructure, brief: Brief) -> Iterator[Finding]:
    allowed = brief.compliance.residency
    for at, node in enumerate(section.nodes if allowed else ()):
        said = [lies_in(node.region, place) for place in allowed]
        if True in said:
            continue
        places = listing(allowed)
        if None in said:
            message = f"node {node.name} is in {node.region}, and it is not known here whether that lies in {places}"
            yield warning("infrastructure.region_unknown", f"/nodes/{at}/region", message)
        else:
            message = (
                f"node {node.name} is in {node.region}, and the brief's data stays in {places}; choose a region there"
            )
            yield error("infrastructure.outside_residency", f"/nodes/{at}/region", message)
    wanted, have = brief.constraints.deployment.lower(), section.deployment
    if "managed" in wanted and have in {"self_hosted_cloud", "on_premise"}:
        message = f"the brief speaks of a managed service, and deployment is {have}; choose managed_cloud, or say why"
        yield warning("infrastructure.not_the_deployment", "/deployment", message)


def _budget(section: Infrastructure, brief: Brief) -> Iterator[Finding]:
    budget = brief.constraints.budget_usd_month
    cost = cost_usd_month(section)
    if budget is None or cost <= budget:
        return
    spare = [*section.having("read_replica", "async_standby"), *section.nodes][0]
    optional = spare.role in {"read_replica", "async_standby"}
    message = (
        f"the nodes and the rest cost {cost:,.0f} US dollars a month, and the budget is {budget:,.0f}; give "
        f"{spare.name} a smaller tier{', or drop it' if optional else ''}"
    )
    yield error("infrastructure.over_budget", f"/nodes/{section.nodes.index(spare)}", message, may_drop=optional)


def _sizes(section: Infrastructure, brief: Brief, capacity: Capacity) -> Iterator[Finding]:
    """Disk for now and for three years; memory for what is hot."""
    now, later = disk_gb(capacity.size_now_gb), disk_gb(capacity.projected_3y_gb)
    rule = f"raw size x {DISK_PER_RAW:g}: indexes, headers and room"
    largest = max(section.tiers, key=lambda tier: tier.storage_gb)
    for at, node in enumerate(section.nodes):
        tier = section.tier(node.tier)
        if tier is None or node.role == "pooler":
            continue
        where = f"/nodes/{at}/tier"
        if tier.storage_gb < now:
            message = f"tier {tier.name} of {node.name} has {tier.storage_gb} GB, and the data needs {now:.0f} GB today"
            yield error("infrastructure.disk_too_small", where, f"{message} ({rule})")
        elif tier.storage_gb < later and node.role == "primary" and largest.storage_gb >= later:
            message = (
                f"tier {tier.name} of {node.name} has {tier.storage_gb} GB, and the data needs {later:.0f} GB in three "
                f"years ({rule}); plan when to take {largest.name}"
            )
            yield warning("infrastructure.disk_for_later", where, message)
    if largest.storage_gb < later:
        at = section.tiers.index(largest)
        message = f"the largest disk has {largest.storage_gb} GB ({largest.name}), and three years need {later:.0f} GB"
        yield error("infrastructure.no_tier_for_later", f"/tiers/{at}/storage_gb", f"{message} ({rule})")
    yield from _memory(section, brief)


def _memory(section: Infrastructure, brief: Brief) -> Iterator[Finding]:
    primary = section.primary
    tier: InstanceTier | None = section.tier(primary.tier) if primary else None
    hot = hot_gb(brief)
    if primary is None or tier is None or hot is None or hot <= memory_for_cache_gb(tier.memory_gb):
        return
    message = (
        f"tier {tier.name} holds {memory_for_cache_gb(tier.memory_gb):.0f} GB of pages in memory (75 % of "
        f"{tier.memory_gb} GB), and the rows of the last {brief.lifecycle.hot_days} days with their indexes are "
        f"{hot:.0f} GB; the rest is read from disk"
    )
    yield warning("infrastructure.hot_set_exceeds_memory", f"/nodes/{section.nodes.index(primary)}/tier", message)
