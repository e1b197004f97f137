"""What is wrong with one query's plan at one volume."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dbprompt.checks.base_design import advice, error, listing, warning
from dbprompt.checks.base_plans import MS_PER_COST, Planned, Planning, Without, milliseconds
from dbprompt.engines.postgres.plan_tree import INDEX_SCANS, Plan
from dbprompt.engines.postgres.tables import TableEntry
from dbprompt.evidence import Finding
from dbprompt.render.plans import cost_words, plain_condition, plan_text

__all__ = ["Wish", "findings_of"]

_HOT_PER_S = 1.0
_MODEL = f"at {MS_PER_COST:g} ms a cost unit; it tells a factor of ten, not the latency"
_SORTED_ROWS = 1_000
_CLEARLY = 3  # the estimate is too rough to say more of less than that
_NEARLY = 1.25
_APPENDS = {"Append", "Merge Append"}


@dataclass(frozen=True, slots=True)
class Wish:
    """What a query is meant to do.

    Args:
        p95_ms: its latency target; None if it has none.
        per_s: how often it runs.
        uses_index: the index that the design expects it to use.
        meant: indexes and keys that would serve what the brief asks of it.
    """

    p95_ms: float | None = None
    per_s: float = 0.0
    uses_index: str | None = None
    meant: tuple[str, ...] = ()

    @property
    def is_hot(self) -> bool:
        """Whether it runs all the time."""
        return self.per_s >= _HOT_PER_S


def findings_of(planning: Planning, planned: Planned, wish: Wish) -> Iterator[Finding]:
    """The findings of one query at one volume."""
    plan = planned.plan
    if plan is None:
        return
    told = list(_whole_reads(planning, planned, plan, wish))
    if not told:
        told += _sorts(planning, planned, plan, wish)
    if not told and _is_too_slow(plan, wish):
        told.append(_slow(planned, plan, wish.p95_ms or 0.0))
    yield from told
    yield from _unpruned(planning, planned, plan, wish)
    if not told:
        yield from _other_index(planning, planned, plan, wish)


def _is_too_slow(plan: Plan, wish: Wish) -> bool:
    return wish.p95_ms is not None and milliseconds(plan.cost) > wish.p95_ms


def _whole_reads(planning: Planning, planned: Planned, plan: Plan, wish: Wish) -> Iterator[Finding]:
    """Tables that are read from end to end, though the query has no time for it or an index was there for it."""
    reads: dict[int, tuple[TableEntry, list[Plan]]] = {}
    for node in plan.nodes():
        table = planning.table_of(node) if _reads_all(node) else None
        if table is not None and planned.is_large(table.name):
            reads.setdefault(table.oid, (table, []))[1].append(node)
    for table, nodes in reads.values():
        cost = sum(node.cost for node in nodes)
        too_slow = wish.p95_ms is not None and min(milliseconds(cost), milliseconds(plan.cost)) > wish.p95_ms
        lookup = _lookup_of(planning, planned, table) if nodes[0].kind == "Seq Scan" else ""
        if lookup and planned.forced is not None:
            yield _ignored(planned, table, nodes, lookup, planned.forced, too_slow=too_slow)
        elif too_slow and wish.p95_ms is not None:
            yield _unserved(planned, table, nodes, wish, wish.p95_ms)


def _reads_all(node: Plan) -> bool:
    return node.kind == "Seq Scan" or (
        node.kind in INDEX_SCANS and bool(node.relation) and not node.text("Index Cond") and not node.text("Order By")
    )


def _lookup_of(planning: Planning, planned: Planned, table: TableEntry) -> str:
    """The index of a table in which the query would look something up if it could not read all of it."""
    if planned.forced is None:
        return ""
    for name in planned.forced.lookups():
        found = planning.index(name)
        if found is not None and found[0].oid == table.oid:
            return found[1].name
    return ""


def _ignored(
    planned: Planned, table: TableEntry, nodes: list[Plan], index: str, forced: Plan, *, too_slow: bool
) -> Finding:
    held, rows = sum(node.rows for node in nodes), max(1, planned.rows.get(table.name, 1))
    share = min(1.0, held / rows)
    condition = _condition(nodes)
    cost = planned.plan.cost if planned.plan else 0.0
    message = (
        f"{_who(planned)} does not use {index}: {condition or 'it'} holds for about {held:,.0f} of {rows:,} rows of "
        f"{table.name} ({share:.0%}), and reading the whole table costs {cost_words(cost)}, by the index "
        f"{cost_words(forced.cost)}. No index helps to read so much: ask for fewer rows by a further condition, or "
        f"keep what it needs ready in a summary; drop {index} if no other query uses it"
    )
    return (warning if too_slow else advice)("plans.index_ignored", planned.query.statement.where, message)


def _unserved(planned: Planned, table: TableEntry, nodes: list[Plan], wish: Wish, target: float) -> Finding:
    cost = planned.plan.cost if planned.plan else 0.0
    condition = _condition(nodes)
    meant = [name for name in wish.meant if name]
    if meant:
        fix = (
            f"{listing(meant)} would serve what the brief asks: compare its bare columns, each with a value of the "
            "column's own type, and sort as it does"
        )
    else:
        fix = f"add an index on {table.name} with the columns that are compared by =, then those that are sorted by"
    message = (
        f"{_who(planned)} reads all {planned.rows.get(table.name, 0):,} rows of {table.name}: no index serves "
        f"{condition or 'it'}. Estimated work {_time(cost)} for a target of {target:,g} ms ({_MODEL}); {fix}"
    )
    found = error if meant and wish.is_hot and milliseconds(cost) > 10 * target else warning
    return found("plans.unserved", planned.query.statement.where, message)


def _slow(planned: Planned, plan: Plan, target: float) -> Finding:
    message = (
        f"{_who(planned)}: estimated work {_time(plan.cost)} for a target of {target:,g} ms ({_MODEL}): "
        f"{_one_line(plan)}. Read fewer rows, add what it filters or sorts by to its index, or keep the answer ready"
    )
    found = warning if milliseconds(plan.cost) > _CLEARLY * target else advice
    return found("plans.slow", planned.query.statement.where, message)


def _sorts(planning: Planning, planned: Planned, plan: Plan, wish: Wish) -> Iterator[Finding]:
    """The first rows of a sort of many: an index could hand them out in order."""
    for node in plan.nodes():
        below = _sort_below(node) if node.kind == "Limit" else None
        if below is None or not below.children:
            continue
        source = _source(below)
        table = planning.table_of(source) if source else None
        if source is None or table is None or below.children[0].rows < _SORTED_ROWS:
            continue
        names = {column.name for column in table.columns}
        keys = [key.removeprefix(f"{source.text('Alias')}.") for key in below.words("Sort Key")]
        if not all(key.split(" ")[0] in names for key in keys):
            continue
        message = (
            f"{_who(planned)} sorts about {below.children[0].rows:,.0f} rows of {table.name} by {', '.join(keys)} to "
            f"hand out {node.rows:,.0f}; an index with the columns that are compared by =, then {', '.join(keys)}, "
            f"hands them out in order. Estimated work {_time(plan.cost)} ({_MODEL})"
        )
        yield (warning if _is_too_slow(plan, wish) else advice)("plans.sort", planned.query.statement.where, message)
        return


def _sort_below(limit: Plan) -> Plan | None:
    """The sort that a limit takes the first rows of."""
    node = limit
    while len(node.children) == 1:
        node = node.children[0]
        if node.kind == "Sort":
            return node
        if node.kind not in {"Gather Merge", "Gather", "Result", "LockRows"}:
            return None
    return None


def _source(node: Plan) -> Plan | None:
    """The one table that a chain of nodes reads; partitions count as theirs."""
    while len(node.children) == 1 or (node.kind in _APPENDS and node.children):
        node = node.children[0]
        if node.relation:
            return node
        if node.kind not in {"Gather", "Gather Merge", "Result", *_APPENDS}:
            return None
    return node if node.relation else None


def _unpruned(planning: Planning, planned: Planned, plan: Plan, wish: Wish) -> Iterator[Finding]:
    """Partitioned tables of which a query reads every partition."""
    if not planned.sampled or (plan.kind == "ModifyTable" and plan.text("Operation") == "Insert"):
        return
    for table in planning.tables_in(plan):
        leaves = {leaf.relation for leaf in planning.tables.leaves(table)}
        read = {node.relation for node in plan.nodes() if node.relation in leaves}
        if table.kind != "partitioned" or len(leaves) < 2 or read != leaves or _stops_early(plan, leaves):
            continue
        keys = listing(table.names(table.split_columns))
        message = (
            f"{_who(planned)} reads all {len(leaves)} partitions of {table.name} that stand ready, and each further "
            f"one to come: its conditions do not settle {keys}. Compare {keys} with a parameter, or partition by a "
            "column that the query knows"
        )
        found = warning if wish.is_hot or (wish.p95_ms or 0) < milliseconds(plan.cost) else advice
        yield found("plans.no_pruning", planned.query.statement.where, message)


def _stops_early(plan: Plan, leaves: set[str]) -> bool:
    """Whether partitions are read one after the other in the order that is asked for, until there are enough rows."""
    for node in plan.nodes():
        if node.kind == "Limit" and len(node.children) == 1 and node.children[0].kind == "Append":
            parts = node.children[0].children
            if {part.relation for part in parts} <= leaves and all(part.kind in INDEX_SCANS for part in parts):
                return True
    return False


def _other_index(planning: Planning, planned: Planned, plan: Plan, wish: Wish) -> Iterator[Finding]:
    """The planner takes another index than the design says, and a better one."""
    found = planning.index(wish.uses_index) if wish.uses_index else None
    taken = planning.indexes_of(plan)
    if found is None or found[1].name in taken or not planned.is_large(found[0].name):
        return
    instead = listing(taken) if taken else "no index"
    costs = [one.plan.cost for one in planned.without if one.plan and found[1].name in planning.indexes_of(one.plan)]
    instead += f", which costs {cost_words(plan.cost)}"
    instead += f"; {found[1].name} would cost {cost_words(costs[0])}" if costs else ""
    message = (
        f"{_who(planned)} is said to use {found[1].name}, and the planner takes {instead}. Name that one in "
        f"uses_index, or drop {found[1].name} if no other query uses it"
    )
    yield warning("plans.other_index", planned.query.statement.where, message)


def takes_over(planning: Planning, without: Without, cost: float) -> str:
    """The index of the same table that does the same work nearly as well; empty if there is none."""
    own = planning.index(without.index)
    if own is None or without.plan is None or without.plan.cost > cost * _NEARLY + 1:
        return ""
    for name in planning.indexes_of(without.plan):
        other = planning.index(name)
        same = other is not None and other[0].oid == own[0].oid and other[1].name != own[1].name
        if other is not None and same and other[1].keys[:1] == own[1].keys[:1]:
            return other[1].name
    return ""


def _who(planned: Planned) -> str:
    return f"{planned.query.name} ({planned.volume})"


def _time(cost: float) -> str:
    time = milliseconds(cost)
    return f"{time:,.0f} ms" if time >= 10 else f"{time:.2g} ms"


def _condition(nodes: list[Plan]) -> str:
    return plain_condition(nodes[0].text("Filter"))


def _one_line(plan: Plan) -> str:
    lines = plan_text(plan).splitlines()
    return lines[0] + (" ..." if len(lines) > 1 else "")
