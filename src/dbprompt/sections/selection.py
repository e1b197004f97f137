"""Which engines: a graded matrix, a decision, and the stores beside the primary one."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from dbprompt.sections.base import Identifier, Part, Section, Words

__all__ = ["Criterion", "Decision", "EngineName", "Grade", "Option", "Selection", "Store"]


class EngineName(StrEnum):
    """Every store that a design may name."""

    POSTGRESQL = "postgresql"
    MYSQL = "mysql"
    MARIADB = "mariadb"
    SQLSERVER = "sqlserver"
    ORACLE = "oracle"
    SQLITE = "sqlite"
    DUCKDB = "duckdb"
    MONGODB = "mongodb"
    CASSANDRA = "cassandra"
    DYNAMODB = "dynamodb"
    REDIS = "redis"
    MEMCACHED = "memcached"
    INFLUXDB = "influxdb"
    TIMESCALEDB = "timescaledb"
    NEO4J = "neo4j"
    NEPTUNE = "neptune"
    ELASTICSEARCH = "elasticsearch"
    OPENSEARCH = "opensearch"
    SOLR = "solr"
    CLICKHOUSE = "clickhouse"
    BIGQUERY = "bigquery"
    SNOWFLAKE = "snowflake"
    REDSHIFT = "redshift"
    KAFKA = "kafka"
    OBJECT_STORE = "object_store"
    CDN = "cdn"


class Criterion(Part):
    """One thing that the choice depends on."""

    name: Identifier
    weight: Annotated[int, Field(ge=1, le=5, description="how much it counts: 1 little, 5 decisive")]
    why: Annotated[Words, Field(description="what in the brief makes it count")]


class Grade(Part):
    """How well one engine meets one criterion."""

    criterion: Identifier
    grade: Annotated[int, Field(ge=0, le=3, description="0 cannot, 1 weak, 2 good, 3 best")]
    reason: Words


class Option(Part):
    """One engine that was weighed; it has one grade for each criterion."""

    engine: EngineName
    grades: tuple[Grade, ...]


class Decision(Part):
    """The primary engine. `against_grades` says why, if another option has more weighted points."""

    engine: EngineName
    rationale: Annotated[Words, Field(min_length=1)]
    against_grades: Words | None = None


class Store(Part):
    """A store beside the primary one, and how its copy is kept in step."""

    engine: EngineName
    role: Literal["cache", "search", "analytics", "time_series", "graph", "queue", "object_store", "delivery"]
    purpose: Annotated[
        Words, Field(min_length=1, description="what is kept there and why the primary should not do it")
    ]
    fed_by: Literal["cdc", "outbox", "stream", "batch_load", "cache_aside", "write_through", "application"]


class Selection(Section):
    """The technology decision."""

    criteria: Annotated[tuple[Criterion, ...], Field(min_length=1)]
    options: Annotated[tuple[Option, ...], Field(min_length=1)]
    decision: Decision
    supporting: tuple[Store, ...] = ()
