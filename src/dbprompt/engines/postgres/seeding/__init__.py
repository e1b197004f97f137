"""Rows for the tables of a schema, for whatever is proven on rows: by type, honouring keys and constraints.

Nothing here proves that a constraint holds: values are offered, and the engine takes them or refuses. A table that
takes none is named with its reason.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from dbprompt.engines.base import Outcome
from dbprompt.engines.postgres.sandbox import PostgresSandbox
from dbprompt.engines.postgres.seeding.tables import Hints, Key, Table, parents_first, quote, seed_tables
from dbprompt.engines.postgres.seeding.values import Field, candidates

__all__ = ["Mode", "Seeds", "seed"]

ROWS = 12
_TRIES = 160
_PER_COLUMN = 8
_COMBINATIONS = 4096
_TAKEN = "23505"
_NAMES = """
SELECT attnum, quote_ident(attname) FROM pg_attribute WHERE attrelid = $1::oid AND attnum = ANY ($2::int2[])
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


def seed(sandbox: PostgresSandbox, hints: Hints, mode: Mode) -> Seeds:
    """Puts rows into every table, parents first.

    Args:
        sandbox: its statements run as the role that owns the tables, so that nothing of the script gets more rights.
        hints: what the migration expects of the rows.
        mode: with or without NULL, or no rows at all.
    """
    tables = seed_tables(sandbox, hints)
    rows: dict[str, int] = {}
    refused: dict[str, str] = {}
    for table in parents_first(tables):
        if mode is Mode.EMPTY:
            rows[table.label] = 0
            continue
        rows[table.label], reason = _Filler(sandbox, table, tables, wild=mode is Mode.WILD).fill()
        if not rows[table.label]:
            refused[table.label] = reason
    return Seeds(rows, refused)


class _Filler:
    """Fills one table: all rows at once if the engine takes them, else row by row with other values."""

    def __init__(self, sandbox: PostgresSandbox, table: Table, tables: Mapping[int, Table], *, wild: bool) -> None:
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

    def _referred(self, field: Field, key: Key, row: int) -> tuple[str, ...]:
        parents = self._parents.get(key, ())
        if parents:
            value = parents[row % len(parents)][key.columns.index(field.number)]
            return (str(value),)
        return ("NULL",) if field.nullable else candidates(field, row)

    def _parent_rows(self, key: Key, tables: Mapping[int, Table]) -> tuple[tuple[str | None, ...], ...]:
        target = tables.get(key.target)
        if target is None:
            return ()
        numbers = "{" + ",".join(map(str, key.targets)) + "}"
        found = self._sandbox.rows(_NAMES, str(key.target), numbers)
        names = {int(number or 0): name for number, name in found}
        columns = ", ".join(f"format('%L', {names[number]})" for number in key.targets)
        return tuple(self._sandbox.rows(f"SELECT {columns} FROM {target.sql} ORDER BY 1 LIMIT {ROWS}"))

    def _insert(self, rows: list[str]) -> Outcome:
        table = self._table
        if not table.fields:
            return self._sandbox.run(f"INSERT INTO {table.sql} DEFAULT VALUES")
        names = ", ".join(quote(field.name) for field in table.fields)
        return self._sandbox.run(f"INSERT INTO {table.sql} ({names}) VALUES {', '.join(rows)}")
