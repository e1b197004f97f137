"""The tables of a schema as far as making rows for them needs it: fields, keys, and who comes first."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dbprompt.engines.postgres.sandbox import PostgresSandbox
from dbprompt.engines.postgres.seeding.values import Field, literals

__all__ = ["Hints", "Key", "Reference", "Table", "parents_first", "quote", "seed_tables"]

_COLUMNS = """
WITH RECURSIVE bases AS (
    SELECT oid AS domain, oid, typbasetype, typtypmod, typtype FROM pg_type WHERE typtype = 'd'
    UNION ALL
    SELECT b.domain, t.oid, t.typbasetype, CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE b.typtypmod END, t.typtype
    FROM bases b JOIN pg_type t ON t.oid = b.typbasetype
)
SELECT c.oid, n.nspname, c.relname, a.attname, a.attnum, t.typname,
       CASE WHEN b.oid IS NULL THEN a.atttypmod ELSE b.typtypmod END,
       NOT (a.attnotnull OR EXISTS (SELECT 1 FROM pg_type d WHERE d.oid = a.atttypid AND d.typnotnull)),
       (a.atthasdef OR a.attidentity <> '') AND NOT EXISTS (  -- what it defaults to may have no partition
           SELECT 1 FROM pg_partitioned_table p
           WHERE p.partrelid = c.oid AND a.attnum = ANY (p.partattrs::int2[]) AND a.attidentity = ''),
       (SELECT string_agg(e.enumlabel, chr(31) ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid),
       concat_ws(' ',
           (SELECT string_agg(pg_get_constraintdef(k.oid), ' ' ORDER BY k.oid) FROM pg_constraint k
            WHERE k.contype = 'c' AND (k.conrelid = c.oid AND a.attnum = ANY (k.conkey)
              OR k.contypid IN (SELECT d.oid FROM bases d WHERE d.domain = a.atttypid))),
           (SELECT string_agg(pg_get_expr(l.relpartbound, l.oid), ' ' ORDER BY l.oid) FROM pg_partitioned_table p
            JOIN pg_inherits h ON h.inhparent = c.oid JOIN pg_class l ON l.oid = h.inhrelid
            WHERE p.partrelid = c.oid AND a.attnum = ANY (p.partattrs::int2[])))
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN bases b ON b.domain = a.atttypid AND b.typtype <> 'd'
JOIN pg_type t ON t.oid = coalesce(b.oid, a.atttypid)
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.oid >= 16384 ORDER BY c.oid, a.attnum
"""
_PROMISED = """
WITH names AS (SELECT c.oid, CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END || c.relname AS name
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE c.relkind IN ('r', 'p') AND c.oid >= 16384)
SELECT s.oid,
       (SELECT array_agg(a.attnum ORDER BY array_position($2::text[], a.attname::text))::text FROM pg_attribute a
        WHERE a.attrelid = s.oid AND a.attname = ANY ($2::text[])),
       t.oid,
       CASE WHEN $4 = '{}' THEN (SELECT conkey::text FROM pg_constraint k WHERE k.conrelid = t.oid AND k.contype = 'p')
            ELSE (SELECT array_agg(a.attnum ORDER BY array_position($4::text[], a.attname::text))::text
                  FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attname = ANY ($4::text[])) END
FROM names s, names t WHERE s.name = $1 AND t.name = $3
"""
_KEYS = """
SELECT conrelid, confrelid, conkey::text, confkey::text FROM pg_constraint
WHERE contype = 'f' AND conparentid = 0 AND conrelid >= 16384 ORDER BY oid
"""


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key that the migration will add: tables and columns by name; no target columns for the primary key."""

    table: str
    columns: tuple[str, ...]
    target: str
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hints:
    """What the migration's own text says about the rows that it expects.

    Args:
        values: literals, by table and column.
        references: foreign keys that it adds.
    """

    values: Mapping[tuple[str, str], tuple[str, ...]]
    references: tuple[Reference, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """A table that may get rows.

    Args:
        number: of the table in the catalogue.
        schema: that it lies in.
        name: of the table.
        fields: columns that have to be given a value: no default makes one.
        keys: its foreign keys.
    """

    number: int
    schema: str
    name: str
    fields: tuple[Field, ...]
    keys: tuple[Key, ...]

    @property
    def sql(self) -> str:
        """Its name as SQL writes it."""
        return f"{quote(self.schema)}.{quote(self.name)}"

    @property
    def label(self) -> str:
        """Its name for people: without the schema if that is `public`."""
        return self.name if self.schema == "public" else f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Key:
    """A foreign key: column numbers here and there."""

    target: int
    columns: tuple[int, ...]
    targets: tuple[int, ...]


def seed_tables(sandbox: PostgresSandbox, hints: Hints) -> dict[int, Table]:
    """All tables that may hold rows, by number; partitions are filled through their parents."""
    fields: dict[int, list[Field]] = {}
    names: dict[int, tuple[str, str]] = {}
    for row in sandbox.rows(_COLUMNS):
        oid, schema, table, column, number, kind, modifier, nullable, has_default, labels, checks = map(str, row)
        names[int(oid)] = (schema, table)
        found = fields.setdefault(int(oid), [])
        if has_default == "t":
            continue
        further = hints.values.get((table if schema == "public" else f"{schema}.{table}", column), ())
        found.append(
            Field(
                name=column,
                number=int(number),
                type=kind,
                length=_length(kind, int(modifier)),
                labels=tuple(labels.split("\x1f")) if row[9] is not None else (),
                nullable=nullable == "t",
                hints=literals(checks),
                wanted=further,
            )
        )
    keys: dict[int, list[Key]] = {}
    for source, target, columns, targets in sandbox.rows(_KEYS):
        keys.setdefault(int(source or 0), []).append(Key(int(target or 0), _numbers(columns), _numbers(targets)))
    for reference in hints.references:
        key = _promised(sandbox, reference)
        if key is not None:
            keys.setdefault(key[0], []).append(key[1])
    return {
        oid: Table(oid, *names[oid], fields=tuple(found), keys=tuple(keys.get(oid, ())))
        for oid, found in fields.items()
    }


def _promised(sandbox: PostgresSandbox, reference: Reference) -> tuple[int, Key] | None:
    """A foreign key to come, by numbers; None if it names what is not there yet."""
    values = (reference.table, "{" + ",".join(reference.columns) + "}", reference.target)
    found = sandbox.rows(_PROMISED, *values, "{" + ",".join(reference.targets) + "}")
    if not found or None in found[0]:
        return None
    source, columns, target, targets = found[0]
    key = Key(int(target or 0), _numbers(columns), _numbers(targets))
    return (int(source or 0), key) if len(key.columns) == len(key.targets) else None


def _length(kind: str, modifier: int) -> int:
    """The room that a type modifier leaves."""
    if modifier < 0:
        return 0
    if kind == "numeric":
        precision, scale = ((modifier - 4) >> 16) & 0xFFFF, (modifier - 4) & 0x7FF
        return precision - scale or -1
    return modifier if kind in {"bit", "varbit"} else max(modifier - 4, 0)


def _numbers(text: str | None) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", str(text))))


def parents_first(tables: Mapping[int, Table]) -> Iterator[Table]:
    """Tables after those that they refer to; in a circle, the one whose references may be empty first."""
    waiting = dict(tables)
    while waiting:
        for one in waiting.values():
            if not any(key.target in waiting and key.target != one.number for key in one.keys):
                break
        else:
            one = next((one for one in waiting.values() if not any(key.target in waiting for key in _hard(one))), one)
        del waiting[one.number]
        yield one


def _hard(table: Table) -> Iterator[Key]:
    """References that are not to the table itself and may not be empty."""
    nullable = {field.number for field in table.fields if field.nullable}
    return (key for key in table.keys if key.target != table.number and not set(key.columns) <= nullable)


def quote(name: str) -> str:
    """A name as a quoted identifier."""
    return '"' + name.replace('"', '""') + '"'
