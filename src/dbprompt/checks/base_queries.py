"""A query of the design beside what the brief asks of it, for the rules that read both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from dbprompt.brief import Entity, QueryNeed
from dbprompt.checks.base_access import accesses
from dbprompt.checks.base_matching import columns_of, places_of
from dbprompt.checks.base_statements import Parsed, parsed
from dbprompt.checks.base_trees import Broken, Node, words
from dbprompt.checks.base_views import Sources, sources_of, with_views
from dbprompt.checks.subject import Subject
from dbprompt.sections.indexes import Indexes
from dbprompt.sections.queries import Query
from dbprompt.sections.schema import Table

__all__ = ["Asked", "asked_queries", "descends", "shown", "sort_columns"]


@dataclass(frozen=True, slots=True)
class Asked:
    """A statement with what the brief asks of it; `sources` says what the columns of views are made of."""

    query: Query
    statement: Parsed
    where: str
    need: QueryNeed | None = None
    entity: Entity | None = None
    tables: tuple[Table, ...] = ()
    indexes: Indexes | None = None
    sources: Sources = field(default_factory=dict)

    def unique_keys(self, table: Table) -> tuple[frozenset[str], ...]:
        """The columns of each key, unique constraint and unique index of a table."""
        ways = (way for way in accesses(table, self.indexes) if way.unique and way.predicate is None)
        return tuple(frozenset(column for key in way.keys for column in key.columns) for way in ways)

    def columns(self, attribute: str) -> frozenset[tuple[str, str]]:
        """The (table, column) pairs that hold an attribute of the query's entity."""
        if self.entity is None:
            return frozenset()
        pairs = ((table, column) for table in self.tables for column in columns_of(table, self.entity, attribute))
        own = frozenset((table.name, column.name) for table, column in pairs)
        return own | {column for column, made_of in self.sources.items() if made_of & own}


def asked_queries(subject: Subject) -> Iterator[Asked]:
    """Every query of the section under check whose statement can be read; `statements` reports the others."""
    section, schema = subject.design.queries, with_views(subject.design)
    sources = sources_of(subject.design) if section else {}
    for at, query in enumerate(section.queries if section and schema else ()):
        statement = parsed(query.sql, schema) if schema else Broken("")
        if not isinstance(statement, Broken):
            yield replace(_asked(subject, query, statement, f"/queries/{at}"), sources=sources)


def _asked(subject: Subject, query: Query, statement: Parsed, where: str) -> Asked:
    brief, schema, indexes = subject.brief, subject.design.schema, subject.design.indexes
    need = brief.query(query.id) if brief else None
    entity = brief.entity(need.entity) if brief and need else None
    if brief is None or schema is None or entity is None:
        return Asked(query, statement, where, need, indexes=indexes)
    tables = tuple(place.table for place in places_of(brief, schema, entity))
    return Asked(query, statement, where, need, entity, tables, indexes)


def shown(pairs: frozenset[tuple[str, str]]) -> str:
    """Columns for a message."""
    return ", ".join(sorted(f"{table}.{column}" for table, column in pairs))


def descends(key: Node) -> bool:
    """Whether an ORDER BY key goes down."""
    return key.text("sortby_dir") == "SORTBY_DESC"


def sort_columns(statement: Parsed, select: Node, key: Node) -> frozenset[tuple[str, str]]:
    """The columns that an ORDER BY key names: by itself, by the number or by the alias of a selected value."""
    node = key.node("node")
    if node is None:
        return frozenset()
    targets = select.nodes("targetList")
    chosen: list[Node | None] = []
    if node.kind == "A_Const" and (number := node.node("ival")):
        chosen = [target.node("val") for target in targets[number.number("ival") - 1 :][:1]]
    elif node.kind == "ColumnRef" and len(names := words(node.nodes("fields"))) == 1:
        chosen = [target.node("val") for target in targets if target.text("name") == names[0]]
    return statement.mentioned([value for value in chosen if value] or [node])
