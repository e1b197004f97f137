"""The health view: one row a figure, read from the server's own views. It runs on PostgreSQL 14 to 18.

Anybody may read it; the figures of other people's sessions and of replication are whole for members of pg_monitor
only, and those of pg_cron for whoever may read its run details. What cannot be read is null.
"""

from __future__ import annotations

from collections.abc import Mapping

from dbprompt.render.background import Background
from dbprompt.render.postgres.base import comment_line, identifier, literal
from dbprompt.sections import DatabaseDesign

__all__ = ["HEALTH_VIEW", "health_files", "health_metrics", "health_statements"]

HEALTH_VIEW = "dbprompt_health"

# The table may not be there, or not be open to whoever asks: a body of plpgsql is only resolved when it runs.
_JOB_FAILURES = """\
CREATE OR REPLACE FUNCTION dbprompt_job_failures() RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT count(*) FROM cron.job_run_details
            WHERE status = 'failed' AND start_time > now() - interval '1 day');
EXCEPTION WHEN undefined_table OR invalid_schema_name OR insufficient_privilege THEN
    RETURN NULL;
END
$$"""
_FIGURES: Mapping[str, str] = {
    "connections": "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'",
    "connections_percent": (
        "SELECT 100.0 * count(*) / current_setting('max_connections')::int FROM pg_stat_activity "
        "WHERE backend_type = 'client backend'"
    ),
    "active_queries": (
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND backend_type = 'client backend' "
        "AND pid <> pg_backend_pid()"
    ),
    "longest_query_s": (
        "SELECT coalesce(max(extract(epoch FROM clock_timestamp() - query_start)), 0) FROM pg_stat_activity "
        "WHERE state = 'active' AND backend_type = 'client backend'"
    ),
    "longest_transaction_s": (
        "SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0) FROM pg_stat_activity "
        "WHERE backend_type = 'client backend'"
    ),
    "lock_waits": "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'",
    "deadlocks": "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()",
    "cache_hit_percent": (
        "SELECT 100.0 * blks_hit / nullif(blks_hit + blks_read, 0) FROM pg_stat_database "
        "WHERE datname = current_database()"
    ),
    "dead_rows_percent": (
        "SELECT coalesce(max(100.0 * n_dead_tup / (n_live_tup + n_dead_tup)), 0) FROM pg_stat_user_tables "
        "WHERE n_live_tup + n_dead_tup > 10000"
    ),
    "tables_to_vacuum": (
        "SELECT count(*) FROM pg_stat_user_tables WHERE n_dead_tup > 10000 AND n_dead_tup > n_live_tup / 5"
    ),
    "transaction_age_percent": (
        "SELECT 100.0 * greatest(max(age(datfrozenxid)), max(mxid_age(datminmxid))) / 2147483648.0 FROM pg_database"
    ),
    "replication_lag_s": (
        "SELECT CASE WHEN pg_is_in_recovery() THEN extract(epoch FROM now() - pg_last_xact_replay_timestamp()) "
        "ELSE (SELECT max(extract(epoch FROM replay_lag)) FROM pg_stat_replication) END"
    ),
    "database_bytes": "SELECT pg_database_size(current_database())",
    "job_failures_per_day": "SELECT dbprompt_job_failures()",
}  # fmt: skip


def health_files(design: DatabaseDesign, background: Background) -> Mapping[str, str]:
    """`ops/health.sql`."""
    if design.monitoring is None:
        return {}
    head = "\n".join(
        (
            comment_line(f"Health of the database, for PostgreSQL 14 and newer; written for {background.version}."),
            f"-- Read it: SELECT metric, value FROM {HEALTH_VIEW};",
        )
    )
    roles = design.security.roles if design.security else ()
    watchers = [identifier(role.name) for role in roles if role.purpose == "monitoring"]
    readers = [f"GRANT SELECT ON {HEALTH_VIEW} TO {name}" for name in watchers]
    body = "\n\n".join(f"{statement};" for statement in (*health_statements(design), *readers))
    return {"ops/health.sql": f"{head}\n\n{body}\n"}


def health_metrics(design: DatabaseDesign) -> tuple[str, ...]:
    """Names of the figures that the view has for a design."""
    return (*_FIGURES, *(("partitions_ahead",) if _by_time(design) else ()))


def health_statements(design: DatabaseDesign) -> tuple[str, str]:
    """The statements that make the view, without closing semicolons."""
    figures = {**_FIGURES, **({"partitions_ahead": _partitions_ahead(_by_time(design))} if _by_time(design) else {})}
    rows = ",\n".join(f"    ({literal(name)}, ({sql})::double precision)" for name, sql in figures.items())
    return _JOB_FAILURES, f"CREATE OR REPLACE VIEW {HEALTH_VIEW} (metric, value) AS\nVALUES\n{rows}"


def _by_time(design: DatabaseDesign) -> tuple[str, ...]:
    """Tables that are partitioned by a time."""
    tables = design.schema.tables if design.schema else ()
    return tuple(table.name for table in tables if table.partitioning and table.partitioning.granularity)


def _partitions_ahead(tables: tuple[str, ...]) -> str:
    """Partitions that begin after now, of the table that has fewest."""
    wanted = ", ".join(f"to_regclass({literal(identifier(name))})" for name in tables)
    found = "pg_inherits i ON i.inhparent = parent.oid LEFT JOIN pg_class c ON c.oid = i.inhrelid"
    begin = "substring(pg_get_expr(c.relpartbound, c.oid) FROM $$FROM \\('([^']+)'\\)$$)"
    counted = f"count(c.oid) FILTER (WHERE {begin}::timestamptz > now()) AS n"
    parents = f"unnest(ARRAY[{wanted}]::oid[]) AS parent (oid)"
    return f"SELECT min(n) FROM (SELECT {counted} FROM {parents} LEFT JOIN {found} GROUP BY parent.oid) AS ahead"
