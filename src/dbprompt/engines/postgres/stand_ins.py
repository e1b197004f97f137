"""Stand-ins for extensions that are not here: enough for the statements around them to be checked, and labelled so.

A stand-in for TimescaleDB has its functions with their parameters; they look up the table and the column that they
are given, and do nothing. A stand-in for a foreign data wrapper has its name and no handler: servers and foreign
tables can be declared on it, and nothing can be reached.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dbprompt.engines.postgres.wire import Wire

__all__ = ["FUNCTIONS", "stand_in"]

_RESULT = "TABLE (hypertable_id int, schema_name name, table_name name, created boolean)"
_COLUMN = """
CREATE FUNCTION public.dbprompt_time_column(relation regclass, wanted name) RETURNS void LANGUAGE plpgsql AS $$
DECLARE kind text; broken text;
BEGIN
  SELECT format_type(a.atttypid, NULL) INTO kind FROM pg_attribute a
    WHERE a.attrelid = relation AND a.attname = wanted AND a.attnum > 0 AND NOT a.attisdropped;
  IF kind IS NULL THEN
    RAISE undefined_column USING MESSAGE = format('column "%s" does not exist', wanted);
  END IF;
  IF kind NOT IN ('timestamp with time zone', 'timestamp without time zone', 'date', 'bigint', 'integer', 'smallint',
                  'uuid') THEN
    RAISE invalid_parameter_value USING MESSAGE = format('invalid type for dimension "%s"', wanted);
  END IF;
  SELECT i.indexrelid::regclass::text INTO broken FROM pg_index i WHERE i.indrelid = relation AND i.indisunique
    AND NOT EXISTS (SELECT 1 FROM pg_attribute a
      WHERE a.attrelid = relation AND a.attname = wanted AND a.attnum = ANY (i.indkey)) LIMIT 1;
  IF broken IS NOT NULL THEN
    RAISE invalid_table_definition USING MESSAGE =
      format('cannot create a unique index without the column "%s" (used in partitioning): %s', wanted, broken);
  END IF;
