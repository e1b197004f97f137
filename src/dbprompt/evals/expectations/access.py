"""Expectations of the ways to the data: indexes and statements (`briefs/FORMAT.md`)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dbprompt.evals.expectations.base import Count, Expectation, Name, Names

__all__ = [
    "ConditionalWrite",
    "Consistency",
    "IndexMethod",
    "MaxSecondaryIndexes",
    "OfQueries",
    "OfQuery",
    "TenantLeads",
    "WholeDesign",
]


class WholeDesign(Expectation):
    """About the design as a whole."""

    check: Literal["dialect_valid", "no_redundant_index", "queries_valid", "pooling"]


class OfQuery(Expectation):
    """About one query of the brief."""

    check: Literal["index_for_query", "planner_uses_index", "keyset_pagination"]
    query: Name


class OfQueries(Expectation):
    """About several queries of the brief."""

    check: Literal["query_present", "bounded", "single_partition", "no_full_scan"]
    queries_all: Names


class IndexMethod(Expectation):
    """An index of a method."""

    check: Literal["index_method"]
    entity: Name
    attributes_any: Names
    method_any: Annotated[
        tuple[
            Literal[
                "btree", "gin", "gist", "brin", "hash", "hnsw", "trigram", "fulltext", "spatial", "2dsphere", "geohash",
                "skip",
            ],
            ...,
        ],
        Field(min_length=1),
    ]  # fmt: skip


class MaxSecondaryIndexes(Expectation):
    """How many indexes are too many."""

    check: Literal["max_secondary_indexes"]
    entity: Name
    max: Count


class TenantLeads(Expectation):
    """The tenant stands first in keys and indexes."""

    check: Literal["tenant_leads"]
    attribute: Name


class Consistency(Expectation):
    """How consistent a read is."""

    check: Literal["consistency"]
    query: Name
    level_any: Annotated[
        tuple[
            Literal[
                "strong", "quorum", "local_quorum", "eventual", "linearizable", "read_committed", "repeatable_read",
                "serializable",
            ],
            ...,
        ],
        Field(min_length=1),
    ]  # fmt: skip


class ConditionalWrite(Expectation):
    """A lost update is refused."""

    check: Literal["conditional_write"]
    entity: Name
    by_any: Annotated[
        tuple[
            Literal[
                "condition_expression", "lightweight_transaction", "unique_key", "optimistic_version",
                "compare_and_set", "row_lock",
            ],
            ...,
        ],
        Field(min_length=1),
    ]  # fmt: skip
