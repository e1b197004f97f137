"""What is cached exists, ends in time, and has all that its answer depends on in its key.

Poor: `order:{id}` kept for an hour with nothing but expiry, while the brief wants its query at most 0 s old; a cached
list of `orders JOIN buyers` that only a write to `orders` ends; `latest_orders` without the buyer in its key, so that
one buyer sees another's; a lifetime of 60 days in memcached, which takes more than 30 for a date of 1970.
Better: `order:{public_number}`, 60 s, ended by a write to `orders`.

How often a key is asked for is arithmetic: an answer that is asked for 30 times a day is never found again within five
minutes. Sources: the brief's freshness; github.com/memcached/memcached/wiki/Programming, "Expiration"; RFC 9111 for
what a shared cache may keep.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dbprompt.brief import QueryKind, QueryNeed
from dbprompt.checks.base_design import advice, error, judged, listing, rules, tables_with, warning
from dbprompt.checks.base_matching import entity_of, is_misshapen
from dbprompt.checks.base_statements import Parsed, parsed
from dbprompt.checks.base_trees import HOW_TO_GET, Broken, grammar
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Finding, Report
from dbprompt.sections.caching import CachedThing, Caching
from dbprompt.sections.names import normal
from dbprompt.sections.queries import Query
from dbprompt.sections.schedule import Schedule, duration, schedule_problem
from dbprompt.sections.schema import Schema, Table

__all__ = ["MEMCACHED_MOST_S", "caching", "uses_per_life"]

MEMCACHED_MOST_S = 30 * 86_400
"""More seconds than this are read as a date."""

_ENDED_BY_WRITE = {"write", "event", "purge"}
_WRITES = {"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"}
_LONG_SESSION_S = 86_400
_SECONDS_IN_DAY = 86_400


def caching(subject: Subject) -> Report:
    """The section `caching` against the queries, the schema, the chosen stores and the brief."""
    section, schema = subject.design.caching, subject.design.schema
    if subject.section != "caching" or section is None or schema is None:
        return Report()
    uncovered = "that the application invalidates as it says; how often a key is found again"
    if grammar() is None:
        uncovered += f"; which tables a query reads ({HOW_TO_GET})"
    return judged(subject, _findings(subject, section, schema), checker=rules("cache"), uncovered=uncovered)


def uses_per_life(need: QueryNeed, ttl_s: int) -> float | None:
    """How often a query is asked within a time to live: rate x ttl. An upper bound of what one key can serve."""
    if need.per_s is not None:
        return need.per_s * ttl_s
    return None if need.per_day is None else need.per_day / _SECONDS_IN_DAY * ttl_s


def _findings(subject: Subject, section: Caching, schema: Schema) -> Iterator[Finding]:
    keys: dict[tuple[str, str], str] = {}
    names: set[str] = set()
    for at, entry in enumerate(section.entries):
        where = f"/entries/{at}"
        if entry.name in names:
            yield error("caching.duplicate", where, f"cache entry {entry.name} is there twice; rename or drop one")
        names.add(entry.name)
        pattern = (entry.store, re.sub(r"\{[^}]*\}", "{}", entry.key))
        if pattern in keys:
            message = (
                f"{entry.name} and {keys[pattern]} have keys of one form ({entry.key}) in {entry.store}, so one "
                f"overwrites the other; begin the key with a word of its own, such as {entry.name}:"
            )
            yield error("caching.key_collision", f"{where}/key", message)
        keys.setdefault(pattern, entry.name)
        yield from _entry(subject, entry, schema, where)
    yield from _stores(subject, section)


def _entry(subject: Subject, entry: CachedThing, schema: Schema, where: str) -> Iterator[Finding]:
    yield from _life(entry, where)
    known = [table for name in entry.invalidating_tables if (table := schema.table(name))]
    for name in dict.fromkeys((*((entry.table,) if entry.table else ()), *entry.invalidating_tables)):
        if schema.table(name) is None and not is_misshapen(subject, name):
            message = f"{entry.name} names table {name}, which is not in the schema; {tables_with(schema)}"
            yield error("caching.unknown_table", where, message)
    if entry.kind == "row" and entry.table and (table := schema.table(entry.table)):
        yield from _row(subject, entry, table, where)
    if entry.query is None or subject.design.queries is None or is_misshapen(subject, entry.query):
        return
    query = next((one for one in subject.design.queries.queries if one.id == entry.query), None)
    if query is None:
        have = listing(one.id for one in subject.design.queries.queries)
        message = f"{entry.name} caches query {entry.query}, which the design does not have; it has {have}"
        yield error("caching.unknown_query", f"{where}/query", message)
        return
    yield from _fresh(subject, entry, where)
    yield from _query(subject, entry, query, schema, [table.name for table in known], where)


def _life(entry: CachedThing, where: str) -> Iterator[Finding]:
    """What can be said of an entry by itself."""
    if entry.store == "memcached" and entry.ttl_s > MEMCACHED_MOST_S:
        message = (
            f"{entry.name} is to live {entry.ttl_s:,} s in memcached, which reads more than {MEMCACHED_MOST_S:,} s (30 "
            "days) as a date long past and drops it at once; use at most 30 days"
        )
        yield error("caching.memcached_lifetime", f"{where}/ttl_s", message)
    if entry.kind == "session" and entry.store == "cdn":
        message = f"{entry.name} is one person's session, and a CDN is shared by all; keep it in redis or memcached"
        yield error("caching.private_in_shared", f"{where}/store", message)
    if entry.kind == "session" and entry.invalidated_by in {"write", "purge"}:
        message = (
            f"session {entry.name} is ended by {entry.invalidated_by}; a session ends by logout (or expiry, or the "
            "event of a locked account)"
        )
        yield error("caching.session_end", f"{where}/invalidated_by", message)
    elif entry.kind == "session" and entry.invalidated_by == "expiry" and entry.ttl_s > _LONG_SESSION_S:
        message = (
            f"session {entry.name} lives {entry.ttl_s:,} s and nothing ends it, so a stolen one works for days after "
            "the person left; end it by logout"
        )
        yield warning("caching.session_end", f"{where}/invalidated_by", message)
    elif entry.kind != "session" and entry.invalidated_by == "logout":
        message = f"{entry.name} is no session, so a logout does not make it stale; use write, event, purge or expiry"
        yield error("caching.session_end", f"{where}/invalidated_by", message)
    if entry.store == "application" and entry.invalidated_by in {"write", "purge"}:
        message = (
            f"{entry.name} stands in the memory of each process, and a {entry.invalidated_by} in one does not reach "
            "the others; send them an event (LISTEN/NOTIFY, a channel of redis), or let it expire soon"
        )
        yield warning("caching.local_copy", f"{where}/invalidated_by", message)


def _row(subject: Subject, entry: CachedThing, table: Table, where: str) -> Iterator[Finding]:
    """A cached row: its key is a key of the table, and a write to the table ends it."""
    called = {
        part: column.name
        for column in table.columns
        for part in (column.name, f"{normal(table.name)}_{column.name}")
        if part in entry.parts
    }
    keys = [columns for columns in (table.primary_key, *(unique.columns for unique in table.uniques)) if columns]
    if keys and not any(set(columns) <= set(called.values()) for columns in keys):
        forms = " or ".join(":".join(f"{{{name}}}" for name in columns) for columns in keys[:2])
        message = f"the key {entry.key} of {entry.name} does not tell rows of {table.name} apart; name {forms} in it"
        yield error("caching.key_incomplete", f"{where}/key", message)
    if entry.invalidated_by in _ENDED_BY_WRITE and table.name not in entry.invalidating_tables:
        message = (
            f"{entry.name} keeps rows of {table.name} until a {entry.invalidated_by}, and a write to {table.name} is "
            "not among invalidating_tables; add it"
        )
        yield error("caching.write_missed", f"{where}/invalidating_tables", message)
    entity = entity_of(subject.brief, table)
    if subject.brief is None or entity is None or entry.invalidated_by != "expiry":
        return
    for need in subject.brief.queries:
        same = subject.brief.entity(need.entity) == entity and need.kind is QueryKind.POINT
        if same and need.freshness_s < entry.ttl_s:
            message = (
                f"{entry.name} keeps rows of {table.name} {entry.ttl_s:,} s old, and the brief's {need.id} wants them "
                f"at most {need.freshness_s:,g} s old; end it by write, or see that {need.id} does not read it"
            )
            yield warning("caching.stale", f"{where}/ttl_s", message)


def _fresh(subject: Subject, entry: CachedThing, where: str) -> Iterator[Finding]:
    need = subject.brief.query(entry.query) if subject.brief and entry.query else None
    if need is None:
        return
    if entry.invalidated_by in {"expiry", "logout"} and entry.ttl_s > need.freshness_s:
        message = (
            f"{entry.name} serves {need.id} up to {entry.ttl_s:,} s old, and the brief wants it at most "
            f"{need.freshness_s:,g} s old; shorten ttl_s to that, end it by write with the tables that it reads, or do "
            "not cache it"
        )
        yield error("caching.stale", f"{where}/ttl_s", message)
    uses = uses_per_life(need, entry.ttl_s)
    if uses is not None and uses < 2:
        message = (
            f"{need.id} is asked for {uses:,.2g} times within the {entry.ttl_s:,} s that {entry.name} lives (rate x "
            "ttl_s), so nothing is ever found there; drop it, or keep it longer"
        )
        yield advice("caching.never_hit", f"{where}/ttl_s", message)


def _query(
    subject: Subject, entry: CachedThing, query: Query, schema: Schema, named: list[str], where: str
) -> Iterator[Finding]:
    missing = [parameter.name for parameter in query.parameters if parameter.name not in entry.parts]
    if missing:
        message = (
            f"the answer of {query.id} depends on {listing(missing)}, and the key {entry.key} of {entry.name} does not "
            f"hold {'it' if len(missing) == 1 else 'them'}, so one answer is given for all; add "
            f"{':'.join(f'{{{name}}}' for name in missing)}"
        )
        yield error("caching.key_incomplete", f"{where}/key", message)
    statement = parsed(query.sql, schema) if grammar() else Broken("")
    if isinstance(statement, Broken):
        return
    if statement.kind in _WRITES:
        message = f"{entry.name} caches {query.id}, which writes; cache what is read"
        yield error("caching.not_a_read", f"{where}/query", message)
        return
    yield from _behind_a_view(subject, entry, query, statement, where)
    if entry.invalidated_by not in _ENDED_BY_WRITE:
        return
    yield from _tables(subject, entry, query, statement, named, where)


def _behind_a_view(
    subject: Subject, entry: CachedThing, query: Query, statement: Parsed, where: str
) -> Iterator[Finding]:
    """A cached answer from a materialised view is as old as both together: the longest gap between refreshes + ttl."""
    need = subject.brief.query(query.id) if subject.brief else None
    if need is None or entry.invalidated_by != "expiry" or entry.ttl_s > need.freshness_s:
        return
    for view in subject.design.views.views if subject.design.views else ():
        if view.name in statement.unknown and not schedule_problem(view.refresh):
            gap = Schedule.of(view.refresh).longest_gap
            if gap.total_seconds() + entry.ttl_s > need.freshness_s:
                message = (
                    f"{entry.name} lives {entry.ttl_s:,} s and is read from view {view.name}, which is refreshed every "
                    f"{duration(gap)}: together older than the {need.freshness_s:,g} s that the brief lets {need.id} "
                    "be; do not cache what is computed ahead, or refresh the view more often"
                )
                yield error("caching.stale", f"{where}/ttl_s", message)


def _tables(
    subject: Subject, entry: CachedThing, query: Query, statement: Parsed, named: list[str], where: str
) -> Iterator[Finding]:
    """The tables whose writes end an answer are those that it is read from."""
    reads = {table.name for table in statement.tables}
    through_views = _behind_views(subject, statement)
    need = subject.brief.query(query.id) if subject.brief else None
    late = need is None or entry.ttl_s > need.freshness_s
    if late and (unheard := sorted(reads - set(named))):
        message = (
            f"{query.id} reads {listing(sorted(reads))}, and a write to {listing(unheard)} does not end {entry.name}; "
            f"add {listing(unheard)} to invalidating_tables"
        )
        yield error("caching.write_missed", f"{where}/invalidating_tables", message)
    if unrelated := sorted(set(named) - reads - through_views):
        message = (
            f"a write to {listing(unrelated)} ends {entry.name}, and {query.id} does not read "
            f"{'it' if len(unrelated) == 1 else 'them'}; it reads {listing(sorted(reads | through_views))}"
        )
        yield error("caching.unrelated_table", f"{where}/invalidating_tables", message)


def _behind_views(subject: Subject, statement: Parsed) -> frozenset[str]:
    """The tables of the materialised views that a statement reads."""
    schema, views = subject.design.schema, subject.design.views
    found: set[str] = set()
    for view in views.views if views and schema else ():
        if schema is not None and view.name in statement.unknown:
            under = parsed(view.sql, schema)
            found |= set() if isinstance(under, Broken) else {table.name for table in under.tables}
    return frozenset(found)


def _stores(subject: Subject, section: Caching) -> Iterator[Finding]:
    """Caches are among the stores that were chosen, and each chosen cache has something to keep."""
    selection = subject.design.selection
    if selection is None:
        return
    chosen = {str(store.engine) for store in selection.supporting}
    for at, entry in enumerate(section.entries):
        if entry.store != "application" and entry.store not in chosen:
            message = (
                f"{entry.name} is kept in {entry.store}, which the selection does not name (supporting: "
                f"{listing(sorted(chosen))}); use one of these or application, or do without"
            )
            yield error("caching.store_not_chosen", f"/entries/{at}/store", message)
    used = {entry.store for entry in section.entries}
    shapeless = bool(subject.misshapen)
    for number, store in enumerate(selection.supporting):
        if store.role in {"cache", "delivery"} and store.engine not in used and not shapeless:
            message = (
                f"the selection runs {store.engine} for {store.purpose!r} (/selection/supporting/{number}), and "
                "nothing is kept there; add what it keeps, or do without the store"
            )
            yield warning("caching.store_idle", "/entries", message)