END $$"""
_TIMESCALEDB = (
    _COLUMN,
    "CREATE TYPE public.dimension_info AS (column_name name, kind text)",
    "CREATE FUNCTION public.by_range(column_name name, partition_interval anyelement DEFAULT NULL::bigint, "
    "partition_func regproc DEFAULT NULL) RETURNS public.dimension_info LANGUAGE sql AS "
    "$$ SELECT ROW(column_name, 'range')::public.dimension_info $$",
    "CREATE FUNCTION public.by_hash(column_name name, number_partitions int, partition_func regproc DEFAULT NULL) "
    "RETURNS public.dimension_info LANGUAGE sql AS $$ SELECT ROW(column_name, 'hash')::public.dimension_info $$",
    "CREATE FUNCTION public.create_hypertable(relation regclass, dimension public.dimension_info, "
    "create_default_indexes boolean DEFAULT true, if_not_exists boolean DEFAULT false, "
    f"migrate_data boolean DEFAULT false) RETURNS {_RESULT} LANGUAGE sql AS "
    "$$ SELECT public.dbprompt_time_column(relation, (dimension).column_name); SELECT 1, 'public'::name, "
    "relation::text::name, true $$",
    "CREATE FUNCTION public.create_hypertable(relation regclass, time_column_name name, "
    "partitioning_column name DEFAULT NULL, number_partitions int DEFAULT NULL, "
    "associated_schema_name name DEFAULT NULL, associated_table_prefix name DEFAULT NULL, "
    "chunk_time_interval anyelement DEFAULT NULL::bigint, create_default_indexes boolean DEFAULT true, "
    "if_not_exists boolean DEFAULT false, partitioning_func regproc DEFAULT NULL, "
    "migrate_data boolean DEFAULT false, chunk_target_size text DEFAULT NULL) "
    f"RETURNS {_RESULT} LANGUAGE sql AS $$ SELECT public.dbprompt_time_column(relation, time_column_name); "
    "SELECT 1, 'public'::name, relation::text::name, true $$",
    "CREATE FUNCTION public.add_dimension(hypertable regclass, column_name name, number_partitions int DEFAULT NULL, "
    "chunk_time_interval interval DEFAULT NULL, if_not_exists boolean DEFAULT false) RETURNS int LANGUAGE sql AS "
    "$$ SELECT public.dbprompt_time_column(hypertable, column_name); SELECT 1 $$",
    *(
        f"CREATE FUNCTION public.{name}({first} regclass, {after} {kind}, if_not_exists boolean DEFAULT false, "
        "schedule_interval interval DEFAULT NULL, initial_start timestamptz DEFAULT NULL, timezone text DEFAULT NULL) "
        "RETURNS int LANGUAGE sql AS $$ SELECT 1 $$"
        for name, first, after in (
            ("add_retention_policy", "relation", "drop_after"),
            ("add_compression_policy", "hypertable", "compress_after"),
        )
        for kind in ("interval", "bigint")
    ),
    "CREATE FUNCTION public.add_continuous_aggregate_policy(continuous_aggregate regclass, start_offset interval, "
    "end_offset interval, schedule_interval interval, if_not_exists boolean DEFAULT false) RETURNS int LANGUAGE sql "
    "AS $$ SELECT 1 $$",
    "CREATE FUNCTION public.set_chunk_time_interval(hypertable regclass, chunk_time_interval interval) RETURNS void "
    "LANGUAGE sql AS $$ SELECT $$",
    "CREATE FUNCTION public.show_chunks(relation regclass, older_than interval DEFAULT NULL, "
    "newer_than interval DEFAULT NULL) RETURNS SETOF regclass LANGUAGE sql AS $$ SELECT relation WHERE false $$",
    "CREATE FUNCTION public.drop_chunks(relation regclass, older_than interval DEFAULT NULL, "
    "newer_than interval DEFAULT NULL) RETURNS SETOF text LANGUAGE sql AS $$ SELECT ''::text WHERE false $$",
    *(
        f"CREATE FUNCTION public.time_bucket(bucket_width interval, ts {kind}{extra}) RETURNS {kind} "
        f"LANGUAGE sql IMMUTABLE AS $$ SELECT date_bin(bucket_width, ts, '2000-01-03')::{kind} $$"
        for kind, extra in (
            ("timestamptz", ""), ("timestamp", ""), ("date", ""), ("timestamptz", ", timezone text"),
        )
    ),
    "CREATE FUNCTION public.time_bucket(bucket_width bigint, ts bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS "
    "$$ SELECT ts / bucket_width * bucket_width $$",
    "CREATE FUNCTION public.dbprompt_first(state anyelement, value anyelement, at timestamptz) RETURNS anyelement "
    "LANGUAGE sql IMMUTABLE AS $$ SELECT coalesce(state, value) $$",
    *(
        f"CREATE AGGREGATE public.{name}(anyelement, timestamptz) (SFUNC = public.dbprompt_first, STYPE = anyelement)"
        for name in ("first", "last")
    ),
)  # fmt: skip
FUNCTIONS = frozenset(
    {
        "add_compression_policy", "add_continuous_aggregate_policy", "add_dimension", "add_retention_policy", "by_hash",
        "by_range", "create_hypertable", "drop_chunks", "first", "last", "set_chunk_time_interval", "show_chunks",
        "time_bucket",
    }
)  # fmt: skip


def stand_in(name: str, admin: Wire, owner: str) -> str:
    """Puts something in the place of an extension; says what, or nothing if there is nothing honest to put."""
    if name == "timescaledb":
        for sql in _TIMESCALEDB:
            admin.ask(sql)
        return "stand-ins look up the table and column of its calls, and do nothing"
    if name.endswith("_fdw"):
        admin.ask(f'CREATE FOREIGN DATA WRAPPER "{name}"')
        admin.ask(f'GRANT USAGE ON FOREIGN DATA WRAPPER "{name}" TO {owner}')
        return "a wrapper of its name that reaches nothing stands in for it"
    return ""
