"""Expectations of the schema: types, keys, constraints (`briefs/FORMAT.md`)."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from dbprompt.evals.expectations.base import Expectation, Name, Names, Texts

__all__ = [
    "CheckConstraint",
    "ColumnAbsent",
    "ColumnType",
    "ForeignKey",
    "Junction",
    "NoOverlap",
    "OfAttribute",
    "OfAttributes",
    "OfEntities",
    "OfEntity",
    "PrimaryKey",
]


class OfEntities(Expectation):
    """About all entities, or about these."""

    check: Literal["money_exact", "timestamps_zoned", "fk_indexed"]
    entities_all: Names | None = None


class ColumnType(Expectation):
    """The type of one attribute."""

    check: Literal["column_type"]
    entity: Name
    attribute: Name
    family_any: Annotated[
        tuple[
            Literal[
                "exact_numeric", "int64", "int32", "float", "text", "unicode_text", "date", "timestamp_zoned",
                "boolean", "json", "uuid", "spatial", "vector", "binary", "range", "inet",
            ],
            ...,
        ],
        Field(min_length=1),
    ]  # fmt: skip


class ColumnAbsent(Expectation):
    """Names that no column has."""

    check: Literal["column_absent"]
    patterns_all: Texts

    @field_validator("patterns_all")
    @classmethod
    def _are_patterns(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
        return patterns


class OfAttributes(Expectation):
    """About attributes of one entity together."""

    check: Literal["not_null", "unique", "dedupe"]
    entity: Name
    attributes_all: Names


class PrimaryKey(Expectation):
    """The key of an entity."""

    check: Literal["primary_key"]
    entity: Name
    contains_all: Names | None = None
    first: Name | None = None
    forbid_any: tuple[Literal["random_uuid_clustered", "int32", "natural_mutable"], ...] = ()


class ForeignKey(Expectation):
    """A declared reference."""

    check: Literal["foreign_key"]
    from_: Name = Field(alias="from")
    to: Name
    on_delete_any: tuple[Literal["restrict", "no_action", "cascade", "set_null", "set_default"], ...] = ()


class Junction(Expectation):
    """A table between two entities."""

    check: Literal["junction"]
    left: Name
    right: Name


class CheckConstraint(Expectation):
    """A condition that the database holds."""

    check: Literal["check_constraint"]
    entity: Name
    attributes_any: Names
    kind_any: Annotated[
        tuple[Literal["enum", "positive", "non_negative", "range", "cross_column"], ...], Field(min_length=1)
    ]


class NoOverlap(Expectation):
    """Spans with the same key do not overlap."""

    check: Literal["no_overlap"]
    entity: Name
    key_all: Names
    span_all: Names
    by_any: Annotated[
        tuple[Literal["exclusion_constraint", "unique_slot", "serializable_transaction", "locking_read"], ...],
        Field(min_length=1),
    ]


class OfEntity(Expectation):
    """About one entity as a whole."""

    check: Literal[
        "system_versioned", "append_only", "partition_automation", "erasure", "supernode_guard", "mapping_strict"
    ]
    entity: Name


class OfAttribute(Expectation):
    """About one attribute."""

    check: Literal["denormal_sync"]
    entity: Name
    attribute: Name
