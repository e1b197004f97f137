"""Rows for the tables of a schema, so that a migration has data to keep: by type, honouring keys and constraints.

Nothing here proves that a constraint holds: values are offered, and the engine takes them or refuses. A table that takes
none is named with its reason.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from dbprompt.engines.base import Outcome
from dbprompt.engines.postgres.sandbox import PostgresSandbox
from dbprompt.migration.values import Field, candidates, literals, quoted

__all__ = ["Hints", "Mode", "Seeds", "seed"]

ROWS = 12
_TRIES = 160
_PER_COLUMN = 8
Hints = Mapping[tuple[str, str], tuple[str, ...]]

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
_KEYS = """
SELECT conrelid, confrelid, conkey::text, confkey::text FROM pg_constraint
WHERE contype = 'f' AND conparentid = 0 AND conrelid >= 16384 ORDER BY oid
"""


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
        hints: further values to try, by table and column.
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
        together = [self._row(row, ()) for row in range(ROWS)]
        outcome = self._insert(together)
        if outcome.ok:
            return ROWS, ""
        done = 0
        for row in range(ROWS):
            refusal = self._one(row)
            if refusal is None:
                done += 1
            elif not done and row:
                return 0, refusal.message
            else:
                outcome = refusal
        return done, outcome.message

    def _one(self, row: int) -> Outcome | None:
        """Tries one row with ever other values; the last refusal, or None once the engine took it."""
        options = [self._options(field, row)[:_PER_COLUMN] for field in self._table.fields]
        outcome = self._insert([self._row(row, self._choice)])
        culprit = ""
        for picks in self._other_choices(outcome, options):
            if outcome.ok:
                return None
            outcome = self._insert([self._row(row, picks)])
            if outcome.ok:
                self._choice = picks
                return None
            culprit = culprit or outcome.message
        return None if outcome.ok else outcome

    def _other_choices(self, outcome: Outcome, options: list[tuple[str, ...]]) -> Iterator[tuple[int, ...]]:
        """Combinations of the columns that have more than one candidate, for those that constraints name first."""
        free = [at for at, field in enumerate(self._table.fields) if field.hints] or list(range(len(options)))
        ranges = [range(len(options[at])) if at in free else range(1) for at in range(len(options))]
        if not outcome.ok and outcome.code != "23505":
            combinations = sorted(itertools.islice(itertools.product(*ranges), 4096), key=sum)
            yield from itertools.islice(combinations, 1, _TRIES)

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
        names = dict(
            self._sandbox.rows(
                "SELECT attnum, quote_ident(attname) FROM pg_attribute WHERE attrelid = $1::oid AND attnum = ANY ($2::int2[])",
                str(key.target), numbers,
            )
        )  # fmt: skip
        columns = ", ".join(f"format('%L', {names[str(number)]})" for number in key.targets)
        return tuple(self._sandbox.rows(f"SELECT {columns} FROM {target.sql} ORDER BY 1 LIMIT {ROWS}"))  # noqa: S608

    def _insert(self, rows: list[str]) -> Outcome:
        table = self._table
        if not table.fields:
            return self._sandbox.run(f"INSERT INTO {table.sql} DEFAULT VALUES")  # noqa: S608
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
        further = hints.get((table if schema == "public" else f"{schema}.{table}", column), ())
        found.append(
            Field(
                name=column,
                number=int(number),
                type=kind,
                length=_length(kind, int(modifier)),
                labels=tuple(labels.split("\x1f")) if row[9] is not None else (),
                nullable=nullable == "t",
                hints=tuple(dict.fromkeys((*literals(checks), *further))),
            )
        )
    keys: dict[int, list[_Key]] = {}
    for source, target, columns, targets in sandbox.rows(_KEYS):
        keys.setdefault(int(source or 0), []).append(_Key(int(target or 0), _numbers(columns), _numbers(targets)))
    return {
        oid: _Table(oid, *names[oid], fields=tuple(found), keys=tuple(keys.get(oid, ()))) for oid, found in fields.items()
    }


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


def _parents_first(tables: Mapping[int, _Table]) -> list[_Table]:
    """Tables after those that they refer to; in a circle, the one whose references may be empty first."""
    waiting, found = dict(tables), list[_Table]()
    while waiting:
        ready = [one for one in waiting.values() if not any(key.target in waiting for key in _hard(one))]
        for one in ready or list(waiting.values())[:1]:
            found.append(one)
            del waiting[one.number]
    return sorted(found, key=lambda one: any(key.target in waiting for key in one.keys))


def _hard(table: _Table) -> Iterator[_Key]:
    """References that are not to the table itself and may not be empty."""
    nullable = {field.number for field in table.fields if field.nullable}
    return (key for key in table.keys if key.target != table.number and not set(key.columns) <= nullable)


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


__all__ += ["quoted"]
