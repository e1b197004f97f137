"""Backups, and the proof that they can be restored."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from dbprompt.sections.base import CronSchedule, Days, Identifier, Part, Section, Words, asked

__all__ = ["Backup", "BackupPlan", "RestoreTest"]


class BackupPlan(Part):
    """One kind of backup."""

    name: Identifier
    method: Annotated[
        Literal["wal_archive", "base_backup", "snapshot", "logical_dump"],
        Field(description="wal_archive is continuous; with a base_backup or snapshot it gives point-in-time recovery"),
    ]
    tool: Literal["managed_service", "pgbackrest", "wal_g", "barman", "pg_basebackup", "pg_dump"]
    schedule: Annotated[CronSchedule | None, Field(description="null for wal_archive, which is continuous")] = None
    archive_every_s: Annotated[
        int | None, Field(ge=1, le=86_400, description="wal_archive: a segment is shipped at least this often")
    ] = None
    keep_days: Days
    storage: Literal["local", "object_store", "cold_storage"]
    region: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
    encrypted: bool = True

    @model_validator(mode="after")
    def _timing_fits_method(self) -> Self:
        if (self.method == "wal_archive") != (self.schedule is None):
            raise ValueError("wal_archive is continuous and has no schedule; every other method needs one")
        if (self.method == "wal_archive") != (self.archive_every_s is not None):
            raise ValueError("archive_every_s belongs to wal_archive, and wal_archive needs it")
        return self


class RestoreTest(Part):
    """How it is known that a backup can be restored."""

    schedule: CronSchedule
    what: Annotated[Words, Field(min_length=1, description="what is restored, and what is compared afterwards")]


class Backup(Section):
    """All backups."""

    plans: Annotated[tuple[BackupPlan, ...], Field(min_length=1, max_length=20)]
    restore_mb_per_s: Annotated[
        float, Field(gt=0, le=100_000, description="assumed speed of a restore, decimal megabytes a second")
    ]
    restore_test: Annotated[RestoreTest | None, Field(json_schema_extra=asked)] = None
    reason: Words = ""
