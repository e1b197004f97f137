"""Finding out why a query is slow: questions to the server's own views, then EXPLAIN of each query of the design."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dbprompt.brief import Brief
from dbprompt.render.background import Background
from dbprompt.render.postgres.base import comment_line, identifier, literal, short_name
from dbprompt.render.queries import QueryStatement, query_statements
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.queries import Parameter, Query
from dbprompt.sections.schema import ColumnType

__all__ = ["INVESTIGATION", "Question", "analysis_files", "target_ms"]


@dataclass(frozen=True, slots=True)
class Question:
    """One question to the server, and what to read from its answer. It runs on PostgreSQL 14 to 18."""

    title: str
    reading: str
    sql: str
    extension: str = ""


INVESTIGATION: tuple[Question, ...] = (
    Question(
        "Which statements take the time?",
        "total_s: where the server's time goes; mean_ms: which statement is slow; hit_percent: found in memory",
        """SELECT queryid, calls, round(total_exec_time::numeric / 1000, 1) AS total_s,
       round(mean_exec_time::numeric, 2) AS mean_ms, round(stddev_exec_time::numeric, 2) AS stddev_ms, rows,
       round(100.0 * shared_blks_hit / nullif(shared_blks_hit + shared_blks_read, 0), 1) AS hit_percent,
       left(regexp_replace(query, '\\s+', ' ', 'g'), 100) AS query
FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY total_exec_time DESC LIMIT 20""",
        "pg_stat_statements",
    ),
    Question(
        "What runs right now, and what does it wait for?",
        "no wait_event: it computes; IO: it reads; Lock: see the next question; Client: the application is slow",
        """SELECT pid, usename, state, wait_event_type, wait_event, clock_timestamp() - query_start AS running,
       clock_timestamp() - xact_start AS in_transaction, left(query, 100) AS query
FROM pg_stat_activity WHERE backend_type = 'client backend' AND state <> 'idle' AND pid <> pg_backend_pid()
ORDER BY query_start LIMIT 50""",
    ),
    Question(
        "Who blocks whom?",
        "end the oldest blocker's transaction, not its victims; idle in transaction: the application forgot to commit",
        """SELECT waiting.pid AS waiting_pid, left(waiting.query, 60) AS waiting_query, blocker.pid AS blocking_pid,
       blocker.state AS blocking_state, clock_timestamp() - blocker.xact_start AS blocking_since,
       left(blocker.query, 60) AS blocking_query
FROM pg_stat_activity AS waiting
CROSS JOIN LATERAL unnest(pg_blocking_pids(waiting.pid)) AS blocked_by (pid)
JOIN pg_stat_activity AS blocker ON blocker.pid = blocked_by.pid ORDER BY blocker.xact_start""",
    ),
    Question(
        "Which locks are held and waited for?",
        "AccessExclusiveLock on a large table: a change of the schema waits in front of everybody else",
        """SELECT l.pid, l.relation::regclass AS relation, l.mode, l.granted, clock_timestamp() - a.xact_start AS since
FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.relation IS NOT NULL AND l.pid <> pg_backend_pid() AND (NOT l.granted OR l.mode LIKE '%Exclusive%')
ORDER BY l.granted, a.xact_start LIMIT 50""",
    ),
    Question(
        "Which tables are read as a whole?",
        "many rows_per_scan on a large table: an index is missing, or a query does not match one",
        """SELECT relname, seq_scan, seq_tup_read / nullif(seq_scan, 0) AS rows_per_scan, idx_scan, n_live_tup
FROM pg_stat_user_tables WHERE seq_scan > 0 ORDER BY seq_tup_read DESC LIMIT 20""",
    ),
    Question(
        "Are rows dead, and statistics old?",
        "many changed rows since the last ANALYZE: estimates are wrong; many dead rows: vacuum does not keep up",
        """SELECT relname, n_live_tup, n_dead_tup, n_mod_since_analyze,
       greatest(last_analyze, last_autoanalyze) AS analyzed, greatest(last_vacuum, last_autovacuum) AS vacuumed
FROM pg_stat_user_tables ORDER BY n_mod_since_analyze + n_dead_tup DESC LIMIT 20""",
    ),
    Question(
        "Does it sort on disk, or find its data in memory?",
        "temp_bytes that grow: raise work_mem for that query, or give it an index in its order",
        """SELECT datname, temp_files, pg_size_pretty(temp_bytes) AS temp_bytes, deadlocks,
       round(100.0 * blks_hit / nullif(blks_hit + blks_read, 0), 2) AS hit_percent
