"""The library of metrics: the unit of each, which way is worse, its PromQL expression, and where its series come from.

The names are those of postgres_exporter and node_exporter as their sources write them; whether an exporter that runs
somewhere exposes them is not known here. What neither has comes from our own health view (`ops/health.sql`, exported
by `ops/exporter_queries.yaml`), from `ops/backup.sh`, or from the application.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from dbprompt.sections.monitoring import Metric

__all__ = ["BACKUP_METRIC", "HEALTH_METRIC", "METRICS", "MetricFacts", "Series", "bad_value", "good_value"]

HEALTH_METRIC = "dbprompt_health_value"
BACKUP_METRIC = "dbprompt_backup_last_success_timestamp_seconds"
_INSTANCE = {"instance": "db"}
_SLOW = "SLOW_SECONDS"


@dataclass(frozen=True, slots=True)
class Series:
    """One series of a unit test: its value at the start, and what a minute adds."""

    name: str
    start: float
    per_minute: float = 0.0


@dataclass(frozen=True, slots=True)
class MetricFacts:
    """What is known of a metric.

    Args:
        unit: of its value.
        worse: the direction in which it gets worse.
        source: what exposes the series.
        meaning: what the figure says.
        promql: its expression; one value an instance, or one in all.
        series: input under which the expression has a given value, for unit tests.
        labels: of that value.
    """

    unit: Literal["percent", "count", "seconds", "milliseconds", "hours"]
    worse: Literal["higher", "lower"]
    source: Literal["node_exporter", "postgres_exporter", "health view", "backup script", "application"]
    meaning: str
    promql: str
    series: Callable[[float], tuple[Series, ...]]
    labels: Mapping[str, str] = field(default_factory=lambda: _INSTANCE)

    def expression(self, slow_ms: float) -> str:
        """The expression, with the time from which a statement counts as slow."""
        return self.promql.replace(_SLOW, f"{slow_ms / 1000:g}")


def bad_value(metric: Metric, threshold: float) -> float:
    """A value beyond a threshold, on its worse side."""
    facts = METRICS[metric]
    if facts.worse == "lower":
        return threshold / 2
    return (threshold + 100) / 2 if facts.unit == "percent" else threshold * 1.5 + 1


def good_value(metric: Metric, threshold: float) -> float:
    """A value that is well on the good side of a threshold."""
    facts = METRICS[metric]
    if facts.worse == "higher":
        return threshold / 2
    return (threshold + 100) / 2 if facts.unit == "percent" else threshold * 1.5 + 1


def _gauge(name: str) -> Callable[[float], tuple[Series, ...]]:
    return lambda value: (Series(name, value),)


def _share(part: str, whole: str) -> Callable[[float], tuple[Series, ...]]:
    """Two gauges of which the first is so many percent of the second."""
    return lambda value: (Series(part, value), Series(whole, 100))


def _health(metric: Metric, unit: Literal["percent", "count"], worse: Literal["higher", "lower"], meaning: str,
            by: str = "max") -> MetricFacts:  # fmt: skip
    series = f'{HEALTH_METRIC}{{metric="{metric}"}}'
    tested = f'{HEALTH_METRIC}{{metric="{metric}",instance="db"}}'
    return MetricFacts(unit, worse, "health view", meaning, f"{by} by (instance) ({series})", _gauge(tested))


METRICS: Mapping[Metric, MetricFacts] = {
    Metric.CPU_PERCENT: MetricFacts(
        "percent", "higher", "node_exporter", "processor time that was not idle, over five minutes",
        '100 * (1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[5m])))',
        lambda v: (Series('node_cpu_seconds_total{mode="idle",cpu="0",instance="db"}', 0, 60 * (1 - v / 100)),),
    ),
    Metric.MEMORY_PERCENT: MetricFacts(
        "percent", "higher", "node_exporter", "memory that neither programs nor caches could give back",
        "100 * (1 - max by (instance) (node_memory_MemAvailable_bytes) / "
        "max by (instance) (node_memory_MemTotal_bytes))",
        lambda v: (
            Series('node_memory_MemAvailable_bytes{instance="db"}', 100 - v),
            Series('node_memory_MemTotal_bytes{instance="db"}', 100),
        ),
    ),
    Metric.DISK_PERCENT: MetricFacts(
        "percent", "higher", "node_exporter", "the fullest file system of the server",
        '100 * max by (instance) (1 - node_filesystem_avail_bytes{fstype!~"tmpfs|overlay|squashfs"} / '
        'node_filesystem_size_bytes{fstype!~"tmpfs|overlay|squashfs"})',
        lambda v: (
            Series('node_filesystem_avail_bytes{fstype="ext4",mountpoint="/data",instance="db"}', 100 - v),
            Series('node_filesystem_size_bytes{fstype="ext4",mountpoint="/data",instance="db"}', 100),
        ),
    ),
    Metric.DISK_QUEUE: MetricFacts(
        "count", "higher", "node_exporter", "requests that wait for the busiest disk, on average over five minutes",
        "max by (instance) (rate(node_disk_io_time_weighted_seconds_total[5m]))",
        lambda v: (Series('node_disk_io_time_weighted_seconds_total{device="sda",instance="db"}', 0, 60 * v),),
    ),
    Metric.CONNECTIONS_PERCENT: MetricFacts(
        "percent", "higher", "postgres_exporter", "connections of the server in use, of max_connections",
        "100 * sum by (instance) (pg_stat_activity_count) / max by (instance) (pg_settings_max_connections)",
        _share('pg_stat_activity_count{state="idle",instance="db"}', 'pg_settings_max_connections{instance="db"}'),
    ),
    Metric.REPLICATION_LAG_S: MetricFacts(
        "seconds", "higher", "postgres_exporter", "how far a standby or replica is behind the primary",
        "max by (instance) (pg_replication_lag_seconds)",
        _gauge('pg_replication_lag_seconds{instance="db"}'),
    ),
    Metric.DEADLOCKS_PER_HOUR: MetricFacts(
        "count", "higher", "postgres_exporter", "transactions that were ended because they waited for each other",
        "sum by (instance) (increase(pg_stat_database_deadlocks[1h]))",
        lambda v: (Series('pg_stat_database_deadlocks{datname="app",instance="db"}', 0, v / 60),),
    ),
    Metric.LOCK_WAITS: _health(Metric.LOCK_WAITS, "count", "higher", "sessions that wait for a lock right now"),
    Metric.SLOW_QUERIES_PER_MINUTE: MetricFacts(
        "count", "higher", "postgres_exporter",
        "calls a minute of statements whose mean time is above the brief's target; needs pg_stat_statements and "
        "--collector.stat_statements",
        "60 * sum by (instance) (rate(pg_stat_statements_calls_total[5m]) and (rate(pg_stat_statements_seconds_total"
        f"[5m]) / rate(pg_stat_statements_calls_total[5m]) > {_SLOW}))",
        lambda v: (
            Series('pg_stat_statements_calls_total{queryid="1",instance="db"}', 0, v),
            Series('pg_stat_statements_seconds_total{queryid="1",instance="db"}', 0, v * 3600),
        ),
    ),
    Metric.MEAN_QUERY_MS: MetricFacts(
        "milliseconds", "higher", "postgres_exporter",
        "mean time of all statements; needs pg_stat_statements and --collector.stat_statements",
        "1000 * sum by (instance) (rate(pg_stat_statements_seconds_total[5m])) / sum by (instance) "
        "(rate(pg_stat_statements_calls_total[5m]))",
        lambda v: (
            Series('pg_stat_statements_seconds_total{queryid="1",instance="db"}', 0, v),
            Series('pg_stat_statements_calls_total{queryid="1",instance="db"}', 0, 1000),
        ),
    ),
    Metric.P95_QUERY_MS: MetricFacts(
        "milliseconds", "higher", "application",
        "95th percentile as the application sees it; the server keeps no histogram, so the application has to export "
        "OpenTelemetry's db.client.operation.duration",
        "1000 * histogram_quantile(0.95, sum by (le) (rate(db_client_operation_duration_seconds_bucket[5m])))",
        lambda v: (
            Series(f'db_client_operation_duration_seconds_bucket{{le="{v / 950:.10g}"}}', 0, 600),
            Series('db_client_operation_duration_seconds_bucket{le="+Inf"}', 0, 600),
        ),
        {},
    ),
    Metric.CACHE_HIT_PERCENT: MetricFacts(
        "percent", "lower", "postgres_exporter", "reads that the server's own memory answered, over five minutes",
        "100 * sum by (instance) (rate(pg_stat_database_blks_hit[5m])) / (sum by (instance) "
        "(rate(pg_stat_database_blks_hit[5m])) + sum by (instance) (rate(pg_stat_database_blks_read[5m])))",
        lambda v: (
            Series('pg_stat_database_blks_hit{datname="app",instance="db"}', 0, 600 * v),
            Series('pg_stat_database_blks_read{datname="app",instance="db"}', 0, 600 * (100 - v)),
        ),
    ),
    Metric.DEAD_ROWS_PERCENT: MetricFacts(
        "percent", "higher", "postgres_exporter", "dead rows of the worst table that has more than 10,000 rows",
        "100 * max by (instance) (pg_stat_user_tables_n_dead_tup / (pg_stat_user_tables_n_live_tup + "
        "pg_stat_user_tables_n_dead_tup > 10000))",
        lambda v: (
            Series('pg_stat_user_tables_n_dead_tup{relname="t",instance="db"}', 1000 * v),
            Series('pg_stat_user_tables_n_live_tup{relname="t",instance="db"}', 1000 * (100 - v)),
        ),
    ),
    Metric.TRANSACTION_AGE_PERCENT: _health(
        Metric.TRANSACTION_AGE_PERCENT, "percent", "higher",
        "transaction numbers used up, of the two billion after which the server stops taking writes",
    ),
    Metric.LONGEST_TRANSACTION_S: MetricFacts(
        "seconds", "higher", "postgres_exporter", "the transaction that is open longest",
        "max by (instance) (pg_stat_activity_max_tx_duration)",
        _gauge('pg_stat_activity_max_tx_duration{state="active",instance="db"}'),
    ),
    Metric.BACKUP_AGE_H: MetricFacts(
        "hours", "higher", "backup script",
        "since a backup last succeeded; ops/backup.sh writes it for node_exporter's textfile collector, a managed "
        "service's backups have to report it the same way; never reported counts as never made",
        f"(time() - (max({BACKUP_METRIC}) or vector(0))) / 3600",
        lambda v: (Series(f'{BACKUP_METRIC}{{plan="p",instance="db"}}', -3600 * v, 60),),
        {},
    ),
    Metric.PARTITIONS_AHEAD: _health(
        Metric.PARTITIONS_AHEAD, "count", "lower",
        "future partitions of the table that has fewest; without any, inserts fail", by="min",
    ),
    Metric.JOB_FAILURES_PER_DAY: _health(
        Metric.JOB_FAILURES_PER_DAY, "count", "higher", "runs of scheduled jobs that failed in the last 24 hours",
    ),
}  # fmt: skip
"""All metrics; a test holds it complete."""
