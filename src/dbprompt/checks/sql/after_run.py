"""Indexes and defaults in vain, read from the catalogue once everything has run: the engine accepts each by itself.

Poor: `CREATE INDEX ON users (email)` where `UNIQUE (email)` has an index already: each write pays for it twice.
Better: one index for each order of columns, the shorter one dropped where a longer one starts with it.
Poor: `created_at timestamptz DEFAULT 'now'`: the text becomes a moment when the table is made, and stays that moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from dbprompt.checks.base import Statement
from dbprompt.checks.sql.advice import Catalogue
from dbprompt.checks.sql.tree import Node, Parsed
from dbprompt.evidence import Finding, Severity

__all__ = ["default_findings", "index_findings"]

_OURS = "n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'dbprompt_extensions')"
# ruff: noqa: S608  (the queries below are put together from constants)
_INDEXES = (
    "SELECT t.oid::text, t.relname, x.relname, a.amname, i.indisunique, o.conname, i.indnkeyatts, "
    "pg_get_expr(i.indpred, i.indrelid), (SELECT string_agg(concat_ws(E'\\t', pg_get_indexdef(i.indexrelid, k, true), "
    "i.indclass[k - 1], i.indcollation[k - 1], i.indoption[k - 1]), E'\\n' ORDER BY k) "
    "FROM generate_series(1, i.indnatts) k) "
    "FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid "
    "JOIN pg_namespace n ON n.oid = t.relnamespace JOIN pg_am a ON a.oid = x.relam "
    "LEFT JOIN pg_constraint o ON o.conindid = x.oid AND o.contype IN ('p', 'u') "
    f"WHERE {_OURS} AND i.indisvalid AND NOT i.indisexclusion AND NOT x.relispartition ORDER BY x.oid"
)
_COLUMN = (
    "SELECT 1 FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid "
    "WHERE c.relname = $1 AND a.attname = $2 AND t.typname IN ('timestamptz', 'timestamp', 'date', 'timetz', 'time')"
)
_MOMENTS = {"now": "now()", "now()": "now()", "today": "CURRENT_DATE", "tomorrow": "CURRENT_DATE + 1"}


def default_findings(steps: Iterable[tuple[Statement, Parsed]], catalogue: Catalogue) -> Iterator[Finding]:
    """Defaults that are a word for a moment, which is read once and for all."""
    for statement, parsed in steps:
        table = _relation(parsed.body.get("relation"))
        for column, word in _word_defaults(parsed):
            right = _MOMENTS.get(word.strip().lower())
            if right and catalogue.rows(_COLUMN, table, column):
                message = (
                    f"the default '{word}' of {table}.{column} is read when the table is made, so every row gets that "
                    f"same moment: write DEFAULT {right} without quotes."
                )
                yield Finding("expressions.frozen_moment", Severity.WARNING, statement.where, message)


def _word_defaults(parsed: Parsed) -> Iterator[tuple[str, str]]:
    """Columns whose default is a text, with the text."""
    if parsed.kind not in {"CreateStmt", "AlterTableStmt"}:
        return
    for column in parsed.below.get("ColumnDef", ()):
        constraints = column.get("constraints")
        for item in constraints if isinstance(constraints, list) else ():
            constraint = item.get("Constraint") if isinstance(item, dict) else None
            if isinstance(constraint, dict) and constraint.get("contype") == "CONSTR_DEFAULT":
                yield str(column.get("colname", "")), _text(constraint.get("raw_expr"))
    for command in parsed.below.get("AlterTableCmd", ()):
        if command.get("subtype") == "AT_ColumnDefault":
            yield str(command.get("name", "")), _text(command.get("def"))


def _text(expression: object) -> str:
    """A text constant, cast once or not; empty for anything else."""
    holder: Node = expression if isinstance(expression, dict) else {}
    cast = holder.get("TypeCast")
    inner = cast.get("arg") if isinstance(cast, dict) else holder
    constant = inner.get("A_Const") if isinstance(inner, dict) else None
    value = constant.get("sval") if isinstance(constant, dict) else None
    return str(value.get("sval", "")) if isinstance(value, dict) else ""


@dataclass(frozen=True, slots=True)
class _Index:
    oid: str
    table: str
    name: str
    method: str
    unique: bool
    constraint: str | None
    predicate: str | None
    keys: tuple[tuple[str, ...], ...]
    options: tuple[int, ...]
    included: frozenset[str]

    def __str__(self) -> str:
        columns = ", ".join(key[0] for key in self.keys)
        return f"{'constraint' if self.constraint else 'index'} {self.constraint or self.name} ({columns})"

    def covers(self, other: _Index) -> bool:
        """Whether everything that the other one serves is served by this one."""
        count = len(other.keys)
        alike = (self.oid, self.method, self.predicate) == (other.oid, other.method, other.predicate)
        if not alike or self.keys[:count] != other.keys or (other.method != "btree" and self.keys != other.keys):
            return False
        start = self.options[:count]
        if start != other.options and tuple(option ^ 3 for option in start) != other.options:
            return False
        if other.unique and not (self.unique and len(self.keys) == count):
            return False
        return other.included <= {*self.included, *(key[0] for key in self.keys)}


def index_findings(steps: Sequence[tuple[Statement, Parsed]], catalogue: Catalogue) -> Iterator[Finding]:
    """Indexes that another one covers, if one of both comes from these statements."""
    about = _by_relation(steps)
    if not about:
        return
    indexes = [_index(row) for row in catalogue.rows(_INDEXES)]
    makers = {
        index.name: maker for index in indexes if (maker := _maker(index, about.get(index.table, []))) is not None
    }
    beside: dict[str, list[tuple[int, _Index]]] = {}  # the indexes of one table
    for number, index in enumerate(indexes):
        beside.setdefault(index.oid, []).append((number, index))
    reported: set[str] = set()
    for late, index in reversed(list(enumerate(indexes))):
        for early, other in beside[index.oid]:
            twin = other.covers(index) and index.covers(other)
            if early == late or other.name in reported or not other.covers(index) or (twin and early > late):
                continue
            maker = makers.get(index.name) or makers.get(other.name)
            if maker is None or (index.constraint and not twin):
                continue
            reported.add(index.name)
            what = "has the same columns as" if len(index.keys) == len(other.keys) else "is the start of"
            message = f"{index} on {index.table} {what} {other}, which serves the same: drop {index.name}."
            yield Finding("indexes.redundant", Severity.WARNING, maker.where, message)
            break


def _index(row: tuple[str | None, ...]) -> _Index:
    oid, table, name, method, unique, constraint, count, predicate, keys = (value for value in row)
    columns = [line.split("\t") for line in (keys or "").split("\n")]
    number = int(count or 0)
    return _Index(
        str(oid), str(table), str(name), str(method), unique == "t", constraint, predicate,
        tuple(tuple(column[:3]) for column in columns[:number]),
        tuple(int(column[3]) for column in columns[:number]),
        frozenset(column[0] for column in columns[number:]),
    )  # fmt: skip


def _by_relation(steps: Iterable[tuple[Statement, Parsed]]) -> dict[str, list[tuple[Statement, Parsed]]]:
    """The statements that may have made an index, by table."""
    found: dict[str, list[tuple[Statement, Parsed]]] = {}
    for statement, parsed in steps:
        if _may_index(parsed):
            found.setdefault(_relation(parsed.body.get("relation")), []).append((statement, parsed))
    return found


def _maker(index: _Index, about: Sequence[tuple[Statement, Parsed]]) -> Statement | None:
    """The statement that made an index, as far as names tell: the latest about its table."""
    for statement, parsed in reversed(about):
        if _is_index(parsed) is (index.constraint is not None):
            continue
        if index.constraint or str(parsed.body.get("idxname", "")) == index.name:
            return statement
        if not parsed.body.get("idxname") and _columns(parsed) == [key[0] for key in index.keys]:
            return statement
    return None


def _columns(parsed: Parsed) -> list[str]:
    params = parsed.body.get("indexParams")
    elements = [item["IndexElem"] for item in params if isinstance(item, dict)] if isinstance(params, list) else []
    return [str(element.get("name", "")) for element in elements if isinstance(element, dict)]


def _is_index(parsed: Parsed) -> bool:
    return parsed.kind == "IndexStmt"


def _makes_constraint(parsed: Parsed) -> bool:
    kinds = {"CONSTR_PRIMARY", "CONSTR_UNIQUE"}
    return parsed.kind in {"CreateStmt", "AlterTableStmt"} and any(
        node.get("contype") in kinds for node in parsed.below.get("Constraint", ())
    )


def _may_index(parsed: Parsed) -> bool:
    return _is_index(parsed) or _makes_constraint(parsed)


def _relation(node: object) -> str:
    holder: Node = node if isinstance(node, dict) else {}
    return str(holder.get("relname", ""))
