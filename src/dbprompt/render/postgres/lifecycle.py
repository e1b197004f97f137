"""Functions that make future partitions and let expired rows go, one of each for a table.

Everything that differs between tables is a constant written by us, and every name goes through regclass or `%I`. A
partition is known by its bounds, never by its name. A new one is made beside the table and attached, which leaves
readers and writers alone; one that has to go is detached first. Both wait five seconds for their lock and leave the
rest to the next run, so that nothing queues behind them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from dbprompt.render.postgres.base import MAX_NAME, Statement, identifier, literal, names, short_name
from dbprompt.render.postgres.routines import dollar_quoted
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.lifecycle import TableLifecycle
from dbprompt.sections.schema import ColumnType, Schema, Table

__all__ = [
    "BATCH_ROWS",
    "delete_routine",
    "drop_routine",
    "is_split_by_time",
    "lifecycle_statements",
    "make_routine",
]

BATCH_ROWS = 5_000
"""Rows that one transaction of a delete takes: some hundred milliseconds of locks, however much has expired."""


@dataclass(frozen=True, slots=True)
class _Grain:
    """A granularity as date_trunc, as an interval, and as the end of a partition's name."""

    unit: str
    step: str
    name: str


_GRAINS = {
    "day": _Grain("day", "1 day", "YYYY_MM_DD"),
    "week": _Grain("week", "7 days", 'IYYY"_w"IW'),
    "month": _Grain("month", "1 month", "YYYY_MM"),
    "quarter": _Grain("quarter", "3 months", 'YYYY"_q"Q'),
    "year": _Grain("year", "1 year", "YYYY"),
}
_LONGEST_END = len("_2026_03_01")
_SQL_TYPES = {ColumnType.DATE: "date", ColumnType.TIMESTAMP: "timestamp", ColumnType.TIMESTAMPTZ: "timestamptz"}
_TODAY = "(now() AT TIME ZONE 'UTC')::date"
_OPTIONS = "SET search_path FROM CURRENT SET timezone = 'UTC' SET datestyle = 'ISO' SET lock_timeout = '5s'"


def make_routine(table: str) -> str:
    """The name of the function that makes partitions of a table."""
    return short_name(table, "_make_partitions")


def drop_routine(table: str) -> str:
    """The name of the function that lets its expired partitions go."""
    return short_name(table, "_drop_partitions")


def delete_routine(table: str) -> str:
    """The name of the procedure that deletes its expired rows."""
    return short_name(table, "_delete_expired")


def is_split_by_time(table: Table | None) -> bool:
    """Whether a table has range partitions of a granularity by a column of time."""
    split = table.partitioning if table else None
    column = table.column(split.column) if table and split else None
    return bool(split and split.strategy == "range" and split.granularity and column and column.type in _SQL_TYPES)


def lifecycle_statements(design: DatabaseDesign) -> Iterator[Statement]:
    """The functions that the section `lifecycle` promises, where the schema allows them."""
    for at, life in enumerate(design.lifecycle.tables if design.lifecycle else ()):
        table = design.schema.table(life.table) if design.schema else None
        if table is not None:
            for sql in _routines(life, table, design.schema):
                yield Statement(sql, "lifecycle", f"/tables/{at}", f"lifecycle of {life.table}", "function")


def _routines(life: TableLifecycle, table: Table, schema: Schema | None) -> Iterator[str]:
    if life.partitions_ahead and is_split_by_time(table):
        yield _make(table, life.partitions_ahead)
    if life.leaves_by == "drop_partition" and life.keep_days and is_split_by_time(table):
        yield _drop(table, life.keep_days, archived=life.archive_to is not None)
    column = table.column(life.age_column or "")
    if life.leaves_by == "delete_in_batches" and life.keep_days and column and column.type in _SQL_TYPES:
        yield _delete(table, column.name, column.type, life.keep_days)


