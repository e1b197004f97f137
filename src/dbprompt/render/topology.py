"""The failover topology as a Mermaid flowchart, derived from typed nodes alone: no free text reaches it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from dbprompt.sections.backup import Backup
from dbprompt.sections.infrastructure import Infrastructure, Node

__all__ = ["topology"]

_ROLES = {
    "primary": "primary",
    "sync_standby": "standby, synchronous",
    "async_standby": "standby, asynchronous",
    "read_replica": "read replica",
    "pooler": "pooler",
}


def topology(infrastructure: Infrastructure, backup: Backup | None = None) -> str:
    """Nodes by region and zone, replication, the way of a statement, and where backups go.

    Names are identifiers and places are words of letters, digits and dashes, so nothing in them can be Mermaid.
    """
    lines = ["flowchart LR", '    application(["application"])']
    lines += _places(infrastructure)
    lines += [f"    {line}" for line in (*_ways(infrastructure), *_replication(infrastructure))]
    lines += [f"    {line}" for line in _backups(infrastructure, backup)]
    lines += [f"    style {_key(node)} stroke-width:3px" for node in infrastructure.having("primary")]
    return "\n".join(lines) + "\n"


def _places(infrastructure: Infrastructure) -> Iterator[str]:
    """Each region and zone as a box with its nodes."""
    ordered = sorted(infrastructure.nodes, key=lambda node: (node.region, node.zone))
    for at, (region, nodes) in enumerate(groupby(ordered, key=lambda node: node.region)):
        yield f'    subgraph region_{at}["{region}"]'
        for number, (zone, here) in enumerate(groupby(nodes, key=lambda node: node.zone)):
            yield f'        subgraph zone_{at}_{number}["zone {zone}"]'
            for node in here:
                yield f"            {_box(node, infrastructure)}"
            yield "        end"
        yield "    end"


def _box(node: Node, infrastructure: Infrastructure) -> str:
    tier = infrastructure.tier(node.tier)
    size = f"{tier.cpus} CPUs, {tier.memory_gb} GB" if tier else ""
    words = "<br/>".join(filter(None, (node.name, _ROLES[node.role], node.tier, size)))
    return f'{_key(node)}{{{{"{words}"}}}}' if node.role == "pooler" else f'{_key(node)}[("{words}")]'


def _key(node: Node) -> str:
    """A name that is no word of Mermaid's, such as `end`."""
    return f"node_{node.name}"


def _ways(infrastructure: Infrastructure) -> Iterator[str]:
    """How statements come in."""
    pool, primary = infrastructure.pool, infrastructure.primary
    if primary is None:
        return
    poolers = infrastructure.having("pooler")
    for node in poolers:
        yield f"application --> {_key(node)}"
    if pool is not None and not poolers and pool.tool != "application":
        tool = pool.tool.replace("_", " ")
        yield f'pool{{{{"{tool} x {pool.instances}<br/>{pool.mode} mode<br/>{pool.pool_size} connections each"}}}}'
        yield "application --> pool"
    sources = [_key(node) for node in poolers] or (["pool"] if pool and pool.tool != "application" else ["application"])
    for source in sources:
        yield f"{source} -->|reads and writes| {_key(primary)}"
        for node in infrastructure.having("read_replica"):
            yield f"{source} -->|reads| {_key(node)}"


def _replication(infrastructure: Infrastructure) -> Iterator[str]:
    primary, failover = infrastructure.primary, infrastructure.failover
    for node in infrastructure.having("sync_standby", "async_standby", "read_replica") if primary else ():
        kind = "synchronous" if node.role == "sync_standby" else "asynchronous"
        arrow = "==>" if node.role == "sync_standby" else "-.->"
        takes_over = ""
        if failover is not None and node.role != "read_replica":
            takes_over = f"<br/>takes over in {failover.detect_s + failover.promote_s} s"
        yield f'{_key(primary)} {arrow}|"{kind}{takes_over}"| {_key(node)}' if primary else ""


def _backups(infrastructure: Infrastructure, backup: Backup | None) -> Iterator[str]:
    """One store for each place that backups go to."""
    stores = sorted({(plan.storage, plan.region) for plan in backup.plans}) if backup else []
    for at, (storage, region) in enumerate(stores):
        plans = [plan for plan in backup.plans if (plan.storage, plan.region) == (storage, region)] if backup else []
        kept = "<br/>".join(f"{plan.method.replace('_', ' ')}, {plan.keep_days} days" for plan in plans)
        yield f'store_{at}[/"{storage.replace("_", " ")}<br/>{region}<br/>{kept}"/]'
        if infrastructure.primary is not None:
            yield f"{_key(infrastructure.primary)} -.-> store_{at}"
