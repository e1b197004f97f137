"""How the memory of a PostgreSQL server is divided, so that the sum stays below what the machine has.

shared_buffers        25 % of memory
system and page cache 15 % at least
upkeep                maintenance_work_mem + autovacuum_max_workers x autovacuum_work_mem
work                  max_connections x SORTS x hash_mem_multiplier x work_mem: what is left
"""

from __future__ import annotations

from dataclasses import dataclass

from dbprompt.machines.connections import Connections
from dbprompt.sections.infrastructure import InstanceTier

__all__ = ["HASH_FACTOR", "SORTS", "Memory", "memory_of"]

SHARED_SHARE = 0.25
SYSTEM_SHARE = 0.15
SORTS = 2
"""Sorts or hash tables that a statement is assumed to have at the same time."""
HASH_FACTOR = 2
"""`hash_mem_multiplier`: a hash table may take this many times `work_mem`."""

_MOST_WORK_MB = 256
_LEAST_WORK_MB = 4
_MOST_MAINTENANCE_MB = 2048
_MANY_CPUS = 16


@dataclass(frozen=True, slots=True)
class Memory:
    """The parts, in MB of 1024 x 1024 bytes, as PostgreSQL counts."""

    total_mb: int
    shared_mb: int
    maintenance_mb: int
    autovacuum_mb: int
    autovacuum_workers: int
    work_mb: int
    connections: int

    @property
    def upkeep_mb(self) -> int:
        """What vacuum and index builds take at once."""
        return self.maintenance_mb + self.autovacuum_workers * self.autovacuum_mb

    @property
    def work_at_once_mb(self) -> int:
        """What all connections take if each sorts at the same time."""
        return self.connections * SORTS * HASH_FACTOR * self.work_mb

    @property
    def most_mb(self) -> int:
        """Everything at once, without what is left to the system."""
        return self.shared_mb + self.upkeep_mb + self.work_at_once_mb

    @property
    def fits(self) -> bool:
        """Whether everything at once stays below the machine's memory."""
        return self.most_mb < self.total_mb


def memory_of(tier: InstanceTier, connections: Connections) -> Memory:
    """Divides a machine's memory. `work_mem` is at least 4 MB, PostgreSQL's default: then the sum may not fit."""
    total = tier.memory_gb * 1024
    shared = int(total * SHARED_SHARE)
    maintenance = min(_MOST_MAINTENANCE_MB, max(64, total // 32))
    autovacuum = min(1024, max(32, total // 64))
    workers = 5 if tier.cpus >= _MANY_CPUS else 3
    left = total - shared - int(total * SYSTEM_SHARE) - maintenance - workers * autovacuum
    work = left // (connections.maximum * SORTS * HASH_FACTOR)
    work = max(_LEAST_WORK_MB, min(_MOST_WORK_MB, work))
    return Memory(total, shared, maintenance, autovacuum, workers, work, connections.maximum)
