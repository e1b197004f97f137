"""The chapter on machines, its files, and the arithmetic behind both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dbprompt.brief import Brief
from dbprompt.machines.availability import (
    ASSUMPTIONS,
    SECONDS_A_YEAR,
    downtime_of,
    loss_s,
    recovery_s,
    uptime_pct,
)
from dbprompt.machines.connections import RESERVED, busy_at_peak, connections_of
from dbprompt.machines.memory import memory_of
from dbprompt.machines.postgres_settings import postgres_settings
from dbprompt.machines.storage import cost_usd_month, disk_gb, hot_gb, memory_for_cache_gb
from dbprompt.render.background import Background
from dbprompt.render.markdown import cell, code, fenced, table, text
from dbprompt.render.pgbouncer import pgbouncer_ini, pgbouncer_settings, userlist
from dbprompt.render.postgres.settings import settings_conf
from dbprompt.render.topology import topology
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.infrastructure import Infrastructure

__all__ = ["infrastructure_chapter", "infrastructure_files"]

_FAMILY = {"postgresql", "timescaledb"}


def infrastructure_files(design: DatabaseDesign, about: Background) -> Mapping[str, str]:
    """`ops/topology.mmd`, `ops/postgresql.conf`, and the pooler's files."""
    section = design.infrastructure
    if section is None:
        return {}
    files = {"ops/topology.mmd": topology(section, design.backup)}
    if not _is_postgres(design):
        return files
    settings = postgres_settings(design, major=about.version, brief=about.brief)
    if settings:
        files["ops/postgresql.conf"] = settings_conf(settings, version=about.version)
    pooler = pgbouncer_settings(section, brief=about.brief, security=design.security)
    if pooler:
        files["ops/pgbouncer.ini"] = pgbouncer_ini(pooler, section)
        files["ops/userlist.txt"] = userlist(design.security)
    return files


def _is_postgres(design: DatabaseDesign) -> bool:
    return design.selection is None or design.selection.decision.engine.value in _FAMILY


def infrastructure_chapter(design: DatabaseDesign, about: Background) -> Iterator[str]:
    """Topology, nodes, promises, storage, pool and settings."""
    section = design.infrastructure
    if section is None:
        return
    yield "## Infrastructure"
    if section.reason:
        yield text(section.reason)
    yield fenced(topology(section, design.backup), "mermaid")
    yield from _nodes(section, about.brief)
    yield from _promises(section, about.brief)
    yield from _storage(section, about)
    yield from _pool(section, about.brief)
    if _is_postgres(design):
        yield from _settings(design, section, about)


def _nodes(section: Infrastructure, brief: Brief | None) -> Iterator[str]:
    kind = section.deployment.replace("_", " ")
    yield f"### Nodes and tiers\n\nDeployment: {kind}, on {section.storage.replace('_', ' ')} disks."
    yield table(
        ("Node", "Role", "Region", "Zone", "Tier"),
        ((code(n.name), n.role.replace("_", " "), cell(n.region), cell(n.zone), code(n.tier)) for n in section.nodes),
    )
    yield table(
        ("Tier", "CPUs", "Memory GB", "Disk GB", "IOPS", "USD a month"),
        (
            (code(t.name), f"{t.cpus:,}", f"{t.memory_gb:,}", f"{t.storage_gb:,}", f"{t.iops:,}", f"{t.usd_month:,.0f}")
            for t in section.tiers
        ),
        align="lrrrrr",
    )
    others = "".join(f" + {cell(cost.name)} {cost.usd_month:,.0f}" for cost in section.other_costs)
    budget = brief.constraints.budget_usd_month if brief else None
    of = f" of a budget of {budget:,.0f}" if budget is not None else ""
    cost = cost_usd_month(section)
    nodes = cost - sum(other.usd_month for other in section.other_costs)
    yield f"Cost: nodes {nodes:,.0f}{others} = **{cost:,.0f} USD a month**{of}."


def _promises(section: Infrastructure, brief: Brief | None) -> Iterator[str]:
    yield "### Availability"
    if (failover := section.failover) is not None:
        by = failover.by.replace("_", " ")
        yield f"Failover by {by}: {failover.detect_s} s to detect + {failover.promote_s} s to promote."
    events = downtime_of(section)
    rows = [(e.event, f"{e.a_year:g}", f"{e.seconds:,.0f}", f"{e.total_s:,.0f}") for e in events]
    total = sum(event.total_s for event in events)
    rows.append(("**all**", "", "", f"**{total:,.0f}**"))
    yield table(("Event", "A year", "Seconds each", "Seconds a year"), rows, align="lrrr")
    loss = loss_s(section)
    lost = "what was not in a backup" if loss is None else f"{loss:g} s"
    met = [
        ("Uptime", f"1 - {total:,.0f} s / {SECONDS_A_YEAR:,} s = {uptime_pct(section):.3f} %"),
        ("Back after a failure", f"{recovery_s(section):,.0f} s"),
        ("Lost at a failover", lost),
    ]
    asked = brief.availability if brief else None
    wanted = (f"{asked.uptime_pct:g} %", f"RTO {asked.rto_s:g} s", f"RPO {asked.rpo_s:g} s") if asked else ("", "", "")
    yield table(("Promise", "Computed", "Asked"), ((*row, want) for row, want in zip(met, wanted, strict=True)))
    assumed = "; ".join(f"{what}: {figure}" for what, figure in ASSUMPTIONS)
    yield (
        f"Assumed, not measured: {assumed}. Two failures at once, the loss of a region, and mistakes of software and "
        "people are not in it. Put your provider's figures in their place."
    )


