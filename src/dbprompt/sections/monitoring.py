"""What is watched, when a person is called, and with which tools."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from dbprompt.sections.base import Identifier, Part, Section, Words, asked

__all__ = ["Alert", "Metric", "Monitoring", "Threshold", "Tool"]


class Metric(StrEnum):
    """Figures that dbprompt knows how to query; each has one unit."""

    CPU_PERCENT = "cpu_percent"
    MEMORY_PERCENT = "memory_percent"
    DISK_PERCENT = "disk_percent"
    DISK_QUEUE = "disk_queue"
    CONNECTIONS_PERCENT = "connections_percent"
    REPLICATION_LAG_S = "replication_lag_s"
    DEADLOCKS_PER_HOUR = "deadlocks_per_hour"
    LOCK_WAITS = "lock_waits"
    SLOW_QUERIES_PER_MINUTE = "slow_queries_per_minute"
    MEAN_QUERY_MS = "mean_query_ms"
    P95_QUERY_MS = "p95_query_ms"
    CACHE_HIT_PERCENT = "cache_hit_percent"
    DEAD_ROWS_PERCENT = "dead_rows_percent"
    TRANSACTION_AGE_PERCENT = "transaction_age_percent"
    LONGEST_TRANSACTION_S = "longest_transaction_s"
    BACKUP_AGE_H = "backup_age_h"
    PARTITIONS_AHEAD = "partitions_ahead"
    JOB_FAILURES_PER_DAY = "job_failures_per_day"


class Threshold(Part):
    """From when a metric is a warning, from when it is critical, and what to do."""

    metric: Metric
    warning: Annotated[float, Field(ge=0)]
    critical: Annotated[float, Field(ge=0)]
    action: Annotated[Words, Field(min_length=1)]


class Alert(Part):
    """One alert rule. `metric`: dbprompt writes the expression from the threshold; else `promql` is it."""

    name: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9]*$", max_length=63, description="CamelCase")]
    metric: Metric | None = None
    promql: Annotated[str | None, Field(min_length=1, max_length=2_000)] = None
    severity: Literal["warning", "critical"]
    for_minutes: Annotated[int, Field(ge=0, le=10_080)]
    summary: Annotated[Words, Field(min_length=1)]
    runbook: Annotated[Identifier | None, Field(description="name of the runbook to open")] = None

    @model_validator(mode="after")
    def _one_expression(self) -> Self:
        if (self.metric is None) == (self.promql is None):
            raise ValueError("an alert has a metric or a promql expression; write one and null for the other")
        return self


class Tool(Part):
    """What does one part of the watching."""

    part: Literal["metrics", "query_analysis", "logs", "traces", "paging"]
    tool: Annotated[str, Field(min_length=1, max_length=100)]
    reason: Words = ""


class Monitoring(Section):
    """Thresholds, alerts, tools."""

    thresholds: Annotated[tuple[Threshold, ...], Field(min_length=1, max_length=len(Metric))]
    alerts: Annotated[tuple[Alert, ...], Field(min_length=1, max_length=60)]
    tools: Annotated[tuple[Tool, ...], Field(json_schema_extra=asked)] = ()
