"""How data ages: hot, warm, cold, archived, gone; and what erasing a person or tenant means."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dbprompt.sections.base import ColumnName, Days, Part, Section, TableName, Words, asked

__all__ = ["PERIOD_DAYS", "Erasure", "Lifecycle", "TableLifecycle"]

PERIOD_DAYS = {"day": 1, "week": 7, "month": 31, "quarter": 92, "year": 366}
"""The longest that the period of a partition is."""


class TableLifecycle(Part):
    """The life of one table's rows. Ages are counted in days by `age_column`."""

    table: TableName
    age_column: Annotated[ColumnName | None, Field(description="date or timestamp; null if rows do not age")] = None
    hot_days: Annotated[Days | None, Field(description="up to this age a row is read often; null: always")] = None
    warm_days: Annotated[Days | None, Field(description="up to this age now and then; older rows are cold")] = None
    keep_days: Annotated[Days | None, Field(description="rows older than this leave; null: kept for ever")] = None
    leaves_by: Annotated[
        Literal["never", "drop_partition", "delete_in_batches", "with_parent"],
        Field(description="with_parent: a cascading foreign key takes the rows along"),
    ] = "never"
    archive_to: Annotated[
        Literal["object_store", "data_warehouse"] | None,
        Field(description="where rows are copied before they leave; null: nowhere"),
    ] = None
    partitions_ahead: Annotated[
        int, Field(ge=0, le=366, description="future partitions that always exist; 0 if not partitioned by time")
    ] = 0
    reason: Words = ""


class Erasure(Part):
    """What happens in one table when a person or tenant has to be forgotten."""

    entity: Annotated[str, Field(min_length=1, max_length=63, description="the brief's entity that is forgotten")]
    table: TableName
    action: Literal["delete", "anonymize", "keep"]
    columns: Annotated[tuple[ColumnName, ...], Field(description="anonymize: the columns that are overwritten")] = ()
    reason: Annotated[Words, Field(description="keep: the duty that it is kept for")] = ""


class Lifecycle(Section):
    """The life of every large table, and erasure."""

    tables: Annotated[tuple[TableLifecycle, ...], Field(json_schema_extra=asked)] = ()
    erasures: tuple[Erasure, ...] = ()
