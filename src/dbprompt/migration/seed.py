"""Rows for the tables of a schema, so that a migration has data to keep: by type, honouring keys and constraints.

Nothing here proves that a constraint holds: values are offered, and the engine takes them or refuses. A table that
takes none is named with its reason.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from dbprompt.engines.base import Outcome
from dbprompt.engines.postgres.sandbox import PostgresSandbox
from dbprompt.migration.values import Field, candidates, literals

__all__ = ["Hints", "Mode", "Reference", "Seeds", "seed"]

ROWS = 12
_TRIES = 160
_PER_COLUMN = 8
_COMBINATIONS = 4096
_TAKEN = "23505"

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
       a.atthasdef OR a.attidentity <> '' OR a.attgenerated <> '',
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
_NAMES = """
SELECT attnum, quote_ident(attname) FROM pg_attribute WHERE attrelid = $1::oid AND attnum = ANY ($2::int2[])
"""
_PROMISED = """
WITH names AS (SELECT c.oid, CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END || c.relname AS name
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') AND c.oid >= 16384)
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


class Mode(Enum):
    """How the rows are made."""

    WILD = "with NULL in columns that allow it"
    TAME = "without NULL"
    EMPTY = "without rows"


@dataclass(frozen=True, slots=True)
class Seeds:
    """What was put in.

    Args:
        rows: how many rows each table holds.
        refused: why a table took none.
    """

    rows: Mapping[str, int]
    refused: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Table:
    number: int
    schema: str
    name: str
    fields: tuple[Field, ...]
    keys: tuple[_Key, ...]

    @property
    def sql(self) -> str:
        return f"{_quote(self.schema)}.{_quote(self.name)}"

    @property
    def label(self) -> str:
        return self.name if self.schema == "public" else f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class _Key:
    """A foreign key: column numbers here and there."""

    target: int
    columns: tuple[int, ...]
    targets: tuple[int, ...]


def seed(sandbox: PostgresSandbox, hints: Hints, mode: Mode) -> Seeds:
    """Puts rows into every table, parents first.

    Args:
        sandbox: its statements run as the role that owns the tables, so that nothing of the script gets more rights.
        hints: what the migration expects of the rows.
        mode: with or without NULL, or no rows at all.
    """
    tables = _tables(sandbox, hints)
    rows: dict[str, int] = {}
    refused: dict[str, str] = {}
    for table in _parents_first(tables):
        if mode is Mode.EMPTY:
            rows[table.label] = 0
            continue
        rows[table.label], reason = _Filler(sandbox, table, tables, wild=mode is Mode.WILD).fill()
        if not rows[table.label]:
            refused[table.label] = reason
    return Seeds(rows, refused)


class _Filler:
    """Fills one table: all rows at once if the engine takes them, else row by row with other values."""

    def __init__(self, sandbox: PostgresSandbox, table: _Table, tables: Mapping[int, _Table], *, wild: bool) -> None:
        self._sandbox = sandbox
        self._table = table
        self._wild = wild
        self._parents = {key: self._parent_rows(key, tables) for key in table.keys if key.target != table.number}
        self._choice: tuple[int, ...] = ()

    def fill(self) -> tuple[int, str]:
        """How many rows there are now, and why there are none."""
        unknown = [field.name for field in self._table.fields if not self._options(field, 0)]
        if unknown:
            return 0, f"nothing is known about the type of {', '.join(unknown)}"
        if self._insert([self._row(row, ()) for row in range(ROWS)]).ok:
            return ROWS, ""
        done, reason = 0, ""
        for row in range(ROWS):
            refusal = self._one(row)
            reason, done = refusal or reason, done + (not refusal)
            if not done:  # the first row was tried with everything there is
                break
        return done, reason

    def _one(self, row: int) -> str:
        """Tries one row with ever other values: what the engine said last against it, or nothing once it took it."""
        outcome = self._insert([self._row(row, self._choice)])
        if outcome.ok or outcome.code == _TAKEN:
            return outcome.message
        options = [self._options(field, row)[:_PER_COLUMN] for field in self._table.fields]
        for picks in self._other_choices(options):
            outcome = self._insert([self._row(row, picks)])
            if outcome.ok:
                self._choice = picks
                return ""
        return outcome.message

    def _other_choices(self, options: list[tuple[str, ...]]) -> Iterator[tuple[int, ...]]:
        """Combinations of candidates, nearest to the likeliest first; of columns with constraints, if there are any."""
        free = {at for at, field in enumerate(self._table.fields) if field.hints} or set(range(len(options)))
        ranges = [range(len(tried)) if at in free else range(1) for at, tried in enumerate(options)]
        combinations = sorted(itertools.islice(itertools.product(*ranges), _COMBINATIONS), key=sum)
        return itertools.islice(combinations, 1, _TRIES)

    def _row(self, row: int, picks: tuple[int, ...]) -> str:
        values = []
        for at, field in enumerate(self._table.fields):
            options = self._options(field, row)
            values.append(options[picks[at] % len(options)] if picks else options[0])
        return f"({', '.join(values)})"

    def _options(self, field: Field, row: int) -> tuple[str, ...]:
        for key in self._table.keys:
            if field.number in key.columns:
                return self._referred(field, key, row)
        if self._wild and field.nullable and row % 4 == 3:
            return ("NULL",)
        return candidates(field, row)

    def _referred(self, field: Field, key: _Key, row: int) -> tuple[str, ...]:
        parents = self._parents.get(key, ())
        if parents:
            value = parents[row % len(parents)][key.columns.index(field.number)]
            return (str(value),)
        return ("NULL",) if field.nullable else candidates(field, row)

    def _parent_rows(self, key: _Key, tables: Mapping[int, _Table]) -> tuple[tuple[str | None, ...], ...]:
        target = tables.get(key.target)
        if target is None:
            return ()
        numbers = "{" + ",".join(map(str, key.targets)) + "}"
        found = self._sandbox.rows(_NAMES, str(key.target), numbers)
        names = {int(number or 0): name for number, name in found}
        columns = ", ".join(f"format('%L', {names[number]})" for number in key.targets)
        return tuple(self._sandbox.rows(f"SELECT {columns} FROM {target.sql} ORDER BY 1 LIMIT {ROWS}"))  # noqa: S608

    def _insert(self, rows: list[str]) -> Outcome:
        table = self._table
        if not table.fields:
            return self._sandbox.run(f"INSERT INTO {table.sql} DEFAULT VALUES")
        names = ", ".join(_quote(field.name) for field in table.fields)
        return self._sandbox.run(f"INSERT INTO {table.sql} ({names}) VALUES {', '.join(rows)}")  # noqa: S608


def _tables(sandbox: PostgresSandbox, hints: Hints) -> dict[int, _Table]:
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
    keys: dict[int, list[_Key]] = {}
    for source, target, columns, targets in sandbox.rows(_KEYS):
        keys.setdefault(int(source or 0), []).append(_Key(int(target or 0), _numbers(columns), _numbers(targets)))
    for reference in hints.references:
        key = _promised(sandbox, reference)
        if key is not None:
            keys.setdefault(key[0], []).append(key[1])
    return {
        oid: _Table(oid, *names[oid], fields=tuple(found), keys=tuple(keys.get(oid, ())))
        for oid, found in fields.items()
    }


def _promised(sandbox: PostgresSandbox, reference: Reference) -> tuple[int, _Key] | None:
    """A foreign key to come, by numbers; None if it names what is not there yet."""
    values = (reference.table, "{" + ",".join(reference.columns) + "}", reference.target)
    found = sandbox.rows(_PROMISED, *values, "{" + ",".join(reference.targets) + "}")
    if not found or None in found[0]:
        return None
    source, columns, target, targets = found[0]
    key = _Key(int(target or 0), _numbers(columns), _numbers(targets))
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


def _parents_first(tables: Mapping[int, _Table]) -> Iterator[_Table]:
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


def _hard(table: _Table) -> Iterator[_Key]:
    """References that are not to the table itself and may not be empty."""
    nullable = {field.number for field in table.fields if field.nullable}
    return (key for key in table.keys if key.target != table.number and not set(key.columns) <= nullable)


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
