"""A statement answers its query of the brief: its filters, its order, its limit, and nothing besides.

Poor: `SELECT id FROM orders WHERE status = 'new'` for "the latest 20 orders of one buyer": not of the buyer, not the
latest, not 20, and with a filter that nobody asked for.
Better: `SELECT id, status, total, created_at FROM orders WHERE buyer_id = $1 ORDER BY created_at DESC, id DESC
LIMIT 20`.

What the brief names and the statement has not is an error; a filter that it does not name is a warning, since the text
may mean it ("open deals"). Names of columns are looked for in the whole statement, joins and subqueries included.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeAlias

from dbprompt.brief import AttributeRole, Entity, QueryKind, QueryNeed
from dbprompt.checks.base_design import advice, error, judged, listing, not_checked, rules, warning
from dbprompt.checks.base_queries import Asked, asked_queries, descends, shown, sort_columns
from dbprompt.checks.base_statements import parsed
from dbprompt.checks.base_trees import HOW_TO_GET, Broken, Node, find, function_name, grammar, words
from dbprompt.checks.base_views import with_views
from dbprompt.checks.query_conditions import conditions, is_filtered
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Finding, Report

__all__ = ["queries"]

_READS = {one for one in QueryKind if one not in {QueryKind.INSERT, QueryKind.UPDATE, QueryKind.DELETE}}
_WRITES = ("InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt")
_AGGREGATES = frozenset(
    {"count", "sum", "avg", "min", "max", "array_agg", "json_agg", "jsonb_agg", "string_agg", "bool_or"}
)

Pairs: TypeAlias = frozenset[tuple[str, str]]


def queries(subject: Subject) -> Report:
    """What the brief asks of each statement of the section `queries`."""
    if subject.section != "queries":
        return Report()
    checker = rules("answer")
    if grammar() is None:
        return not_checked(subject, checker=checker, why=HOW_TO_GET)
    findings = [
        finding for asked in asked_queries(subject) for finding in (*_conditions(subject, asked), *_answer(asked))
    ]
    return judged(subject, findings, checker=checker, uncovered="whether it returns what the brief means")


def _conditions(subject: Subject, asked: Asked) -> Iterator[Finding]:
    """What holds for every statement, whatever the brief asks: the later pages' too."""
    called = f"query {asked.query.id}"
    yield from conditions(asked.statement, called=called, where=f"{asked.where}/sql")
    schema = with_views(subject.design)
    later = parsed(asked.query.next_page_sql, schema) if schema and asked.query.next_page_sql else Broken("")
    if not isinstance(later, Broken):
        yield from conditions(later, called=f"the next page of {called}", where=f"{asked.where}/next_page_sql")


def _answer(asked: Asked) -> Iterator[Finding]:
    need, where, called = asked.need, f"{asked.where}/sql", f"query {asked.query.id}"
    if need is None or not asked.tables:
        return
    statement = asked.statement
    if need.kind in _READS and any(find(statement.tree, *_WRITES)):
        message = f"{called} changes data, and the brief asks for a reading query ({need.text}); write a SELECT"
        yield error("queries.writes_data", where, message)
        return
    if need.kind is QueryKind.INSERT:
        return
    mentioned = statement.mentioned(statement.conditions())
    using = statement.joined_using()
    for attribute in need.eq:
        pairs = asked.columns(attribute)
        if pairs and not pairs & mentioned and not any(column in using for _, column in pairs):
            message = (
                f"{called} does not filter by {attribute} ({shown(pairs)}), and the brief asks for "
                f"{listing(need.eq)}: "
                f"{need.text}; add it to the WHERE with a parameter"
            )
            yield error("queries.eq_missing", where, message)
        elif pairs & mentioned and not is_filtered(statement, _either(asked, need, pairs)):
            message = (
                f"{called} compares {attribute} ({shown(pairs)}) only in one arm of an OR, so rows of any other come "
                f"too, and the brief asks for {listing(need.eq)}: {need.text}; put it beside the OR with AND"
            )
            yield error("queries.eq_missing", where, message)
    pages_over = {name for name, _ in need.sort_keys} if asked.query.pagination == "keyset" else set()
    for attribute in need.range:
        pairs = asked.columns(attribute)
        if pairs and not pairs & mentioned and attribute not in pages_over:  # a first page starts anywhere
            message = f"{called} has no range over {attribute} ({shown(pairs)}), which the brief names: {need.text}"
            yield warning("queries.range_missing", where, message)
    if need.kind in _READS:
        yield from _sort(asked, need)
        yield from _limit(asked, need)
        yield from _unasked(asked, need)


def _either(asked: Asked, need: QueryNeed, pairs: Pairs) -> Pairs:
    """The columns of which each arm of an OR has to compare one: where the brief itself says "or", any of its own."""
    if not re.search(r"\b(or|either)\b", need.text, re.IGNORECASE):
        return pairs
    return frozenset(pair for name in need.eq for pair in asked.columns(name))


