"""The tables of a sandbox's database, read from its catalogues: columns, keys, indexes and partitions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeAlias

from pydantic import TypeAdapter

__all__ = ["Ask", "ColumnEntry", "ForeignKeyEntry", "IndexEntry", "TableEntry", "Tables", "read_tables"]

Ask: TypeAlias = Callable[..., list[tuple[str | None, ...]]]


@dataclass(frozen=True, slots=True)
class ColumnEntry:
    """One column.

    Args:
        number: its attribute number.
        type: name of its base type, `int8`; of its elements if it is an array.
        array: whether it is an array.
        builtin: whether values of it are read by PostgreSQL's own code: a type of `pg_catalog`, or an enum.
        labels: an enum's values in order.
        length: of varchar(n) and char(n), else 0.
        default: SQL text of the default, empty if it has none.
        identity: whether the database numbers the rows.
    """

    number: int
    name: str
    type: str
    array: bool
    builtin: bool
    labels: tuple[str, ...]
    length: int
    nullable: bool
    default: str
    identity: bool


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One index.

    Args:
        keys: attribute numbers of its keys, 0 for an expression.
        include: attribute numbers of the columns that it carries along.
        primary: whether it stands behind the primary key.
        constraint: whether it stands behind a key or another constraint.
        predicate: SQL text of a partial index's predicate, else empty.
        file: its file below the data directory; empty for the index of a partitioned table.
        parent: number of the partitioned table's index that it is a part of, else 0.
    """

    oid: int
    name: str
    method: str
    keys: tuple[int, ...]
    include: tuple[int, ...]
    unique: bool
    primary: bool
    constraint: bool
    predicate: str
    file: str
    parent: int


@dataclass(frozen=True, slots=True)
class ForeignKeyEntry:
    """One foreign key: attribute numbers here, and the number of the table there."""

    columns: tuple[int, ...]
    references: int


@dataclass(frozen=True, slots=True)
class TableEntry:
    """One table, partitioned table, partition or materialized view.

    Args:
        schema: the schema that it lies in.
        relation: its name there.
        kind: `table`, `partitioned` or `view` (materialized).
        file: its file below the data directory; empty if it is partitioned.
        parent: number of the table that it is a partition of, else 0.
        bound: `FOR VALUES ...` of a partition.
        split_columns: attribute numbers of the partition key.
        checks: texts of its check constraints.
    """

    oid: int
    schema: str
    relation: str
    kind: Literal["table", "partitioned", "view"]
    file: str
    parent: int
    bound: str
    split_columns: tuple[int, ...]
    columns: tuple[ColumnEntry, ...]
    indexes: tuple[IndexEntry, ...]
    foreign_keys: tuple[ForeignKeyEntry, ...]
    checks: tuple[str, ...]

    @property
    def name(self) -> str:
        """As a message names it: with its schema unless that is public."""
        return self.relation if self.schema == "public" else f"{self.schema}.{self.relation}"

    def column(self, number: int) -> ColumnEntry | None:
        """The column of this attribute number."""
        return next((column for column in self.columns if column.number == number), None)

    def names(self, numbers: tuple[int, ...]) -> tuple[str, ...]:
        """Names of columns; an expression is `(...)`."""
        found = (self.column(number) for number in numbers)
        return tuple(column.name if column else "(...)" for column in found)


@dataclass(frozen=True, slots=True)
class Tables:
    """All tables of a database."""

    entries: tuple[TableEntry, ...]

    def of(self, oid: int) -> TableEntry | None:
        """The table of this number."""
        return next((table for table in self.entries if table.oid == oid), None)

    def named(self, schema: str, relation: str) -> TableEntry | None:
        """The table of this name; without a schema, the first one."""
        return next((t for t in self.entries if t.relation == relation and schema in {"", t.schema}), None)

    def top(self, table: TableEntry) -> TableEntry:
        """The table itself, or the partitioned table above all its partitions."""
        parent = self.of(table.parent) if table.parent else None
        return self.top(parent) if parent else table

    def parts(self, table: TableEntry) -> tuple[TableEntry, ...]:
        """The partitions right below a table."""
        return tuple(one for one in self.entries if one.parent == table.oid)

    def leaves(self, table: TableEntry) -> Iterator[TableEntry]:
        """The partitions below a table that hold rows; the table itself if it is not partitioned."""
        if table.kind != "partitioned":
            yield table
        for part in self.parts(table):
            yield from self.leaves(part)

    @property
    def tops(self) -> tuple[TableEntry, ...]:
        """The tables that are no partition."""
        return tuple(table for table in self.entries if not table.parent)

    def top_index(self, name: str) -> tuple[TableEntry, IndexEntry] | None:
        """An index by name with its table; of a part on a partition, the partitioned table's."""
        by_oid = {index.oid: (table, index) for table in self.entries for index in table.indexes}
        found = next((pair for pair in by_oid.values() if pair[1].name == name), None)
        while found is not None and found[1].parent in by_oid:
            found = by_oid[found[1].parent]
        return found

    def with_parts(self, index: IndexEntry) -> tuple[IndexEntry, ...]:
        """An index and all its parts on partitions."""
        found = [index]
        for one in found:
            found += [part for table in self.entries for part in table.indexes if part.parent == one.oid]
        return tuple(found)


