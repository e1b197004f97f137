"""Work that the database does by itself: scheduled jobs (pg_cron), and triggers that keep stored copies in step."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from dbprompt.sections.base import CronSchedule, Identifier, Part, Section, SqlStatement, TableName, Words, asked

__all__ = ["Job", "JobKind", "SyncTrigger", "Upkeep"]

JobKind = Literal[
    "create_partitions", "drop_partitions", "delete_expired", "refresh_view", "analyze", "vacuum", "reindex", "sql"
]


class Job(Part):
    """One scheduled job. The SQL of every kind but `sql` is written by dbprompt."""

    name: Identifier
    kind: JobKind
    target: Annotated[
        Identifier | None, Field(description="table or view that it works on; null: the whole database")
    ] = None
    schedule: CronSchedule
    sql: Annotated[SqlStatement | None, Field(description="kind sql: exactly one statement; else null")] = None
    reason: Words = ""

    @model_validator(mode="after")
    def _sql_belongs_to_its_kind(self) -> Self:
        if (self.kind == "sql") != (self.sql is not None):
            raise ValueError("a job of kind sql has one statement, every other kind has null")
        if self.kind not in {"sql", "analyze", "vacuum", "reindex"} and self.target is None:
            raise ValueError(f"a job of kind {self.kind} needs a target")
        return self


class SyncTrigger(Part):
    """Keeps one stored copy in step: after rows of `table` change, `sql` runs once for each of them."""

    name: Identifier
    table: Annotated[TableName, Field(description="the table whose changes are watched")]
    events: Annotated[tuple[Literal["insert", "update", "delete"], ...], Field(min_length=1)]
    copy_table: Annotated[TableName, Field(description="the table that holds the copy")]
    copy_column: Annotated[Identifier, Field(description="the stored copy, as in the schema's denormalized list")]
    sql: Annotated[
        SqlStatement,
        Field(description="one UPDATE of copy_table; NEW.column and OLD.column are the changed row (OLD on delete)"),
    ]


class Upkeep(Section):
    """All jobs and triggers."""

    jobs: Annotated[tuple[Job, ...], Field(json_schema_extra=asked)] = ()
    sync_triggers: tuple[SyncTrigger, ...] = ()
