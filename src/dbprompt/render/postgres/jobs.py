"""Scheduled jobs as pg_cron takes them: the SQL of every kind is written here, that of `sql` is the design's own."""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.render.postgres.base import UnsafeSqlError, comment_line, identifier, literal, single_statement
from dbprompt.render.postgres.lifecycle import delete_routine, drop_routine, make_routine
from dbprompt.render.postgres.routines import dollar_quoted
from dbprompt.render.postgres.views import refresh_sql
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.upkeep import Job

__all__ = ["job_sql", "jobs_sql"]


def job_sql(job: Job, design: DatabaseDesign) -> str:
    """What a job runs: one statement, outside of a transaction block.

    Raises:
        UnsafeSqlError: the SQL of a job of kind `sql` is not one statement.
    """
    target = identifier(job.target) if job.target else ""
    match job.kind:
        case "create_partitions":
            return f"SELECT {identifier(make_routine(job.target or ''))}()"
        case "drop_partitions":
            return f"SELECT {identifier(drop_routine(job.target or ''))}()"
        case "delete_expired":
            return f"CALL {identifier(delete_routine(job.target or ''))}()"
        case "refresh_view":
            views = design.views.views if design.views else ()
            known = next((view for view in views if view.name == job.target), None)
            return refresh_sql(known) if known else f"REFRESH MATERIALIZED VIEW {target}"
        case "analyze":
            return f"ANALYZE {target}".rstrip()
        case "vacuum":
            return f"VACUUM (ANALYZE) {target}".rstrip()
        case "reindex":
            return f"REINDEX TABLE CONCURRENTLY {target}" if target else "REINDEX SCHEMA CONCURRENTLY public"
        case "sql":
            return single_statement(job.sql or "")


def jobs_sql(design: DatabaseDesign, *, title: str) -> str:
    """All jobs as one file, which can be run again after a change: a name that is known is scheduled anew.

    Raises:
        UnsafeSqlError: with section and place, a job's SQL is not one statement.
    """
    return "\n\n".join(_parts(design, title)) + "\n"


def _parts(design: DatabaseDesign, title: str) -> Iterator[str]:
    yield "\n".join(
        (
            comment_line(f"Scheduled jobs of {title}"),
            "-- For pg_cron: run it as its owner in the application's database, after schema.sql. Times are in UTC",
            "-- (cron.timezone is GMT unless somebody changed it). A job keeps its name, so running this again",
            "-- replaces it; what is no longer listed goes by SELECT cron.unschedule('name').",
            "CREATE EXTENSION IF NOT EXISTS pg_cron;",
        )
    )
    for at, job in enumerate(design.upkeep.jobs if design.upkeep else ()):
        try:
            command = job_sql(job, design)
        except UnsafeSqlError as error:
            raise error.at("upkeep", f"/jobs/{at}/sql") from error
        reason = comment_line(job.reason) + "\n" if job.reason else ""
        arguments = f"{literal(job.name)}, {literal(job.schedule)}, {dollar_quoted(command, 'job')}"
        yield f"{reason}SELECT cron.schedule({arguments});"
    if design.security is not None and design.security.recorded:
        yield (
            "-- Changes that were recorded longer ago than security says leave the record (audit.sql).\n"
            f"SELECT cron.schedule('audit_purge', '50 3 * * *', {dollar_quoted('CALL audit.purge_all()', 'job')});"
        )
