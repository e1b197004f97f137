"""What to ask a running server about its indexes: unused, missing, duplicate, invalid, bloated; and about dead rows.

The counters are the server's own since they were last reset, and each replica has its own: an index that is unused here
may serve all reads there.
"""

from __future__ import annotations

from dataclasses import dataclass

from dbprompt.render.postgres.base import comment_line

__all__ = ["UpkeepLimits", "UpkeepQuery", "index_upkeep_sql", "upkeep_queries"]


@dataclass(frozen=True, slots=True)
class UpkeepLimits:
    """From where on something is worth a look.

    Args:
        index_bytes: smaller indexes are left alone.
        table_rows: smaller tables may be read whole.
        seq_share: share of reads that go through the whole table.
        bloat_share: share of an index's pages that a fresh one would not need.
        dead_share: share of a table's rows that are dead.
    """

    index_bytes: int = 1 << 20
    table_rows: int = 10_000
    seq_share: float = 0.1
    bloat_share: float = 0.4
    dead_share: float = 0.1


@dataclass(frozen=True, slots=True)
class UpkeepQuery:
    """One question.

    Args:
        name: of the question.
        about: what its rows mean, and what to do.
        sql: one SELECT.
    """

    name: str
    about: str
    sql: str


def upkeep_queries(limits: UpkeepLimits = UpkeepLimits()) -> tuple[UpkeepQuery, ...]:
    """All questions. They run on PostgreSQL 14 and newer, read only, as a member of pg_monitor."""
    return (
        UpkeepQuery(
            "unused_indexes",
            "Never scanned since the counters began, and no key needs them. Look on the replicas too, then drop.",
            f"""\
SELECT s.schemaname, s.relname AS table_name, s.indexrelname AS index_name,
       pg_size_pretty(pg_relation_size(s.indexrelid)) AS size, d.stats_reset AS counted_since
FROM pg_stat_user_indexes s
JOIN pg_index i ON i.indexrelid = s.indexrelid
CROSS JOIN pg_stat_database d
WHERE d.datname = current_database() AND s.idx_scan = 0 AND NOT i.indisunique
  AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = s.indexrelid)
  AND pg_relation_size(s.indexrelid) >= {limits.index_bytes}
ORDER BY pg_relation_size(s.indexrelid) DESC""",
        ),
        UpkeepQuery(
            "missing_indexes",
            "Large tables that are often read whole. Find the statement in pg_stat_statements, then index it.",
            f"""\
SELECT schemaname, relname AS table_name, seq_scan, seq_tup_read / seq_scan AS rows_a_scan,
       coalesce(idx_scan, 0) AS index_scans, n_live_tup AS live_rows
FROM pg_stat_user_tables
WHERE seq_scan > 0 AND n_live_tup >= {limits.table_rows}
  AND seq_scan > {limits.seq_share} * (seq_scan + coalesce(idx_scan, 0))
ORDER BY seq_tup_read DESC""",
        ),
        UpkeepQuery(
            "unindexed_foreign_keys",
            "Deleting a parent, or joining from it, reads the whole child table. Index the referring columns.",
            f"""\
SELECT k.conrelid::regclass AS table_name, k.conname AS foreign_key, pg_get_constraintdef(k.oid) AS definition
FROM pg_constraint k
JOIN pg_class c ON c.oid = k.conrelid
WHERE k.contype = 'f' AND k.conparentid = 0 AND c.reltuples >= {limits.table_rows}
  AND NOT EXISTS (
      SELECT FROM pg_index i
      WHERE i.indrelid = k.conrelid AND i.indisvalid AND i.indpred IS NULL
        AND (i.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey)
ORDER BY c.reltuples DESC""",
        ),
        UpkeepQuery(
            "duplicate_indexes",
            "The same keys, order, method and predicate more than once. Keep the one behind a constraint, else any.",
            """\
SELECT i.indrelid::regclass AS table_name, array_agg(i.indexrelid::regclass ORDER BY i.indexrelid) AS indexes,
       pg_size_pretty(sum(pg_relation_size(i.indexrelid))) AS size
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname NOT IN ('pg_catalog', 'pg_toast')
GROUP BY i.indrelid, c.relam, i.indkey::text, i.indnkeyatts, i.indclass::text, i.indcollation::text,
         i.indoption::text, pg_get_expr(i.indexprs, i.indrelid), pg_get_expr(i.indpred, i.indrelid)
HAVING count(*) > 1
ORDER BY sum(pg_relation_size(i.indexrelid)) DESC""",
        ),
        UpkeepQuery(
            "invalid_indexes",
            "Left by a CREATE or REINDEX CONCURRENTLY that failed: they cost writes and serve nothing. Drop them.",
            """\
SELECT i.indrelid::regclass AS table_name, i.indexrelid::regclass AS index_name,
       i.indisvalid AS is_valid, i.indisready AS is_ready
FROM pg_index i
WHERE NOT i.indisvalid OR NOT i.indisready
ORDER BY 1, 2""",
        ),
        UpkeepQuery(
            "bloated_indexes",
            "B-trees with more pages than a fresh one would need, estimated from the widths that ANALYZE saw. "
            "REINDEX INDEX CONCURRENTLY.",
            f"""\
SELECT table_name, index_name, pg_size_pretty(bytes) AS size, pg_size_pretty(fresh_bytes) AS fresh_size,
       round((1 - fresh_bytes / bytes::numeric), 2) AS bloat_share
FROM (
    SELECT i.indrelid::regclass AS table_name, i.indexrelid::regclass AS index_name,
           pg_relation_size(i.indexrelid) AS bytes,
           ((1 + ceil(c.reltuples * (12 + sum(coalesce(s.stawidth, 8) + 7) / 8 * 8) / (8192 * 0.9))) * 8192)::bigint
               AS fresh_bytes
    FROM pg_index i
    JOIN pg_class c ON c.oid = i.indexrelid
    JOIN pg_am m ON m.oid = c.relam AND m.amname = 'btree'
    JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname NOT IN ('pg_catalog', 'pg_toast')
    CROSS JOIN LATERAL unnest(i.indkey::int2[]) AS key (attnum)
    LEFT JOIN LATERAL (
        SELECT avg_width AS stawidth FROM pg_stats p
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = key.attnum AND a.attname = p.attname
        WHERE p.schemaname = n.nspname AND p.tablename = (SELECT relname FROM pg_class WHERE oid = i.indrelid)
        ORDER BY p.inherited DESC LIMIT 1
    ) s ON true
    WHERE c.reltuples > 0
    GROUP BY i.indrelid, i.indexrelid, c.reltuples
) sizes
WHERE bytes >= {limits.index_bytes} AND fresh_bytes < {1 - limits.bloat_share} * bytes
ORDER BY bytes - fresh_bytes DESC""",
        ),
        UpkeepQuery(
            "dead_rows",
            "Rows that vacuum has not taken away yet. Look for long transactions, else make autovacuum eager for them.",
            f"""\
SELECT schemaname, relname AS table_name, n_live_tup AS live_rows, n_dead_tup AS dead_rows,
       round(n_dead_tup / greatest(n_live_tup + n_dead_tup, 1)::numeric, 3) AS dead_share,
       greatest(last_vacuum, last_autovacuum) AS vacuumed, greatest(last_analyze, last_autoanalyze) AS analyzed
FROM pg_stat_user_tables
WHERE n_dead_tup >= {limits.table_rows} * {limits.dead_share}
  AND n_dead_tup >= {limits.dead_share} * greatest(n_live_tup, 1)
ORDER BY n_dead_tup DESC""",
        ),
    )


def index_upkeep_sql(limits: UpkeepLimits = UpkeepLimits()) -> str:
    """All questions as one file."""
    head = (
        "-- Questions to a running server about its indexes. They only read; ask them as a member of pg_monitor.\n"
        "-- Counters are this server's own since stats_reset; each replica counts for itself."
    )
    parts = [f"-- {one.name}\n{comment_line(one.about)}\n{one.sql};" for one in upkeep_queries(limits)]
    return "\n\n".join([head, *parts]) + "\n"
