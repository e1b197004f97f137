"""Scheduled jobs, stored copies and the questions about indexes, as a chapter and as files below `ops/`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dbprompt.render.background import Background
from dbprompt.render.markdown import cell, code, table
from dbprompt.render.postgres import UnsafeSqlError
from dbprompt.render.postgres.jobs import job_sql, jobs_sql
from dbprompt.render.postgres.upkeep_queries import index_upkeep_sql, upkeep_queries
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.upkeep import Job

__all__ = ["index_upkeep_files", "upkeep_chapter", "upkeep_files"]


def upkeep_files(design: DatabaseDesign, about: Background) -> Mapping[str, str]:
    """`ops/jobs.sql`."""
    if design.upkeep is None:
        return {}
    return {"ops/jobs.sql": jobs_sql(design, title=about.title)}


def index_upkeep_files(design: DatabaseDesign, _: Background) -> Mapping[str, str]:
    """`ops/index_upkeep.sql`, which needs no more than tables to ask about."""
    return {"ops/index_upkeep.sql": index_upkeep_sql()} if design.schema is not None else {}


def upkeep_chapter(design: DatabaseDesign, _: Background) -> Iterator[str]:
    """The chapter."""
    if design.upkeep is None:
        return
    yield "## Upkeep"
    if design.upkeep.jobs:
        yield "Scheduled by pg_cron, in UTC: `ops/jobs.sql`."
        heads = ("Job", "When", "Runs", "Why")
        yield table(heads, (_job(job, design) for job in design.upkeep.jobs))
    else:
        yield "Nothing is scheduled: autovacuum does what these tables need."
    if design.upkeep.sync_triggers:
        yield "### Stored copies that follow"
        rows = (
            (
                code(sync.name),
                code(f"{sync.copy_table}.{sync.copy_column}"),
                f"{', '.join(sync.events)} on {code(sync.table)}",
                code(sync.sql),
            )
            for sync in design.upkeep.sync_triggers
        )
        yield table(("Trigger", "Keeps", "After", "By"), rows)
    yield "### Questions about indexes"
    yield "In `ops/index_upkeep.sql`; ask them once a month, and after a release that brought new queries."
    yield table(("Question", "What its rows mean"), ((code(one.name), cell(one.about)) for one in upkeep_queries()))


def _job(job: Job, design: DatabaseDesign) -> tuple[str, ...]:
    try:
        command = code(job_sql(job, design))
    except UnsafeSqlError as error:
        command = f"withheld: {cell(error.reason)}"
    return code(job.name), code(job.schedule), command, cell(job.reason)
