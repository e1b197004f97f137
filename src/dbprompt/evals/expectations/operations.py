"""Expectations of what runs beside the tables (`briefs/FORMAT.md`)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from dbprompt.evals.expectations.base import Count, Expectation, Figure, Name, Names, Text, Texts

__all__ = [
    "Alerts",
    "AuditLog",
    "BackupPlan",
    "CachePolicy",
    "CapacityFigure",
    "Encrypt",
    "EngineForRole",
    "Flagged",
    "LeastPrivilege",
    "MigrationSafe",
    "NotUsed",
    "Replicas",
    "Residency",
    "RowSecurity",
    "SyncPipeline",
]


class EngineForRole(Expectation):
    """The engine of a role."""

    check: Literal["engine_for_role"]
    role: Literal["system_of_record", "cache", "search", "analytics", "time_series", "graph", "queue", "object_store"]
    any_of: Texts


class NotUsed(Expectation):
    """What the design does without."""

    check: Literal["not_used"]
    features_all: Annotated[
        tuple[
            Literal[
                "sharding", "second_database", "elasticsearch", "kafka", "microservice_per_table", "read_replica"
            ],
            ...,
        ],
        Field(min_length=1),
    ]  # fmt: skip


class SyncPipeline(Expectation):
    """How one store is fed from another."""

    check: Literal["sync_pipeline"]
    from_: Text = Field(alias="from")
    to: Text
    by_any: Annotated[tuple[Literal["cdc", "outbox", "stream", "batch_load"], ...], Field(min_length=1)]
    lag_max_s: Figure


class CachePolicy(Expectation):
    """A cached thing that ends."""

    check: Literal["cache_policy"]
    what_any: Names
    ttl_max_s: Figure


class CapacityFigure(Expectation):
    """A projected figure."""

    check: Literal["capacity"]
    metric: Literal["gb_3y", "rows_3y"]
    entity: Name | None = None
    expected: Figure
    tolerance_pct: Figure


class Replicas(Expectation):
    """Copies on other servers."""

    check: Literal["replicas"]
    min: Count
    synchronous_min: Count = 0
    zones_min: Count = 0


class BackupPlan(Expectation):
    """Backups and their proof."""

    check: Literal["backup"]
    pitr: bool
    rpo_max_s: Figure
    rto_max_s: Figure


class Alerts(Expectation):
    """What is watched."""

    check: Literal["alerts"]
    about_all: Annotated[
        tuple[
            Literal[
                "replication_lag", "disk", "connections", "slow_queries", "partition_missing", "cache_hit_rate",
                "hot_partition", "lock_waits", "ingest_lag", "backup_age", "index_lag",
            ],
            ...,
        ],
        Field(min_length=1),
    ]  # fmt: skip


class Encrypt(Expectation):
    """What is encrypted."""

    check: Literal["encrypt"]
    at_rest: bool
    in_transit: bool
    fields_all: tuple[Annotated[str, StringConstraints(pattern=r"^\w+\.\w+$")], ...] = ()


class RowSecurity(Expectation):
    """Row policies."""

    check: Literal["row_security"]
    entities_all: Names
    attribute: Name


class LeastPrivilege(Expectation):
    """Roles."""

    check: Literal["least_privilege"]
    roles_min: Count


class AuditLog(Expectation):
    """What is recorded, for how long."""

    check: Literal["audit_log"]
    entities_all: Names
    min_days: Count


class Residency(Expectation):
    """Where data may be."""

    check: Literal["residency"]
    regions_all: Texts


class MigrationSafe(Expectation):
    """How the schema changes while it is used."""

    check: Literal["migration_safe"]
    require_any: tuple[
        Literal["concurrent_index", "not_valid_then_validate", "batched_backfill", "lock_timeout", "online_ddl"], ...
    ] = ()
    forbid_all: tuple[
        Literal["blocking_index", "table_rewrite", "drop_without_deprecation", "set_not_null_full_scan"], ...
    ] = ()


class Flagged(Expectation):
    """What the design says of itself."""

    check: Literal["flagged"]
    about_any: Texts
