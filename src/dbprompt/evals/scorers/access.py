"""Scorers of the ways to the data: indexes, and statements as they are written (`briefs/FORMAT.md`, "Access")."""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.brief import Attribute, AttributeRole
from dbprompt.checks.base_access import Access, accesses, serves, want_of
from dbprompt.checks.base_matching import Place, entity_of
from dbprompt.checks.base_statements import parsed
from dbprompt.checks.base_trees import Broken, expression, find, function_name
from dbprompt.checks.statements import statements
from dbprompt.evals.expectations import (
    Consistency,
    IndexMethod,
    MaxSecondaryIndexes,
    OfQueries,
    OfQuery,
    TenantLeads,
    WholeDesign,
)
from dbprompt.evals.scorers.base import Look, NotHeld, Scene, Scorer, bad, good, query_of, scorer
from dbprompt.evals.scorers.pages import keyset_pagination
from dbprompt.evals.scorers.planner import planner_uses_index
from dbprompt.sections.names import entity_matches
from dbprompt.sections.schema import ColumnType, DefaultKind, Table

__all__ = ["SCORERS"]


def _where(scene: Scene, way: Access, place: Place) -> str:
    return f"/schema{place.where}" if way.at is None else f"/indexes/indexes/{way.at}"


def _index_for_query(expectation: OfQuery, scene: Scene) -> Iterator[Look]:
    need = scene.brief.query(expectation.query)
    if need is None:
        raise NotHeld(f"the brief has no query {expectation.query}")
    entity = scene.entity(need.entity)
    for place in scene.places(need.entity):
        want = want_of(scene.brief, need, place.table, entity)
        if isinstance(want, str):
            yield bad(f"/schema{place.where}", f"{place.table.name} has no column for {want}")
            continue
        fixed = frozenset[str]().union(*want.eq)
        ways = accesses(place.table, scene.design.indexes)
        found = [way for way in ways if serves(way, want) and _may_be_used(way, fixed, scene, expectation.query)]
        have = "; ".join(map(str, ways)) or "none"
        if found:
            yield good(_where(scene, found[0], place), f"{found[0]} of {place.table.name} serves {need.id}")
        else:
            scene.need(scene.design.indexes, "indexes")
            lacks = f"no index or key of {place.table.name} starts with {want.suggestion}; it has: {have}"
            yield bad(f"/schema{place.where}", lacks)


def _may_be_used(way: Access, fixed: frozenset[str], scene: Scene, query: str) -> bool:
    """A partial index helps a query only that has the condition too: as an `eq` attribute, or in its statement."""
    left = way.fixed - fixed
    if way.predicate is None or not left:
        return True
    try:
        statement = parsed(query_of(scene, query)[1].sql, scene.relations)
    except NotHeld:
        return False
    if isinstance(statement, Broken):
        return False
    mentioned = {column for table, column in statement.mentioned(statement.conditions()) if table == way.table}
    return left <= mentioned


_BY_CLASS = {"trigram": "trigram"}
_SPATIAL = {ColumnType.POINT, ColumnType.GEOMETRY, ColumnType.GEOGRAPHY}


def _methods(way: Access, columns: frozenset[str], table: Table) -> set[str]:
    """What an index of these columns is, in the words of the format."""
    found: set[str] = set()
    for key in way.keys:
        if not key.columns & columns:
            continue
        found.add(way.method)
        if way.method in {"gin", "gist"} and key.operator_class in _BY_CLASS:
            found.add(_BY_CLASS[key.operator_class])
        types = {column.type for name in key.columns if (column := table.column(name))}
        if way.method in {"gin", "gist"} and (ColumnType.TSVECTOR in types or _is_text_search(key.text)):
            found.add("fulltext")
        if way.method in {"gist", "spgist"} and types & _SPATIAL:
            found.add("spatial")
    return found


def _is_text_search(text: str) -> bool:
    tree = expression(text)
    return not isinstance(tree, Broken) and any(function_name(call) == "to_tsvector" for call in find(tree, "FuncCall"))