def _make(table: Table, ahead: int) -> str:
    split, kind = table.partitioning, _kind(table)
    grain = _GRAINS[(split.granularity if split else None) or "month"]
    body = f"""
DECLARE
    parent CONSTANT regclass := {literal(identifier(table.name))};
    first date := date_trunc('{grain.unit}', today);
    after date;
    bounds text;
    part text;
    made integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock({_lock(table)});
    FOR step IN 0..ahead LOOP
        after := first + interval '{grain.step}';
        bounds := format('FOR VALUES FROM (%L) TO (%L)', first::{kind}, after::{kind});
        part := {literal(_stem(table) + "_")} || to_char(first, {literal(grain.name)});
        IF NOT EXISTS (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                       WHERE i.inhparent = parent AND pg_get_expr(c.relpartbound, c.oid) = bounds) THEN
            EXECUTE format('CREATE TABLE IF NOT EXISTS %I (LIKE %s INCLUDING DEFAULTS INCLUDING GENERATED'
                           ' INCLUDING CONSTRAINTS INCLUDING STORAGE)', part, parent);
            -- Not the one who runs this: whoever alters a table has to own its partitions too.
            EXECUTE format('ALTER TABLE %I OWNER TO %s', part,
                           (SELECT relowner::regrole FROM pg_class WHERE oid = parent));
            IF EXISTS (SELECT FROM pg_class WHERE oid = parent AND relrowsecurity) THEN  -- not by its own name either
                EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', part);
            END IF;
            EXECUTE format('ALTER TABLE %s ATTACH PARTITION %I %s', parent, part, bounds);
            made := made + 1;
        END IF;
        first := after;
    END LOOP;
    RETURN made;
END
"""
    return _function(make_routine(table.name), "ahead", ahead, body)


def _drop(table: Table, keep_days: int, *, archived: bool) -> str:
    kind = _kind(table)
    leaves = "" if archived else "        EXECUTE format('DROP TABLE %s', part);\n"
    body = f"""
DECLARE
    parent CONSTANT regclass := {literal(identifier(table.name))};
    part text;
    gone integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock({_lock(table)});
    FOR part IN
        SELECT c.oid::regclass::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = parent
          AND substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \\(''([^'']+)''\\)')::{kind}
              <= (today - keep_days)::{kind}
        ORDER BY c.relname
    LOOP
        EXECUTE format('ALTER TABLE %s DETACH PARTITION %s', parent, part);
{leaves}        gone := gone + 1;
    END LOOP;
    RETURN gone;
END
"""
    return _function(drop_routine(table.name), "keep_days", keep_days, body)


def _function(name: str, argument: str, default: int, body: str) -> str:
    return (
        f"CREATE FUNCTION {identifier(name)}({argument} integer DEFAULT {default}, today date DEFAULT {_TODAY})\n"
        f"    RETURNS integer LANGUAGE plpgsql\n    {_OPTIONS}\nAS {dollar_quoted(body)}"
    )


_CUTOFFS = {
    ColumnType.DATE: f"{_TODAY} - keep_days",
    ColumnType.TIMESTAMP: "now() AT TIME ZONE 'UTC' - make_interval(days => keep_days)",
    ColumnType.TIMESTAMPTZ: "now() - make_interval(days => keep_days)",
}


def _delete(table: Table, column: str, kind: ColumnType, keep_days: int) -> str:
    """A procedure, so that each batch is a transaction of its own; that rules out settings of its own."""
    name, age, key = identifier(table.name), identifier(column), names(table.primary_key or (column,))
    body = f"""
DECLARE
    gone bigint;
BEGIN
    LOOP
        DELETE FROM {name} WHERE ({key}) IN (
            SELECT {key} FROM {name} WHERE {age} < {_CUTOFFS[kind]}
            ORDER BY {age} LIMIT batch_rows FOR UPDATE SKIP LOCKED);
        GET DIAGNOSTICS gone = ROW_COUNT;
        COMMIT;
        EXIT WHEN gone = 0;
    END LOOP;
END
"""
    return (
        f"CREATE PROCEDURE {identifier(delete_routine(table.name))}"
        f"(keep_days integer DEFAULT {keep_days}, batch_rows integer DEFAULT {BATCH_ROWS})\n"
        f"    LANGUAGE plpgsql\nAS {dollar_quoted(body)}"
    )


def _kind(table: Table) -> str:
    column = table.column(table.partitioning.column) if table.partitioning else None
    return _SQL_TYPES[column.type] if column else "timestamptz"


def _stem(table: Table) -> str:
    """What a partition's name begins with: the table's, cut where the end would not fit behind it."""
    if len(table.name) <= MAX_NAME - _LONGEST_END:
        return table.name
    mark = "_" + hashlib.sha256(table.name.encode()).hexdigest()[:6]
    return table.name[: MAX_NAME - _LONGEST_END - len(mark)] + mark


def _lock(table: Table) -> str:
    return f"hashtextextended({literal('partitions of ' + table.name)}, 0)"
