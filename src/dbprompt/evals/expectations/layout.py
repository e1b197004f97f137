"""Expectations of how rows are laid out and leave (`briefs/FORMAT.md`)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from dbprompt.evals.expectations.base import Count, Expectation, Figure, Name, Names, Texts

__all__ = [
    "CompressAfter",
    "Embed",
    "FieldKind",
    "PartitionKey",
    "PartitionedBy",
    "Reference",
    "RelationshipModeled",
    "Retention",
    "Rollup",
    "SeriesCardinality",
    "SizeBound",
    "SortLayout",
    "StorageEngine",
]


class PartitionedBy(Expectation):
    """How an entity is split."""

    check: Literal["partitioned_by"]
    entity: Name
    attribute: Name
    strategy_any: Annotated[
        tuple[Literal["range", "list", "hash", "hypertable", "time_unit"], ...], Field(min_length=1)
    ]
    granularity_any: tuple[Literal["hour", "day", "week", "month", "quarter", "year"], ...] = ()


class PartitionKey(Expectation):
    """The distribution key."""

    check: Literal["partition_key"]
    entity: Name
    contains_all: Names
    forbid_all: tuple[Name, ...] = ()


class SortLayout(Expectation):
    """Clustering columns and sort keys."""

    check: Literal["sort_layout"]
    entity: Name
    leads_with: Annotated[
        tuple[Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*( (asc|desc))?$")], ...],
        Field(min_length=1),
    ]


class SizeBound(Expectation):
    """A computed size."""

    check: Literal["size_bound"]
    entity: Name
    unit: Literal["item_kb", "partition_mb", "shard_gb", "document_kb"]
    max: Figure
    min: Figure = 0


class FieldKind(Expectation):
    """What kind of field attributes are."""

    check: Literal["field_kind"]
    entity: Name
    attributes_all: Names
    kind_any: Texts


class StorageEngine(Expectation):
    """The storage engine of an entity."""

    check: Literal["storage_engine"]
    entity: Name
    any_of: Texts


class Retention(Expectation):
    """When and how old rows leave."""

    check: Literal["retention"]
    entity: Name
    max_days: Count | None = None
    min_days: Count | None = None
    by_any: Annotated[
        tuple[Literal["drop_partition", "ttl", "lifecycle_policy", "archive", "delete_job"], ...], Field(min_length=1)
    ]

    @model_validator(mode="after")
    def _has_a_bound(self) -> Retention:
        if self.max_days is None and self.min_days is None:
            raise ValueError("retention needs max_days, min_days or both")
        return self


class CompressAfter(Expectation):
    """From which age rows are stored cheaply."""

    check: Literal["compress_after"]
    entity: Name
    max_days: Count


class Rollup(Expectation):
    """A stored aggregate."""

    check: Literal["rollup"]
    entity: Name
    grain_any: Annotated[tuple[Literal["minute", "hour", "day"], ...], Field(min_length=1)]


class Embed(Expectation):
    """A child inside its parent's document."""

    check: Literal["embed"]
    parent: Name
    child: Name
    max_items: Count


class Reference(Expectation):
    """A child beside its parent's document."""

    check: Literal["reference"]
    parent: Name
    child: Name


class RelationshipModeled(Expectation):
    """A relationship of a graph."""

    check: Literal["relationship_modeled"]
    from_: Name = Field(alias="from")
    to: Name


class SeriesCardinality(Expectation):
    """How many series there are."""

    check: Literal["series_cardinality"]
    entity: Name
    max: Count
