"""What a good design for a brief has to satisfy, typed: one shape for each set of arguments of `briefs/FORMAT.md`.

Expectations are for scoring. They stand beside the brief, never in it, and reach no prompt.
"""

from __future__ import annotations

from typing import get_args

from dbprompt.evals.expectations.access import (
    ConditionalWrite,
    Consistency,
    IndexMethod,
    MaxSecondaryIndexes,
    OfQueries,
    OfQuery,
    TenantLeads,
    WholeDesign,
)
from dbprompt.evals.expectations.base import Expectation
from dbprompt.evals.expectations.layout import (
    CompressAfter,
    Embed,
    FieldKind,
    PartitionedBy,
    PartitionKey,
    Reference,
    RelationshipModeled,
    Retention,
    Rollup,
    SeriesCardinality,
    SizeBound,
    SortLayout,
    StorageEngine,
)
from dbprompt.evals.expectations.operations import (
    Alerts,
    AuditLog,
    BackupPlan,
    CachePolicy,
    CapacityFigure,
    Encrypt,
    EngineForRole,
    Flagged,
    LeastPrivilege,
    MigrationSafe,
    NotUsed,
    Replicas,
    Residency,
    RowSecurity,
    SyncPipeline,
)
from dbprompt.evals.expectations.schema import (
    CheckConstraint,
    ColumnAbsent,
    ColumnType,
    ForeignKey,
    Junction,
    NoOverlap,
    OfAttribute,
    OfAttributes,
    OfEntities,
    OfEntity,
    PrimaryKey,
)

__all__ = [
    "SHAPES",
    "Alerts",
    "AuditLog",
    "BackupPlan",
    "CachePolicy",
    "CapacityFigure",
    "CheckConstraint",
    "ColumnAbsent",
    "ColumnType",
    "CompressAfter",
    "ConditionalWrite",
    "Consistency",
    "Embed",
    "Encrypt",
    "EngineForRole",
    "Expectation",
    "FieldKind",
    "Flagged",
    "ForeignKey",
    "IndexMethod",
    "Junction",
    "LeastPrivilege",
    "MaxSecondaryIndexes",
    "MigrationSafe",
    "NoOverlap",
    "NotUsed",
    "OfAttribute",
    "OfAttributes",
    "OfEntities",
    "OfEntity",
    "OfQueries",
    "OfQuery",
    "PartitionKey",
    "PartitionedBy",
    "PrimaryKey",
    "Reference",
    "RelationshipModeled",
    "Replicas",
    "Residency",
    "Retention",
    "Rollup",
    "RowSecurity",
    "SeriesCardinality",
    "SizeBound",
    "SortLayout",
    "StorageEngine",
    "SyncPipeline",
    "TenantLeads",
    "WholeDesign",
]

_ALL: tuple[type[Expectation], ...] = (
    OfEntities, ColumnType, ColumnAbsent, OfAttributes, PrimaryKey, ForeignKey, Junction, CheckConstraint,
    NoOverlap, OfEntity, OfAttribute, WholeDesign, OfQuery, OfQueries, IndexMethod, MaxSecondaryIndexes,
    TenantLeads, Consistency, ConditionalWrite, PartitionedBy, PartitionKey, SortLayout, SizeBound, FieldKind,
    StorageEngine, Retention, CompressAfter, Rollup, Embed, Reference, RelationshipModeled, SeriesCardinality,
    EngineForRole, NotUsed, SyncPipeline, CachePolicy, CapacityFigure, Replicas, BackupPlan, Alerts, Encrypt,
    RowSecurity, LeastPrivilege, AuditLog, Residency, MigrationSafe, Flagged,
)  # fmt: skip

SHAPES: dict[str, type[Expectation]] = {
    kind: shape for shape in _ALL for kind in get_args(shape.model_fields["check"].annotation)
}
"""The shape of every check kind of the format."""