def _index_method(expectation: IndexMethod, scene: Scene) -> Iterator[Look]:
    for place in scene.places(expectation.entity):
        columns: set[str] = set()
        for attribute in expectation.attributes_any:
            columns |= scene.names(place, expectation.entity, attribute)
        ways = accesses(place.table, scene.design.indexes)
        wanted = set(expectation.method_any)
        found = [way for way in ways if wanted & _methods(way, frozenset(columns), place.table)]
        if found:
            yield good(_where(scene, found[0], place), f"{found[0].method} {found[0]} of {place.table.name}")
        else:
            scene.need(scene.design.indexes, "indexes")
            lacks = (
                f"{place.table.name} has no {' or '.join(expectation.method_any)} index on {', '.join(sorted(columns))}"
            )
            yield bad(f"/schema{place.where}", lacks)


def _no_redundant_index(expectation: WholeDesign, scene: Scene) -> Iterator[Look]:
    section = scene.need(scene.design.indexes, "indexes")
    for table in scene.schema.tables:
        ways = accesses(table, section)
        for way in (way for way in ways if way.at is not None):
            over = next((other for other in ways if other is not way and _covers(other, way)), None)
            where = f"/indexes/indexes/{way.at}"
            said = f"{way} is a left prefix of {over} on {table.name}" if over else f"{way} is no prefix of another"
            yield Look(where, over is None, said)


def _covers(longer: Access, way: Access) -> bool:
    """Whether a plain index is a left prefix of another index or key."""
    if way.unique or way.predicate or longer.predicate or way.method != longer.method:
        return False
    if len(way.keys) > len(longer.keys) or (way.method != "btree" and len(way.keys) != len(longer.keys)):
        return False
    pairs = list(zip(way.keys, longer.keys, strict=False))
    same = all(a.columns == b.columns and (a.plain or a.text == b.text) and a.plain == b.plain for a, b in pairs)
    classes = all(a.operator_class == b.operator_class and a.nulls == b.nulls for a, b in pairs)
    one_way = len({a.descending != b.descending for a, b in pairs}) == 1
    carried = way.include <= longer.include | {column for key in longer.keys for column in key.columns}
    return same and classes and one_way and carried


def _max_secondary_indexes(expectation: MaxSecondaryIndexes, scene: Scene) -> Iterator[Look]:
    section = scene.need(scene.design.indexes, "indexes")
    for place in scene.places(expectation.entity):
        ways = [way for way in accesses(place.table, section) if way.name != "primary key"]
        said = f"{place.table.name} has {len(ways)} indexes beside its primary key; at most {expectation.max}"
        yield Look(f"/schema{place.where}", len(ways) <= expectation.max, said)


def _tenant_leads(expectation: TenantLeads, scene: Scene) -> Iterator[Look]:
    section = scene.need(scene.design.indexes, "indexes")
    for at, table in enumerate(scene.schema.tables):
        place = Place(at, table)
        tenant = _tenant_columns(expectation, scene, place)
        for way in accesses(table, section) if tenant else ():
            if len(way.keys) == 1 and (not way.unique or _is_surrogate(table, way)):
                continue
            leads = bool(way.keys[0].columns & tenant) and way.keys[0].plain
            said = f"{way} of {table.name} {'starts' if leads else 'does not start'} with the tenant"
            yield Look(_where(scene, way, place), leads, said)
        if tenant:
            yield good(f"/schema{place.where}", f"{table.name} has the tenant")


def _tenant_columns(expectation: TenantLeads, scene: Scene, place: Place) -> frozenset[str]:
    """The columns of a table that hold the tenant; a table of an entity that has one in the brief must have it."""
    entity = entity_of(scene.brief, place.table)
    if entity is not None and entity.attribute(expectation.attribute):
        return scene.names(place, entity.name, expectation.attribute)
    known = [one for each in scene.brief.entities if (one := each.attribute(expectation.attribute))]
    attribute = known[0] if known else Attribute(name=expectation.attribute, role=AttributeRole.TENANT)
    names = (column.name for column in place.table.columns)  # whole names: `id` of a table `tenants` is no reference
    return frozenset(name for name in names if entity_matches(name, attribute.name, attribute.aliases))


def _is_surrogate(table: Table, way: Access) -> bool:
    """A key of one column whose values the database or the application makes up."""
    column = table.column(min(way.keys[0].columns)) if len(way.keys[0].columns) == 1 else None
    if column is None or not way.keys[0].plain:
        return False
    made = {DefaultKind.RANDOM_UUID, DefaultKind.TIME_ORDERED_UUID}
    by_default = column.default is not None and column.default.kind in made
    return column.identity or by_default or (way.name == "primary key" and column.name in {"id", f"{table.name}_id"})


