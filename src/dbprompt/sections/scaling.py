"""How the database grows: when a larger machine, where reads go, whether to shard, and the phases of the road."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dbprompt.sections.base import Identifier, Part, QueryId, Section, TableName, Words, asked
from dbprompt.sections.monitoring import Metric

__all__ = ["Phase", "ReadRoute", "ScaleTrigger", "Scaling", "Sharding"]


class ScaleTrigger(Part):
    """A measured sign that says when to take the next tier."""

    metric: Metric
    above: Annotated[float, Field(ge=0, description="in the metric's own unit")]
    for_minutes: Annotated[int, Field(ge=1, le=43_200)]
    action: Annotated[Words, Field(min_length=1)]


class ReadRoute(Part):
    """Where some reads go."""

    name: Identifier
    queries: Annotated[tuple[QueryId, ...], Field(min_length=1, description="ids of the brief's queries")]
    to: Literal["primary", "read_replica", "cache", "materialized_view", "warehouse"]
    by: Literal["direct_connection", "load_balancer", "application", "pooler"]
    lag_tolerance_s: Annotated[float, Field(ge=0, description="how old the answer may be, in seconds")]


class Sharding(Part):
    """Whether rows are spread over servers, by what, or why not."""

    approach: Literal["none", "hash", "range", "directory"]
    key: Annotated[Identifier | None, Field(description="the column that every sharded table has")] = None
    tables: Annotated[tuple[TableName, ...], Field(description="the tables that are spread")] = ()
    reason: Annotated[Words, Field(min_length=1)]
    gains: tuple[Words, ...] = ()
    costs: tuple[Words, ...] = ()
    revisit_at_gb: Annotated[
        float | None, Field(ge=1, description="approach none: raw data at which to think again")
    ] = None


class Phase(Part):
    """One phase of growth; the last one has no end."""

    name: Words
    up_to_records: Annotated[int | None, Field(ge=1, description="records of all entities; null for the last")] = None
    tier: Annotated[Identifier, Field(description="tier of the primary in this phase")]
    read_replicas: Annotated[int, Field(ge=0, le=100)] = 0
    changes: Annotated[tuple[Words, ...], Field(description="what is done on entering the phase")] = ()


class Scaling(Section):
    """Growth."""

    triggers: Annotated[tuple[ScaleTrigger, ...], Field(json_schema_extra=asked)] = ()
    routes: Annotated[tuple[ReadRoute, ...], Field(json_schema_extra=asked)] = ()
    sharding: Sharding
    phases: Annotated[tuple[Phase, ...], Field(min_length=2)]
