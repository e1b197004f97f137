"""Every query of the brief has an index, and every index has a reason.

Poor: `orders (created_at)` for "the latest 20 orders of one buyer": PostgreSQL walks the newest orders of everybody.
`orders (buyer_id)` beside `orders (buyer_id, created_at)`: the second serves what the first does, and each write pays
for both. A cascading foreign key without an index: each delete of a parent reads the whole child table.
Better: `orders (buyer_id, created_at desc)`: equality first, then the sort.

Sources: postgresql.org/docs/18/indexes-multicolumn.html and indexes-ordering.html; a missing index for a foreign key is
a warning, since 201 of 302 in respected schemas have none (facts/mistakes_and_rules.md, 2), and an error where the
design itself makes each delete search a large table.
"""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.brief import Brief, QueryKind, QueryNeed
from dbprompt.checks.base_access import Access, Want, accesses, serves, want_of
from dbprompt.checks.base_design import advice, error, judged, listing, rules, warning
from dbprompt.checks.base_matching import entity_of, is_misshapen, places_of, rows_3y
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Finding, Report
from dbprompt.sections.indexes import Indexes
from dbprompt.sections.schema import ForeignKey, Schema, Table

__all__ = ["indexes"]

_LARGE_TABLE = 1_000_000
_MANY = 8


def indexes(subject: Subject) -> Report:
    """The section `indexes` against the schema and the brief's queries."""
    section, schema = subject.design.indexes, subject.design.schema
    if subject.section != "indexes" or section is None or schema is None:
        return Report()
    uncovered = "whether the planner will use it: that depends on the data"
    return judged(subject, _findings(subject, section, schema), checker=rules("index"), uncovered=uncovered)


def _findings(subject: Subject, section: Indexes, schema: Schema) -> Iterator[Finding]:
    ways = {table.name: accesses(table, section) for table in schema.tables}
    if subject.brief is not None:
        views = subject.design.views.views if subject.design.views else ()
        served = {name for view in views for name in view.serves}  # they read the view, and its key is their index
        for query in subject.brief.queries:
            if query.id not in served:
                yield from _query(subject, subject.brief, query, ways, schema)
    for table in schema.tables:
        for key in table.foreign_keys:
            yield from _foreign_key(subject, table, key, ways[table.name])
        own = [way for way in ways[table.name] if way.at is not None]
        for way in own:
            yield from _covered(way, ways[table.name])
            yield from _purpose(subject, schema, section, table, way)
        if len(own) > _MANY:
            message = (
                f"{table.name} has {len(own)} indexes beside its keys ({listing(way.name for way in own)}), and each "
                "write "
                "pays for all of them; keep those that a query needs"
            )
            yield advice("indexes.many", "/indexes", message)


def _query(
    subject: Subject, brief: Brief, query: QueryNeed, ways: dict[str, tuple[Access, ...]], schema: Schema
) -> Iterator[Finding]:
    entity = brief.entity(query.entity)
    if entity is None or query.kind is QueryKind.INSERT or not (query.eq or query.range or query.sort):
        return
    for place in places_of(brief, schema, entity):
        table = place.table
        want = want_of(brief, query, table, entity)
        if isinstance(want, str):
            message = f"whether an index serves {query.id} is not known: {table.name} has no column for {want}"
            yield warning("indexes.query_unmatched", "/indexes", message)
        elif not _served(table, want, ways[table.name]) and not _may_be_served_by_misshapen(subject, ways[table.name]):
            yield _unserved(query, table, want, ways[table.name])


def _served(table: Table, want: Want, ways: tuple[Access, ...]) -> bool:
    if any(serves(way, want) for way in ways):
        return True
    by = table.partitioning.column if table.partitioning else ""
    return not want.eq and any(by in names for names in want.ranges)  # whole partitions are read, and no others


def _may_be_served_by_misshapen(subject: Subject, ways: tuple[Access, ...]) -> bool:
    """An index that failed its shape is sent back anyway; nobody knows yet what it will serve."""
    shaped = {way.name.removeprefix("index ") for way in ways}
    return bool(subject.misshapen - shaped)


def _unserved(query: QueryNeed, table: Table, want: Want, ways: tuple[Access, ...]) -> Finding:
    asks = [
        f"eq {listing(query.eq)}" if query.eq else "",
        f"range {listing(query.range)}" if query.range else "",
        f"sort {listing(query.sort)}" if query.sort else "",
    ]
    asked = "; ".join(part for part in asks if part)
    have = "; ".join(str(way) for way in ways) or "none"
    if want.special:
        add = f"an index of a fitting method (gin, gist, ...) on {listing(sorted(want.special))}"
    else:
        add = f"an index with the keys {want.suggestion}"
    message = (
        f"no index or key of {table.name} serves query {query.id} ({asked}); add {add} on {table.name}, with "
        f"{query.id} in "
        f"its serves. {table.name} has: {have}"
    )
    found = error if query.per_s and not want.special else warning
    return found("indexes.query_unserved", "/indexes", message)