FROM pg_stat_database WHERE datname = current_database()""",
    ),
)

_SAMPLES = {
    ColumnType.BOOLEAN: "true", ColumnType.TEXT: "a", ColumnType.VARCHAR: "a", ColumnType.CHAR: "a",
    ColumnType.CITEXT: "a", ColumnType.UUID: "00000000-0000-7000-8000-000000000001", ColumnType.DATE: "2026-01-01",
    ColumnType.TIME: "12:00", ColumnType.TIMESTAMP: "2026-01-01 00:00", ColumnType.TIMESTAMPTZ: "2026-01-01 00:00Z",
    ColumnType.INTERVAL: "1 day", ColumnType.JSON: "{}", ColumnType.INET: "192.0.2.1", ColumnType.CIDR: "192.0.2.0/24",
    ColumnType.SMALLINT: "1", ColumnType.INTEGER: "1", ColumnType.BIGINT: "1", ColumnType.DECIMAL: "1",
    ColumnType.REAL: "1", ColumnType.DOUBLE: "1",
}  # fmt: skip


def analysis_files(design: DatabaseDesign, background: Background) -> Mapping[str, str]:
    """`queries/analysis.sql`: for psql, once the section runbooks stands."""
    if design.runbooks is None:
        return {}
    parts = ["\n".join(_head()), *_questions(), *_explained(design, background.brief)]
    return {"queries/analysis.sql": "\n\n".join(parts) + "\n"}


def target_ms(brief: Brief | None, query: str) -> float | None:
    """Within how many milliseconds 95 of 100 calls have to answer; None without a brief."""
    need = brief.query(query) if brief else None
    if need is not None and need.p95_ms is not None:
        return need.p95_ms
    if brief is None or need is None:
        return None
    writes = need.kind in {"insert", "update", "delete"}
    return brief.workload.p95_write_ms if writes else brief.workload.p95_read_ms


def _head() -> Iterator[str]:
    yield "-- Why is it slow? For psql, on a database that has the schema and real rows."
    yield "-- Compare in each plan: Actual Total Time with the target; Actual Rows with Plan Rows (a factor of ten:"
    yield "-- ANALYZE the table); Shared Read Blocks with Shared Hit Blocks; Rows Removed by Filter; Sort Method"
    yield "-- (external: on disk)."
    yield "-- EXPLAIN (ANALYZE) runs the statement: what writes is rolled back here."


def _questions() -> Iterator[str]:
    for number, question in enumerate(INVESTIGATION, start=1):
        lines = [f"-- {number}. {question.title}", f"-- {question.reading}"]
        if question.extension:
            found = "SELECT count(*) = 1 AS has_it FROM pg_extension WHERE extname ="
            lines += [f"{found} {literal(question.extension)} \\gset", "\\if :has_it", f"{question.sql};", "\\else"]
            lines += [f"\\echo '{question.extension} is not installed'", "\\endif"]
        else:
            lines.append(f"{question.sql};")
        yield "\n".join(lines)


def _explained(design: DatabaseDesign, brief: Brief | None) -> Iterator[str]:
    by_id = {query.id: query for query in design.queries.queries} if design.queries else {}
    for statement in query_statements(design):
        yield "\n".join(_explain(by_id[statement.id], statement, design, brief))


def _explain(query: Query, statement: QueryStatement, design: DatabaseDesign, brief: Brief | None) -> Iterator[str]:
    parameters = query.next_page_parameters if statement.is_next_page else query.parameters
    target = target_ms(brief, query.id)
    wanted = f": 95 of 100 calls within {target:g} ms" if target else ""
    name = identifier(short_name(statement.name, "_explained"))
    writes = not statement.sql.lstrip().lower().startswith("select")
    yield comment_line(f"{statement.name}{wanted}")
    for number, parameter in enumerate(parameters, start=1):
        yield f"\\set p{number} {_psql_text(_sample(parameter, design))}"
        yield comment_line(f"  p{number}: {parameter.name}; put in a real value")
    yield statement.prepare.replace(f"PREPARE {identifier(statement.name)}", f"PREPARE {name}", 1)
    yield ";"
    values = ", ".join(f":'p{number}'" for number in range(1, len(parameters) + 1))
    yield from ["BEGIN;"] if writes else []
    yield f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE {name}{f' ({values})' if values else ''};"
    yield from ["ROLLBACK;"] if writes else []
    yield f"DEALLOCATE {name};"


def _psql_text(value: str) -> str:
    """A text as psql's own commands read it: on one line, with backslashes and quotes doubled."""
    doubled = " ".join(value.split()).replace("\\", "\\\\").replace("'", "''")
    return f"'{doubled}'"


def _sample(parameter: Parameter, design: DatabaseDesign) -> str:
    """A value of the parameter's type, for want of a real one."""
    if parameter.array:
        return "{}"
    if parameter.type is ColumnType.ENUM:
        enums = design.schema.enums if design.schema else ()
        return next((enum.values[0] for enum in enums if enum.name == parameter.enum), "")
    return _SAMPLES.get(parameter.type, "")