def read_tables(ask: Ask) -> Tables:
    """Reads the catalogues. `ask` is a connection that resolves names in `pg_catalog` only."""
    rows = ask(_QUERY)
    return Tables(_adapter().validate_json(rows[0][0] or "[]"))


@cache
def _adapter() -> TypeAdapter[tuple[TableEntry, ...]]:
    return TypeAdapter(tuple[TableEntry, ...])


# One question, answered as JSON under the names of the fields above.
_QUERY = """
SELECT json_agg(one ORDER BY one.oid) FROM (
  SELECT c.oid::int8, n.nspname AS schema, c.relname AS relation,
    CASE c.relkind WHEN 'p' THEN 'partitioned' WHEN 'm' THEN 'view' ELSE 'table' END AS kind,
    coalesce(pg_relation_filepath(c.oid), '') AS file,
    coalesce((SELECT i.inhparent::int8 FROM pg_inherits i WHERE i.inhrelid = c.oid AND c.relispartition), 0) AS parent,
    coalesce(pg_get_expr(c.relpartbound, c.oid), '') AS bound,
    coalesce((SELECT to_json(p.partattrs::int2[]) FROM pg_partitioned_table p WHERE p.partrelid = c.oid), '[]')
      AS split_columns,
    coalesce((SELECT json_agg(json_build_object(
        'number', a.attnum, 'name', a.attname, 'type', t.typname, 'array', u.typelem <> 0 AND u.typlen = -1,
        'builtin', t.typtype = 'e' OR (t.typtype = 'b' AND t.typnamespace = 'pg_catalog'::regnamespace),
        'labels', coalesce((SELECT json_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum e
                            WHERE e.enumtypid = t.oid), '[]'),
        'length', CASE WHEN t.typname IN ('varchar', 'bpchar') AND a.atttypmod > 4 THEN a.atttypmod - 4 ELSE 0 END,
        'nullable', NOT a.attnotnull, 'default', coalesce(pg_get_expr(d.adbin, d.adrelid), ''),
        'identity', a.attidentity <> '') ORDER BY a.attnum)
      FROM pg_attribute a JOIN pg_type u ON u.oid = a.atttypid
      JOIN pg_type t ON t.oid = CASE WHEN u.typelem <> 0 AND u.typlen = -1 THEN u.typelem ELSE u.oid END
      LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '[]') AS columns,
    coalesce((SELECT json_agg(json_build_object(
        'oid', x.indexrelid::int8, 'name', r.relname, 'method', m.amname,
        'keys', to_json((x.indkey::int2[])[0:x.indnkeyatts - 1]),
        'include', to_json((x.indkey::int2[])[x.indnkeyatts:x.indnatts - 1]),
        'unique', x.indisunique, 'primary', x.indisprimary,
        'constraint', EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = x.indexrelid AND k.contype <> 'f'),
        'predicate', coalesce(pg_get_expr(x.indpred, x.indrelid), ''),
        'file', coalesce(pg_relation_filepath(x.indexrelid), ''),
        'parent', coalesce((SELECT i.inhparent::int8 FROM pg_inherits i WHERE i.inhrelid = x.indexrelid), 0))
        ORDER BY x.indexrelid)
      FROM pg_index x JOIN pg_class r ON r.oid = x.indexrelid JOIN pg_am m ON m.oid = r.relam
      WHERE x.indrelid = c.oid), '[]') AS indexes,
    coalesce((SELECT json_agg(json_build_object('columns', to_json(k.conkey), 'references', k.confrelid::int8))
      FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'f' AND k.conparentid = 0), '[]') AS foreign_keys,
    coalesce((SELECT json_agg(pg_get_constraintdef(k.oid)) FROM pg_constraint k
      WHERE k.conrelid = c.oid AND k.contype = 'c'), '[]') AS checks
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                    AND d.deptype = 'e')
) one
"""
