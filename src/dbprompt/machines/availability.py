"""Downtime, recovery and loss, computed from nodes, zones and failover under stated assumptions.

A year's downtime of the primary's service is the sum of three kinds of event, each its frequency x the time until
another node takes writes:

    node failures          NODE_FAILURES_A_YEAR      x (detect + promote, or REPLACE_S with no standby)
    outages of a zone      ZONE_OUTAGES_A_YEAR       x (detect + promote, or ZONE_OUTAGE_S with no standby elsewhere)
    planned maintenance    MAINTENANCES_A_YEAR       x (promote, or RESTART_S with no standby)

Failures of two nodes at once, of a region, of software and of people are not in it, so it is an upper bound of uptime.
"""

from __future__ import annotations

from dataclasses import dataclass

from dbprompt.sections.infrastructure import Infrastructure

__all__ = [
    "ASSUMPTIONS",
    "ASYNC_LAG_S",
    "BY_HAND_S",
    "REPLACE_S",
    "Downtime",
    "downtime_of",
    "loss_s",
    "recovery_s",
    "uptime_pct",
]

SECONDS_A_YEAR = 365 * 86_400

NODE_FAILURES_A_YEAR = 2.0
ZONE_OUTAGES_A_YEAR = 0.2
MAINTENANCES_A_YEAR = 4.0
REPLACE_S = 4 * 3600
ZONE_OUTAGE_S = 6 * 3600
RESTART_S = 900
ASYNC_LAG_S = 10
BY_HAND_S = 900

ASSUMPTIONS = (
    ("failures of the primary's node a year", f"{NODE_FAILURES_A_YEAR:g}"),
    ("outages of its zone a year", f"{ZONE_OUTAGES_A_YEAR:g}"),
    ("planned maintenance a year", f"{MAINTENANCES_A_YEAR:g}"),
    ("a new node without a standby, restored from backup", f"{REPLACE_S:,} s"),
    ("an outage of a zone", f"{ZONE_OUTAGE_S:,} s"),
    ("a restart for maintenance without a standby", f"{RESTART_S:,} s"),
    ("what an asynchronous standby is behind", f"{ASYNC_LAG_S} s"),
    ("a person who fails over by hand, at the fastest", f"{BY_HAND_S:,} s"),
)
"""What the figures rest on, in words. They are assumptions, not measurements: replace them by your provider's."""


@dataclass(frozen=True, slots=True)
class Downtime:
    """One kind of event: how often a year, and seconds each."""

    event: str
    a_year: float
    seconds: float

    @property
    def total_s(self) -> float:
        """Seconds a year."""
        return self.a_year * self.seconds


def recovery_s(infrastructure: Infrastructure) -> float:
    """Seconds until the database takes writes again after its primary failed: detect + promote, else a new node."""
    failover = infrastructure.failover
    if failover is None or not infrastructure.standbys:
        return REPLACE_S
    return failover.detect_s + failover.promote_s


def downtime_of(infrastructure: Infrastructure) -> tuple[Downtime, ...]:
    """A year's events."""
    primary, failover = infrastructure.primary, infrastructure.failover
    ready = infrastructure.standbys if failover else ()
    elsewhere = [node for node in ready if primary and (node.region, node.zone) != (primary.region, primary.zone)]
    back = recovery_s(infrastructure)
    return (
        Downtime("node failure", NODE_FAILURES_A_YEAR, back),
        Downtime("outage of a zone", ZONE_OUTAGES_A_YEAR, back if elsewhere else ZONE_OUTAGE_S),
        Downtime("maintenance", MAINTENANCES_A_YEAR, failover.promote_s if failover and ready else RESTART_S),
    )


def uptime_pct(infrastructure: Infrastructure) -> float:
    """Percent of a year in which writes are taken."""
    down = sum(event.total_s for event in downtime_of(infrastructure))
    return 100 * (1 - min(down, SECONDS_A_YEAR) / SECONDS_A_YEAR)


def loss_s(infrastructure: Infrastructure) -> float | None:
    """Seconds of committed writes that a failover may lose: 0 with a synchronous standby; None without a standby."""
    roles = {node.role for node in infrastructure.standbys}
    if "sync_standby" in roles:
        return 0
    return ASYNC_LAG_S if roles else None