def _query_present(expectation: OfQueries, scene: Scene) -> Iterator[Look]:
    have = {one.id: at for at, one in enumerate(scene.need(scene.design.queries, "queries").queries)}
    for query in expectation.queries_all:
        where = f"/queries/queries/{have[query]}" if query in have else "/queries/queries"
        yield Look(where, query in have, f"there is {'a' if query in have else 'no'} statement for {query}")


_NAMES = {
    "statements.not_one",
    "statements.placeholder",
    "statements.syntax",
    "statements.kind",
    "statements.unknown_table",
    "statements.unknown_alias",
    "statements.unknown_column",
}


def _queries_valid(expectation: WholeDesign, scene: Scene) -> Iterator[Look]:
    queries = scene.need(scene.design.queries, "queries").queries
    scene.need(scene.design.schema, "schema")  # no name can be told from another without it
    wrong = [one for one in statements(scene.subject("queries")).findings if one.code in _NAMES]
    for finding in wrong:
        yield bad(f"/queries{finding.where}", finding.message)
    if not wrong:
        for at, query in enumerate(queries):
            yield good(f"/queries/queries/{at}", f"{query.id} names only what is there")


def _bounded(expectation: OfQueries, scene: Scene) -> Iterator[Look]:
    for query in expectation.queries_all:
        at, one = query_of(scene, query)
        for field, sql in (("sql", one.sql), ("next_page_sql", one.next_page_sql)):
            if sql is None:
                continue
            statement = parsed(sql, scene.relations)
            limit = None if isinstance(statement, Broken) else statement.tree.node("limitCount")
            inside = limit is not None and not limit.has("isnull")
            yield Look(f"/queries/queries/{at}/{field}", inside, f"{query} has {'a' if inside else 'no'} row limit")


_ON_PRIMARY = {"strong", "read_committed"}


def _consistency(expectation: Consistency, scene: Scene) -> Iterator[Look]:
    """PostgreSQL reads committed data on the primary; a copy of any kind lags behind."""
    at, _ = query_of(scene, expectation.query)
    scaling = scene.need(scene.design.scaling, "scaling")
    cached = scene.need(scene.design.caching, "caching").entries
    copies = [f"/caching/entries/{n}" for n, one in enumerate(cached) if one.query == expectation.query]
    copies += [
        f"/scaling/routes/{n}"
        for n, one in enumerate(scaling.routes)
        if expectation.query in one.queries and one.to != "primary"
    ]
    levels = {"eventual"} if copies else _ON_PRIMARY
    said = f"{expectation.query} reads {'a copy that lags behind' if copies else 'committed rows on the primary'}"
    right = bool(levels & set(expectation.level_any))
    for where in copies or [f"/queries/queries/{at}"]:
        yield Look(where, right, said)


SCORERS: dict[str, Scorer] = {
    "index_for_query": scorer(OfQuery, _index_for_query, ("schema", "indexes"), reads_sql=True),
    "planner_uses_index": scorer(OfQuery, planner_uses_index, ("schema", "indexes", "queries"), reads_sql=True),
    "index_method": scorer(IndexMethod, _index_method, ("schema", "indexes"), reads_sql=True),
    "no_redundant_index": scorer(WholeDesign, _no_redundant_index, ("schema", "indexes"), reads_sql=True),
    "max_secondary_indexes": scorer(MaxSecondaryIndexes, _max_secondary_indexes, ("schema", "indexes"), reads_sql=True),
    "tenant_leads": scorer(TenantLeads, _tenant_leads, ("schema", "indexes"), reads_sql=True),
    "query_present": scorer(OfQueries, _query_present, ("queries",)),
    "queries_valid": scorer(WholeDesign, _queries_valid, ("schema", "queries"), reads_sql=True),
    "keyset_pagination": scorer(OfQuery, keyset_pagination, ("schema", "indexes", "queries"), reads_sql=True),
    "bounded": scorer(OfQueries, _bounded, ("schema", "queries"), reads_sql=True),
    "consistency": scorer(Consistency, _consistency, ("queries", "scaling", "caching")),
}