def _sort(asked: Asked, need: QueryNeed) -> Iterator[Finding]:
    wanted = [(asked.columns(name), down) for name, down in need.sort_keys]
    if not wanted or not all(pairs for pairs, _ in wanted):
        return
    fixed = frozenset(pair for name in need.eq for pair in asked.columns(name))
    if any(_sorts_so(asked, select, wanted, fixed) for select in find(asked.statement.tree, "SelectStmt")):
        return
    keys = ", ".join(f"{shown(pairs)} {'DESC' if down else 'ASC'}" for pairs, down in wanted)
    message = f"query {asked.query.id} is not sorted as the brief asks ({listing(need.sort)}); add ORDER BY {keys}"
    yield error("queries.sort_missing", f"{asked.where}/sql", message)


def _sorts_so(asked: Asked, select: Node, wanted: list[tuple[Pairs, bool]], fixed: Pairs) -> bool:
    """Whether an ORDER BY starts with the wanted keys; what is equal in all rows, or is grouped by, may go before."""
    waiting = list(wanted)
    for key in select.nodes("sortClause"):
        columns = sort_columns(asked.statement, select, key)
        pairs, down = waiting[0]
        if columns & pairs and descends(key) == down:
            waiting.pop(0)
            if not waiting:
                return True
        elif not (columns & fixed or select.has("distinctClause")):
            return False
    return False


def _limit(asked: Asked, need: QueryNeed) -> Iterator[Finding]:
    statement, where = asked.statement, f"{asked.where}/sql"
    selects = list(find(statement.tree, "SelectStmt"))
    limits = [limit for select in selects if (limit := select.node("limitCount"))]
    if not need.limit or any(select.has("distinctClause") for select in selects):
        return
    if not limits and not _one_row(asked):
        message = (
            f"query {asked.query.id} has no LIMIT, and the brief asks for at most {need.limit}; add LIMIT {need.limit}"
        )
        yield error("queries.limit_missing", where, message)
    number = limits[0].node("ival") if limits else None
    if number is not None and number.number("ival") > need.limit > 1:
        message = (
            f"query {asked.query.id} returns up to {number.number('ival')} rows, and the brief asks for {need.limit}"
        )
        yield warning("queries.limit_larger", where, message)


def _one_row(asked: Asked) -> bool:
    """Whether a whole key is compared, or everything is aggregated: then there is one row without a LIMIT."""
    tree = asked.statement.tree
    fixed = {column for table, column in asked.statement.mentioned(asked.statement.conditions())}
    for table in asked.tables:
        if any(key <= fixed for key in asked.unique_keys(table)):
            return True
    calls = {function_name(call) for call in find(tree, "FuncCall")}
    return tree.kind == "SelectStmt" and not tree.has("groupClause") and bool(calls & _AGGREGATES)


def _unasked(asked: Asked, need: QueryNeed) -> Iterator[Finding]:
    """A filter that nobody asked for hides rows."""
    entity = asked.entity
    if entity is None:
        return
    named = {pair for name in (*need.eq, *need.range, *(n for n, _ in need.sort_keys)) for pair in asked.columns(name)}
    keys = {(table.name, column) for table in asked.statement.tables for column in table.primary_key}
    seen: set[tuple[str, str]] = set()
    for condition in asked.statement.conditions():
        for compared in find(condition, "A_Expr", "NullTest"):
            sides = [side for field in ("lexpr", "rexpr", "arg") if (side := compared.node(field))]
            names = [words(side.nodes("fields")) for side in sides if side.kind == "ColumnRef"]
            if len(names) != 1:
                continue  # a join, or no plain comparison
            pairs = {(table.name, column.name) for table, column in asked.statement.columns(names[0])}
            own = {pair for pair in pairs if pair[0] in {table.name for table in asked.tables}}
            if own and not own & (named | keys | seen):
                seen |= own
                yield _unasked_filter(asked, need, entity, names[0][-1])


def _unasked_filter(asked: Asked, need: QueryNeed, entity: Entity, column: str) -> Finding:
    """Less sure where the text may mean it: "open deals" means a filter by stage."""
    states = {AttributeRole.STATUS, AttributeRole.FLAG, AttributeRole.TENANT}
    attributes = [a for a in entity.attributes if any(name == column for _, name in asked.columns(a.name))]
    stem = column.partition("_")[0][:6]
    meant = any(a.role in states for a in attributes) or stem in need.text.lower()
    found = advice if meant else warning
    message = (
        f"query {asked.query.id} filters by {column}, which the brief's query does not name ({need.text}); leave it "
        "out, "
        "unless the text means it"
    )
    return found("queries.unasked_filter", f"{asked.where}/sql", message)
