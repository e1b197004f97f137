"""Settings of a PostgreSQL server, each computed from the machine, the load and the promises, with its reason.

Poor: `shared_buffers = 25% of RAM` in a file, which no server reads; `work_mem = 64MB` beside `max_connections = 2000`
on 16 GB; `max_connections` that the pooler's sizes exceed.
Better: numbers with units, each from a formula over what is known, and the sum below the machine's memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from dbprompt.brief import Brief
from dbprompt.machines.access_settings import access_settings
from dbprompt.machines.connections import connections_of
from dbprompt.machines.memory import HASH_FACTOR, SORTS, Memory, memory_of
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.backup import Backup
from dbprompt.sections.infrastructure import Infrastructure, InstanceTier
from dbprompt.sections.security import Security

__all__ = ["ServerSetting", "postgres_settings", "slow_statement"]

Group: TypeAlias = Literal[
    "connections", "memory", "write-ahead log", "replication", "planner", "parallel work", "autovacuum", "logging",
    "time-outs", "security",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class ServerSetting:
    """One setting.

    Args:
        name: of the parameter.
        value: as `postgresql.conf` takes it, with its unit, without quotes.
        why: the formula or the reason.
        source: who says so: a page of the manual, or what of the design it comes from.
        group: under which heading it stands.
        by_service: whether a managed service sets it by itself, so that it cannot be set there.
    """

    name: str
    value: str
    why: str
    source: str
    group: Group
    by_service: bool = False


def postgres_settings(design: DatabaseDesign, *, major: int, brief: Brief | None = None) -> tuple[ServerSetting, ...]:
    """The settings of the primary. None if no primary stands, or its tier is unknown.

    Args:
        design: the machines; what of backup, security and upkeep is decided counts too.
        major: the server's major version.
        brief: load, tables and promises; without it, defaults stand where they would count.
    """
    infrastructure = design.infrastructure
    primary = infrastructure.primary if infrastructure else None
    tier = infrastructure.tier(primary.tier) if infrastructure and primary else None
    if infrastructure is None or tier is None:
        return ()
    memory = memory_of(tier, connections_of(infrastructure.pool))
    managed = infrastructure.deployment == "managed_cloud"
    return (
        *_connections(infrastructure, major),
        *_memory(tier, memory),
        *_log(tier, brief),
        *_replication(infrastructure, tier, design.backup, managed=managed),
        *_planner(infrastructure, brief),
        *_parallel(tier),
        *_autovacuum(memory, brief),
        *_logging(brief),
        *_libraries(design),
        *_timeouts(),
        *_security(design.security, brief, managed=managed),
    )


def _connections(infrastructure: Infrastructure, major: int) -> Iterator[ServerSetting]:
    places = connections_of(infrastructure.pool)
    page = "postgresql.org, Connections and Authentication"
    yield ServerSetting("max_connections", str(places.maximum), places.formula, "pool of the design", "connections")
    why = "an operator gets in when all other places are taken"
    yield ServerSetting("superuser_reserved_connections", "3", why, page, "connections")
    if major >= 16:
        why = "for roles with pg_use_reserved_connections: administration"
        yield ServerSetting("reserved_connections", "5", why, page, "connections")


def _memory(tier: InstanceTier, memory: Memory) -> Iterator[ServerSetting]:
    def setting(name: str, value: str, why: str, page: str = "Resource Consumption") -> ServerSetting:
        return ServerSetting(name, value, why, f"postgresql.org, {page}", "memory")

    yield setting("shared_buffers", f"{memory.shared_mb}MB", f"25 % of {tier.memory_gb} GB")
    cache = f"75 % of {tier.memory_gb} GB: what the planner may take for cached"
    yield setting("effective_cache_size", f"{int(memory.total_mb * 0.75)}MB", cache, "Query Planning")
    divided = f"{memory.connections} connections x {SORTS} sorts x {HASH_FACTOR} (hash_mem_multiplier)"
    why = f"what 60 % of the memory leave after upkeep ({memory.upkeep_mb:,} MB), divided by {divided}; 4 to 256 MB"
    yield setting("work_mem", f"{memory.work_mb}MB", why)
    yield setting("hash_mem_multiplier", str(HASH_FACTOR), "the factor that work_mem was computed with")
    yield setting("maintenance_work_mem", f"{memory.maintenance_mb}MB", "memory / 32, at most 2 GB: index builds")
    why = f"memory / 64, at most 1 GB: each of {memory.autovacuum_workers} workers takes it"
    yield setting("autovacuum_work_mem", f"{memory.autovacuum_mb}MB", why)
    yield setting("huge_pages", "try", "fewer page table entries for a large shared_buffers, if the system has them")


_CHECKPOINT_S = 900
_COMPLETION = 0.9
_WAL_FIXED_BYTES = 2_000
_WAL_PER_ROW_BYTE = 3


def _wal_mb_per_s(brief: Brief | None) -> float:
    """WAL at the peak: writes/s x (2,000 bytes for index entries and page images + 3 x the mean new row's bytes)."""
    if brief is None:
        return 1.0
    new = [(entity.rows_per_day, entity.avg_row_bytes) for entity in brief.entities]
    rows = sum(count for count, _ in new)
    mean = sum(count * size for count, size in new) / rows if rows else 200
    return brief.workload.writes_per_s_peak * (_WAL_FIXED_BYTES + _WAL_PER_ROW_BYTE * mean) / 1e6


def _log(tier: InstanceTier, brief: Brief | None) -> Iterator[ServerSetting]:
    page = "postgresql.org, Write Ahead Log"

    def setting(name: str, value: str, why: str) -> ServerSetting:
        return ServerSetting(name, value, why, page, "write-ahead log")

    rate = _wal_mb_per_s(brief)
    room = max(1, tier.storage_gb // 10)
    wanted = math.ceil(rate * _CHECKPOINT_S * (1 + _COMPLETION) / 1024)
    largest = min(max(1, wanted), room)
    yield setting("wal_buffers", "16MB", "one segment: commits of many sessions are written together")
    yield setting("checkpoint_timeout", "15min", "fewer full page images than with 5 minutes")
    yield setting("checkpoint_completion_target", f"{_COMPLETION:g}", "writes are spread over the time between two")
    why = (
        f"{rate:.1f} MB/s at the peak x 15 min x (1 + {_COMPLETION:g}), at most a tenth of the disk: "
        "time, not size, starts a checkpoint"
    )
    yield setting("max_wal_size", f"{largest}GB", why)
    yield setting("min_wal_size", f"{max(256, largest * 256)}MB", "a quarter of max_wal_size is kept and reused")
    yield setting("wal_compression", "on", "full page images are smaller")


_ARCHIVE = {
    "pgbackrest": "pgbackrest --stanza=main archive-push %p",
    "wal_g": "wal-g wal-push %p",
    "barman": "barman-wal-archive backup main %p",
}


def _replication(
    infrastructure: Infrastructure, tier: InstanceTier, backup: Backup | None, *, managed: bool
) -> Iterator[ServerSetting]:
    page = "postgresql.org, Replication"

    def setting(name: str, value: str, why: str, source: str = page) -> ServerSetting:
        return ServerSetting(name, value, why, source, "replication", by_service=managed)

    followers = len(infrastructure.having("sync_standby", "async_standby", "read_replica"))
    yield setting("wal_level", "replica", "standbys, replicas and point-in-time recovery read it")
    shipped = next((plan for plan in backup.plans if plan.method == "wal_archive"), None) if backup else None
    if shipped is not None:
        yield setting("archive_mode", "on", f"backup {shipped.name} archives the log", "backups of the design")
        every = f"a segment is shipped at least this often (backup {shipped.name})"
        yield setting("archive_timeout", f"{shipped.archive_every_s}s", every, "backups of the design")
        if shipped.tool in _ARCHIVE:
            why = f"{shipped.tool.replace('_', '-')} ships a segment; its stanza or server is called main"
            yield setting("archive_command", _ARCHIVE[shipped.tool], why, "the tool's own manual")
    else:
        yield setting("archive_mode", "off", "no backup of the design archives the log", "backups of the design")
    senders = max(10, followers * 2 + 4)
    why = f"{followers} following, twice while one is replaced, and 4 for base backups; 10 at least"
    yield setting("max_wal_senders", str(senders), why)
    yield setting("max_replication_slots", str(senders), "one for each sender")
    kept = max(1, tier.storage_gb // 10)
    yield setting("max_slot_wal_keep_size", f"{kept}GB", "a tenth of the disk: a dead follower must not fill it")
    if names := [node.name for node in infrastructure.having("sync_standby")]:
        listed = ", ".join(f'"{name}"' for name in names)
        why = "a commit waits for one of them, also while all are down: the failover tool then takes them off the list"
        yield setting("synchronous_standby_names", f"FIRST 1 ({listed})", why, "nodes of the design")
        yield setting("synchronous_commit", "on", "a commit that was answered is on two machines")
    if infrastructure.having("read_replica"):
        why = "rows that a replica's query still reads are not vacuumed away under it"
        yield setting("hot_standby_feedback", "on", why)


_COSTS = {"nvme": ("1.1", "200"), "ssd": ("1.1", "200"), "network_ssd": ("1.1", "100"), "hdd": ("4", "2")}
_LARGE_ROWS = 100_000_000


def _planner(infrastructure: Infrastructure, brief: Brief | None) -> Iterator[ServerSetting]:
    random, ahead = _COSTS[infrastructure.storage]
    rows = _largest_rows(brief)
    kind = infrastructure.storage.replace("_", " ")
    page = "postgresql.org, Query Planning"
    yield ServerSetting(
        "random_page_cost", random, f"a random page on {kind}, with 1 for the next one", page, "planner"
    )
    resource = "postgresql.org, Resource Consumption"
    yield ServerSetting("effective_io_concurrency", ahead, f"pages asked for ahead on {kind}", resource, "planner")
    target, why = (
        ("200", "the largest table has more than 100 million rows") if rows > _LARGE_ROWS else ("100", "default")
    )
    yield ServerSetting("default_statistics_target", target, why, page, "planner")
    fast = brief is not None and brief.workload.p95_read_ms < 200
    why = (
        "answers are due within milliseconds, and compiling takes longer" if fast else "long queries gain by compiling"
    )
    yield ServerSetting("jit", "off" if fast else "on", why, page, "planner")


def _largest_rows(brief: Brief | None) -> int:
    return max((entity.rows_now for entity in brief.entities), default=0) if brief else 0


def _parallel(tier: InstanceTier) -> Iterator[ServerSetting]:
    def setting(name: str, value: int, why: str) -> ServerSetting:
        return ServerSetting(name, str(value), why, "postgresql.org, Resource Consumption", "parallel work")

    yield setting("max_worker_processes", max(8, tier.cpus), f"one for each of {tier.cpus} CPUs, 8 at least")
    yield setting("max_parallel_workers", max(2, tier.cpus // 2), "half the CPUs: the rest is for short statements")
    yield setting("max_parallel_workers_per_gather", min(4, max(1, tier.cpus // 4)), "a quarter of the CPUs, at most 4")
    yield setting("max_parallel_maintenance_workers", min(4, max(1, tier.cpus // 4)), "for index builds: likewise")


_LIBRARIES = "shared_preload_libraries"
_DEAD_ROWS = 2_000_000


def _autovacuum(memory: Memory, brief: Brief | None) -> Iterator[ServerSetting]:
    def setting(name: str, value: str, why: str) -> ServerSetting:
        return ServerSetting(name, value, why, "postgresql.org, Automatic Vacuuming", "autovacuum")

    rows = _largest_rows(brief)
    share = min(0.2, max(0.002, _DEAD_ROWS / rows)) if rows else 0.2
    yield setting("autovacuum", "on", "dead rows and old transaction ids are never left alone")
    yield setting("autovacuum_max_workers", str(memory.autovacuum_workers), "5 with 16 CPUs or more, else 3")
    yield setting("autovacuum_naptime", "15s", "busy tables are looked at four times a minute")
    why = f"{_DEAD_ROWS:,} dead rows in the largest table of {rows:,} rows start a vacuum; between 0.002 and 0.2"
    yield setting("autovacuum_vacuum_scale_factor", f"{share:.3f}", why)
    yield setting(
        "autovacuum_analyze_scale_factor", f"{max(0.001, share / 2):.3f}", "half of it: plans follow the data"
    )
    yield setting("autovacuum_vacuum_insert_scale_factor", f"{share:.3f}", "the same for tables that only grow")
    yield setting("autovacuum_vacuum_cost_limit", "2000", "ten times the default of 200, which was set for slow disks")


def _logging(brief: Brief | None) -> Iterator[ServerSetting]:
    def setting(name: str, value: str, why: str, page: str = "Error Reporting and Logging") -> ServerSetting:
        return ServerSetting(name, value, why, f"postgresql.org, {page}", "logging")

    why = "twice the larger target of reads and writes" if brief else "no latency target is given"
    yield setting("log_min_duration_statement", slow_statement(brief), why)
    yield setting("log_lock_waits", "on", "a wait longer than deadlock_timeout is told")
    yield setting("log_temp_files", "10MB", "sorts that did not fit into work_mem are told")
    yield setting("log_checkpoints", "on", "shows whether max_wal_size is large enough")
    yield setting("log_autovacuum_min_duration", "10s", "long vacuums are told")
    yield setting("track_io_timing", "on", "plans and statistics tell time spent reading", "Run-time Statistics")


def slow_statement(brief: Brief | None) -> str:
    """From how long on a statement is logged as slow."""
    slow = 2 * max(brief.workload.p95_read_ms, brief.workload.p95_write_ms) if brief else 200
    return f"{math.ceil(slow)}ms"


def _libraries(design: DatabaseDesign) -> Iterator[ServerSetting]:
    """Libraries that only a start of the server loads, and why each."""
    wanted = {"pg_stat_statements": "the playbook of slow queries begins there"}
    if design.upkeep is not None and design.upkeep.jobs:
        wanted["pg_cron"] = "it runs the scheduled jobs"
    for one in access_settings(design.security) if design.security else ():
        if one.name == _LIBRARIES:
            wanted[one.value] = one.why
    why = "; ".join(f"{name}: {reason}" for name, reason in wanted.items())
    page = "postgresql.org, Client Connection Defaults"
    yield ServerSetting(_LIBRARIES, ",".join(wanted), why, page, "logging")
    why = "statements inside functions count too"
    yield ServerSetting("pg_stat_statements.track", "all", why, "postgresql.org, pg_stat_statements", "logging")


def _timeouts() -> Iterator[ServerSetting]:
    """What holds for every session; statements and locks of requests have theirs in security.sql (machines/timeouts).

    REFRESH, REINDEX and a batched delete are long by right, and a server-wide limit would stop them.
    """

    def setting(name: str, value: str, why: str) -> ServerSetting:
        return ServerSetting(name, value, why, "postgresql.org, Client Connection Defaults", "time-outs")

    yield setting("idle_in_transaction_session_timeout", "60s", "a forgotten transaction holds locks and dead rows")
    yield setting("idle_session_timeout", "0", "the pooler keeps idle connections on purpose")
    yield setting("deadlock_timeout", "1s", "default: how long a wait is before deadlocks are looked for")


def _security(security: Security | None, brief: Brief | None, *, managed: bool) -> Iterator[ServerSetting]:
    """Passwords, and what access and audit ask for; before they are decided, what the brief says of encryption."""
    page = "postgresql.org, Connections and Authentication"
    yield ServerSetting("password_encryption", "scram-sha-256", "md5 hashes can be replayed", page, "security")
    for one in access_settings(security) if security else ():
        if one.name != _LIBRARIES:
            service = managed and one.name == "ssl"
            yield ServerSetting(one.name, one.value, one.why, "security of the design", "security", by_service=service)
    if security is None and brief is not None and "in_transit" in brief.compliance.encryption:
        why = "the brief asks for encryption in transit"
        yield ServerSetting("ssl", "on", why, "the brief's compliance", "security", by_service=managed)
        yield ServerSetting("ssl_min_protocol_version", "TLSv1.3", why, "the brief's compliance", "security")