def _foreign_key(subject: Subject, table: Table, key: ForeignKey, ways: tuple[Access, ...]) -> Iterator[Finding]:
    width = len(key.columns)
    for way in ways:
        leading = {column for k in way.keys[:width] for column in k.columns if k.plain}
        partial = way.predicate is not None and not _only_not_null(way.predicate, key.columns)
        if leading == set(key.columns) and way.method in {"btree", "hash", "gist"} and not partial:
            return
    rows = rows_3y(subject, table) or 0
    searches = key.on_delete in {"cascade", "set_null", "set_default"}
    message = (
        f"no index of {table.name} starts with ({listing(key.columns)}), its foreign key to {key.references}; a delete "
        f"there ({key.on_delete}) reads all of {table.name}, and so does a join. Add an index with the keys "
        f"{listing(key.columns)}"
    )
    found = error if searches and rows >= _LARGE_TABLE else warning
    yield found("indexes.foreign_key_unindexed", "/indexes", message)


def _only_not_null(predicate: str, columns: tuple[str, ...]) -> bool:
    said = " ".join(predicate.lower().strip("() ").split())
    return said in {f"{column} is not null" for column in columns}


def _covered(way: Access, ways: tuple[Access, ...]) -> Iterator[Finding]:
    """An index that another one does the work of."""
    where = f"/indexes/{way.at}"
    for other in ways:
        same_rows = _predicate(way) == _predicate(other) and way.method == other.method
        if other is way or not same_rows or not _starts_with(other, way):
            continue
        same_keys = len(way.keys) == len(other.keys)
        if same_keys and other.at is not None and way.unique == other.unique and way.include == other.include:
            if other.at < (way.at or 0):
                message = (
                    f"{way} is the same as {other} on {way.table}; drop it and list its queries in the serves of the "
                    "other"
                )
                yield error("indexes.duplicate", where, message, may_drop=True)
            continue
        if way.unique or (same_keys and other.at is not None and not other.unique and way.include > other.include):
            continue  # it forbids what the other allows, or carries more
        carried = way.include <= {*other.include, *(column for key in other.keys for column in key.columns)}
        if carried:
            message = (
                f"{way} is the start of {other} on {way.table}, which serves the same; drop it and list its queries "
                "in the "
                "serves of the other, if that is an index"
            )
            yield warning("indexes.redundant", where, message)
            return


def _predicate(way: Access) -> str:
    return " ".join((way.predicate or "").lower().split())


def _starts_with(longer: Access, shorter: Access) -> bool:
    """Whether the keys of one index are the first keys of another, read forwards or backwards."""
    if len(shorter.keys) > len(longer.keys):
        return False
    pairs = list(zip(shorter.keys, longer.keys, strict=False))
    if any(a.columns != b.columns or a.plain != b.plain or a.operator_class != b.operator_class for a, b in pairs):
        return False
    if any(not a.plain and a.text != b.text for a, b in pairs):
        return False
    if shorter.method != "btree":
        return len(shorter.keys) == len(longer.keys)
    return len({a.descending != b.descending for a, b in pairs}) == 1 and all(a.nulls == b.nulls for a, b in pairs)


def _purpose(subject: Subject, schema: Schema, section: Indexes, table: Table, way: Access) -> Iterator[Finding]:
    """An index that no query of the brief and no foreign key has a use for."""
    if subject.brief is None or way.unique or not way.keys:
        return
    useful = {column for key in table.foreign_keys for column in key.columns[:1]}
    entity = entity_of(subject.brief, table)
    queries = [query for query in subject.brief.queries if subject.brief.entity(query.entity) == entity]
    serving = False
    for query in queries if entity else ():
        want = want_of(subject.brief, query, table, entity) if entity else ""
        if isinstance(want, Want):
            serving = serving or serves(way, want)
            useful |= {column for names in (*want.eq, *want.ranges) for column in names}
    claimed = section.indexes[way.at or 0].serves
    if not serving and not claimed and not way.keys[0].columns & useful and not is_misshapen(subject, table.name):
        message = (
            f"{way} on {table.name} serves no query of the brief and no foreign key; say in purpose what it is for, "
            "or drop it"
        )
        yield advice("indexes.without_query", f"/indexes/{way.at}", message)
