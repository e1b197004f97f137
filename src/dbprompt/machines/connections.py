"""How many connections the database has to allow, and how many statements want one at the same time."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dbprompt.brief import Workload
from dbprompt.sections.infrastructure import Pool

__all__ = ["MEAN_OF_P95", "RESERVED", "Connections", "busy_at_peak", "connections_of"]

RESERVED = (
    ("superuser, for an operator when everything else is taken", 3),
    ("administration by roles with pg_use_reserved_connections", 5),
    ("monitoring and health checks", 5),
    ("scheduled jobs and migrations", 5),
    ("backup and base backups", 2),
)
"""What goes past the pooler: (for what, connections). Replication has places of its own (max_wal_senders)."""

MEAN_OF_P95 = 1 / 3
"""Assumed mean time of a statement as a share of its 95th percentile."""

_WITHOUT_POOL = 100
_ROUND_TO = 10


@dataclass(frozen=True, slots=True)
class Connections:
    """The places of one database server."""

    pooled: int
    reserved: int

    @property
    def maximum(self) -> int:
        """`max_connections`: pooled + reserved, rounded up to tens."""
        return math.ceil((self.pooled + self.reserved) / _ROUND_TO) * _ROUND_TO

    @property
    def formula(self) -> str:
        """The sum in words."""
        return f"{self.pooled} from the pool + {self.reserved} reserved, rounded up to tens"


def connections_of(pool: Pool | None) -> Connections:
    """The places for a pool: instances x (pool_size + reserve_size), and the reserved ones.

    Without a pool PostgreSQL's default of 100 stands for what the application opens.
    """
    pooled = pool.server_connections if pool else _WITHOUT_POOL
    return Connections(pooled, sum(number for _, number in RESERVED))


@dataclass(frozen=True, slots=True)
class Busy:
    """Statements under way at the peak, by Little's law: rate x time.

    Args:
        mean: with the assumed mean time.
        most: if every statement took as long as its 95th percentile allows.
    """

    mean: int
    most: int


def busy_at_peak(load: Workload) -> Busy:
    """How many statements run at once at the peak.

    >>> busy_at_peak(Workload(reads_per_s_peak=5200, writes_per_s_peak=900, p95_read_ms=40, p95_write_ms=80))
    Busy(mean=94, most=280)
    """
    most = (load.reads_per_s_peak * load.p95_read_ms + load.writes_per_s_peak * load.p95_write_ms) / 1000
    return Busy(math.ceil(most * MEAN_OF_P95), math.ceil(most))