def _storage(section: Infrastructure, about: Background) -> Iterator[str]:
    capacity, primary = about.capacity, section.primary
    tier = section.tier(primary.tier) if primary else None
    if capacity is None or tier is None:
        return
    yield "### Storage and memory"
    rows = [
        ("disk now", f"{capacity.size_now_gb:.1f} GB raw x 2.5", f"{disk_gb(capacity.size_now_gb):,.0f} GB"),
        (
            "disk in 3 years",
            f"{capacity.projected_3y_gb:.1f} GB raw x 2.5",
            f"{disk_gb(capacity.projected_3y_gb):,.0f} GB",
        ),
        ("disk of the primary", f"tier {tier.name}", f"{tier.storage_gb:,} GB"),
    ]
    if about.brief is not None and (hot := hot_gb(about.brief)) is not None:
        rows.append((f"rows of {about.brief.lifecycle.hot_days} days, with indexes", "raw x 2.0", f"{hot:,.1f} GB"))
        kept = memory_for_cache_gb(tier.memory_gb)
        rows.append(("pages in memory", f"75 % of {tier.memory_gb} GB", f"{kept:,.0f} GB"))
    yield table(("What", "From", "Is"), rows, align="llr")
    yield "2.5: row headers, page slack and indexes double raw rows, and a disk is at most 80 % full."


def _pool(section: Infrastructure, brief: Brief | None) -> Iterator[str]:
    pool = section.pool
    yield "### Connections"
    if pool is None:
        yield "There is no pool: the application opens connections of its own."
        return
    places = connections_of(pool)
    settings = {
        "none": "nothing is set in a session",
        "per_transaction": "set with `SET LOCAL` in each transaction",
        "per_session": "set once in a session",
    }
    rows = [
        ("tool and mode", f"{pool.tool.replace('_', ' ')}, {pool.mode}"),
        (
            "instances x (size + reserve)",
            f"{pool.instances} x ({pool.pool_size} + {pool.reserve_size}) = {places.pooled}",
        ),
        ("reserved", "; ".join(f"{number} {cell(what)}" for what, number in RESERVED)),
        ("max_connections", f"{places.pooled} + {places.reserved}, rounded up to tens = **{places.maximum}**"),
        ("client connections", f"{pool.instances} x {pool.max_client_connections:,} = {pool.client_connections:,}"),
        ("session settings", settings[pool.session_settings]),
    ]
    if brief is not None:
        load, busy = brief.workload, busy_at_peak(brief.workload)
        reads = f"{load.reads_per_s_peak:,g} reads/s x {load.p95_read_ms:g} ms"
        writes = f"{load.writes_per_s_peak:,g} writes/s x {load.p95_write_ms:g} ms"
        both = f"{reads} + {writes} = {busy.most} at most, {busy.mean} at a third of the targets"
        rows.append(("statements at once at the peak", both))
    yield table(("What", "Is"), rows)
    if pool.reason:
        yield text(pool.reason)


def _settings(design: DatabaseDesign, section: Infrastructure, about: Background) -> Iterator[str]:
    settings = postgres_settings(design, major=about.version, brief=about.brief)
    if not settings:
        return
    yield "### Server settings"
    yield "Computed for the primary; [ops/postgresql.conf](ops/postgresql.conf) is the same as a file."
    rows = []
    for one in settings:
        value = code(one.value) + (" (by the service)" if one.by_service else "")
        rows.append((one.group, code(one.name), value, cell(one.why), cell(one.source)))
    yield table(("About", "Setting", "Value", "Why", "Source"), rows)
    primary = section.primary
    tier = section.tier(primary.tier) if primary else None
    if tier is not None:
        memory = memory_of(tier, connections_of(section.pool))
        yield (
            f"Memory at its most: {memory.shared_mb:,} shared + {memory.upkeep_mb:,} upkeep + "
            f"{memory.connections} connections x 2 sorts x 2 x {memory.work_mb} MB = {memory.most_mb:,} MB of "
            f"{memory.total_mb:,} MB."
        )
