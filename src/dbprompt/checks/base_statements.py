"""A query's syntax tree beside the schema: which tables it names, under which alias, and what a column name means.

Scopes are not told apart: a name is looked for in the whole statement. So a rule may overlook a mistake, which the
engine then finds, and never reports a name that is right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from dbprompt.checks.base_trees import Broken, Node, by_kind, column_names, find, function_name, statements, words
from dbprompt.sections.schema import Column, Schema, Table

__all__ = ["Parsed", "alias_of", "parsed"]

_SYSTEM = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})
_UNNAMED = frozenset(
    {"case", "coalesce", "greatest", "least", "exists", "array", "row", "nullif", "extract", "xmlconcat"}
)


@dataclass(frozen=True, slots=True)
class Parsed:
    """One statement.

    Args:
        tree: its node.
        aliases: alias or name, and the tables of the schema that it stands for somewhere in the statement.
        unknown: relations that are neither tables of the schema nor named in the statement itself.
        derived: aliases of subqueries, functions and WITH queries.
        outputs: names that subqueries, functions and WITH queries may give to their columns.
    """

    tree: Node
    aliases: dict[str, tuple[Table, ...]]
    unknown: tuple[str, ...]
    derived: frozenset[str]
    outputs: frozenset[str]

    @property
    def kind(self) -> str:
        """PostgreSQL's name of the statement: `SelectStmt`."""
        return self.tree.kind

    @property
    def tables(self) -> tuple[Table, ...]:
        """The tables of the schema that it names."""
        return tuple({table.name: table for tables in self.aliases.values() for table in tables}.values())

    def columns(self, names: tuple[str, ...]) -> tuple[tuple[Table, Column], ...]:
        """The columns that a reference may mean."""
        tables = self.tables if len(names) == 1 else self.aliases.get(names[-2], ())
        return tuple((table, column) for table in tables if (column := table.column(names[-1])))

    def mentioned(self, nodes: Iterable[Node]) -> frozenset[tuple[str, str]]:
        """Every (table, column) that these parts of the statement may name."""
        return frozenset(
            (table.name, column.name)
            for node in nodes
            for names in column_names(node)
            for table, column in self.columns(names)
        )

    def unresolved(self) -> Iterator[tuple[str, str]]:
        """Names that mean nothing: (kind of mistake, name as written)."""
        for names in dict.fromkeys(column_names(self.tree)):
            written = ".".join(names)
            if len(names) > 1:
                qualifier = names[-2]
                if qualifier in self.derived or qualifier in {"excluded", "old", "new"}:
                    continue
                if qualifier in self.unknown:
                    continue
                if qualifier not in self.aliases:
                    yield "qualifier", written
                elif names[-1] not in {"*", *_SYSTEM} and not self.columns(names):
                    yield "column", written
            elif not self.unknown and not self._is_column(names[0]):
                yield "column", written

    def _is_column(self, name: str) -> bool:
        return (
            name in {"*", *_SYSTEM}
            or name in self.outputs
            or name in self.aliases
            or name in self.derived
            or bool(self.columns((name,)))
        )

    def conditions(self) -> tuple[Node, ...]:
        """Everything that rows are chosen by: WHERE, ON, USING and HAVING, anywhere in the statement."""
        found: list[Node] = []
        for node in find(self.tree, "SelectStmt", "UpdateStmt", "DeleteStmt", "JoinExpr", "MergeStmt"):
            for field in ("whereClause", "quals", "havingClause", "joinCondition"):
                if condition := node.node(field):
                    found.append(condition)
        return tuple(found)

    def joined_using(self) -> frozenset[str]:
        """Column names in USING."""
        return frozenset(name for join in find(self.tree, "JoinExpr") for name in words(join.nodes("usingClause")))


def parsed(sql: str, schema: Schema) -> Parsed | Broken:
    """The one statement of a text, seen beside the schema."""
    found = statements(sql)
    if isinstance(found, Broken):
        return found
    if not found:
        return Broken("there is no statement in it")
    if len(found) > 1:
        return Broken(f"there are {len(found)} statements in it; write exactly one")
    tree = found[0]
    nodes = by_kind(tree)
    named = {cte.text("ctename") for cte in nodes.get("CommonTableExpr", ())}
    aliases: dict[str, tuple[Table, ...]] = {}
    unknown: list[str] = []
    derived = set(named)
    for relation in nodes.get("RangeVar", ()):
        name, alias = relation.text("relname"), alias_of(relation)
        table = schema.table(name)
        if name in named and not relation.has("schemaname"):
            derived.add(alias)
        elif table is None or relation.text("schemaname") not in {"", "public"}:
            unknown += [name, alias]
        elif table not in aliases.get(alias, ()):
            aliases[alias] = (*aliases.get(alias, ()), table)
    for kind in ("RangeSubselect", "RangeFunction", "RangeTableFunc", "JoinExpr", "JsonTable"):
        derived |= {alias for node in nodes.get(kind, ()) if (alias := alias_of(node))}
    return Parsed(tree, aliases, tuple(dict.fromkeys(unknown)), frozenset(derived), frozenset(_outputs(nodes)))


def alias_of(node: Node) -> str:
    """The name that a relation or subquery goes by in its statement; empty if it has none."""
    alias = node.node("alias")
    return alias.text("aliasname") if alias else node.text("relname")


def _outputs(nodes: Mapping[str, Sequence[Node]]) -> Iterator[str]:
    yield from _UNNAMED
    for target in nodes.get("ResTarget", ()):
        yield target.text("name")
    for alias in nodes.get("Alias", ()):
        yield alias.text("aliasname")
        yield from words(alias.nodes("colnames"))
    for cte in nodes.get("CommonTableExpr", ()):
        yield from words(cte.nodes("aliascolnames"))
    for definition in nodes.get("ColumnDef", ()):
        yield definition.text("colname")
    for call in nodes.get("FuncCall", ()):
        yield function_name(call)
    for cast in nodes.get("TypeCast", ()):
        if name := cast.node("typeName"):
            yield words(name.nodes("names"))[-1]
    if nodes.keys() & {"RangeFunction", "JsonTable", "RangeTableFunc"}:
        yield from ("value", "key", "ordinality")
    for kind in ("CTESearchClause", "CTECycleClause", "JsonTableColumn"):
        for clause in nodes.get(kind, ()):
            yield from (
                clause.text(field) for field in ("search_seq_column", "cycle_mark_column", "cycle_path_column", "name")
            )
