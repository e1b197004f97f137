"""Materialised views as the rules see them: relations with columns, and where each column comes from.

A query may read a view like a table. Its columns have the names that the SELECT gives them; types are known where a
column is passed through or a function leaves no doubt, and are text elsewhere: no rule needs more, the engine decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from dbprompt.checks.base_statements import Parsed, parsed
from dbprompt.checks.base_trees import Broken, Node, find, function_name, grammar, words
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.schema import Column, ColumnType, Schema, Table
from dbprompt.sections.views import MaterializedView

__all__ = ["Output", "Sources", "outputs_of", "schemas_of_views", "sources_of", "with_views"]

Sources: TypeAlias = Mapping[tuple[str, str], frozenset[tuple[str, str]]]
"""For each (view, column) the (table, column) pairs that it is made of."""

_TYPES = {
    "avg": ColumnType.DECIMAL,
    "bool_and": ColumnType.BOOLEAN,
    "bool_or": ColumnType.BOOLEAN,
    "count": ColumnType.BIGINT,
    "date_trunc": ColumnType.TIMESTAMPTZ,
    "sum": ColumnType.DECIMAL,
    "bool": ColumnType.BOOLEAN,
    "date": ColumnType.DATE,
    "int4": ColumnType.INTEGER,
    "int8": ColumnType.BIGINT,
    "numeric": ColumnType.DECIMAL,
    "timestamp": ColumnType.TIMESTAMP,
    "timestamptz": ColumnType.TIMESTAMPTZ,
}
_NAMELESS = {"A_Const", "A_Expr", "BoolExpr", "NullTest", "SubLink", "A_ArrayExpr", "RowExpr"}


@dataclass(frozen=True, slots=True)
class Output:
    """One column that a SELECT gives out; the name is empty where it has none of its own."""

    name: str
    type: ColumnType
    sources: frozenset[tuple[str, str]]


def outputs_of(view: MaterializedView, schema: Schema) -> tuple[Output, ...] | None:
    """The columns of a view; None if that cannot be told: the SQL does not parse, or it selects `*`."""
    statement = parsed(view.sql, schema)
    if isinstance(statement, Broken) or statement.kind != "SelectStmt":
        return None
    select = _first_branch(statement.tree)
    found = tuple(_output(target, statement) for target in select.nodes("targetList"))
    return None if any(one.name == "*" for one in found) or not found else found


def with_views(design: DatabaseDesign) -> Schema | None:
    """The schema with its views as further tables: everything that a query may read."""
    return _with(design, len(design.views.views) if design.views else 0)


def schemas_of_views(design: DatabaseDesign) -> Iterator[tuple[int, MaterializedView, Schema]]:
    """Each view with what it may read: the tables, and the views before it."""
    for at, view in enumerate(design.views.views if design.views else ()):
        schema = _with(design, at)
        if schema is not None:
            yield at, view, schema


def sources_of(design: DatabaseDesign) -> Sources:
    """Where the columns of all views come from, down to the tables."""
    found: dict[tuple[str, str], frozenset[tuple[str, str]]] = {}
    for _, view, schema in schemas_of_views(design):
        for output in outputs_of(view, schema) or ():
            below = [found.get(pair, frozenset({pair})) for pair in output.sources]
            found[view.name, output.name] = frozenset[tuple[str, str]]().union(*below)
    return found


def _with(design: DatabaseDesign, count: int) -> Schema | None:
    schema = design.schema
    if schema is None or grammar() is None:
        return schema
    for view in design.views.views[:count] if design.views else ():
        if schema.table(view.name) is None and (outputs := outputs_of(view, schema)):
            schema = schema.model_copy(update={"tables": (*schema.tables, _table(view, outputs))})
    return schema


def _table(view: MaterializedView, outputs: tuple[Output, ...]) -> Table:
    columns = {one.name: Column.model_construct(name=one.name, type=one.type) for one in outputs if one.name}
    return Table.model_construct(
        name=view.name, entity=None, columns=tuple(columns.values()), primary_key=view.unique_key
    )


def _first_branch(select: Node) -> Node:
    """The SELECT that names the columns: of a UNION, its first."""
    left = select.node("larg")
    return _first_branch(left) if left else select


def _output(target: Node, statement: Parsed) -> Output:
    value = target.node("val")
    name = target.text("name") or (_own_name(value) if value else "")
    if value is None:
        return Output(name, ColumnType.TEXT, frozenset())
    return Output(name, _type(value, statement), statement.mentioned([value]))


def _own_name(value: Node) -> str:
    """The name that PostgreSQL gives to a value without an alias; empty for `?column?`."""
    if value.kind == "ColumnRef":
        return words(value.nodes("fields"))[-1]
    if value.kind == "FuncCall":
        return function_name(value)
    if value.kind == "TypeCast":
        inside, kind = value.node("arg"), value.node("typeName")
        named = _own_name(inside) if inside else ""
        return named or (words(kind.nodes("names"))[-1] if kind else "")
    return "" if value.kind in _NAMELESS else value.kind.removesuffix("Expr").lower()


def _type(value: Node, statement: Parsed) -> ColumnType:
    if value.kind == "ColumnRef":
        known = statement.columns(words(value.nodes("fields")))
        return known[0][1].type if known else ColumnType.TEXT
    if value.kind == "TypeCast" and (kind := value.node("typeName")):
        return _TYPES.get(words(kind.nodes("names"))[-1], ColumnType.TEXT)
    calls = [function_name(call) for call in find(value, "FuncCall")]
    return next((_TYPES[name] for name in calls if name in _TYPES), ColumnType.TEXT)
