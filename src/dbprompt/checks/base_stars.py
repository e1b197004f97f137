"""Whether a `*` takes in the columns of a table, which others may add to.

Poor: `SELECT * FROM orders`; `SELECT * FROM (SELECT * FROM orders) o`.
Fine: `SELECT * FROM paid` over `WITH paid AS (SELECT id, total ...)`, `SELECT * FROM unnest($1, $2) AS t(a, b)`: the
statement itself names the columns.
"""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.checks.base_statements import alias_of
from dbprompt.checks.base_trees import Node, find, words

__all__ = ["stars"]


def stars(select: Node) -> bool:
    """Whether a SELECT gives out every column of some table, by itself or through what it reads from."""
    waiting: list[tuple[Node, dict[str, Node]]] = [(select, {})]  # each with the WITH queries that it may read
    seen: set[int] = set()  # of WITH queries, as they stand in the tree
    while waiting:
        one, outer = waiting.pop()
        clause = one.node("withClause")
        named = {**outer, **{cte.text("ctename"): cte for cte in (clause.nodes("ctes") if clause else ())}}
        waiting += [(arm, named) for field in ("larg", "rarg") if (arm := one.node(field))]
        for source in _starred(one):
            cte = None if source.has("schemaname") else named.get(source.text("relname"))
            query = (
                source.node("subquery") if source.kind == "RangeSubselect" else cte.node("ctequery") if cte else None
            )
            if (source.kind == "RangeVar" and cte is None) or (query and _returns_star(query)):
                return True
            if query and not (cte and id(cte.fields) in seen):
                waiting.append((query, named))
            seen |= {id(cte.fields)} if cte else set()
    return False


def _starred(select: Node) -> Iterator[Node]:
    """The relations, subqueries and functions that the stars of one SELECT stand for."""
    values = [target.node("val") for target in select.nodes("targetList")]
    written = [words(value.nodes("fields")) for value in values if value and value.kind == "ColumnRef"]
    qualifiers = {names[-2] if len(names) > 1 else "" for names in written if names[-1] == "*"}
    waiting = [*select.nodes("fromClause")] if qualifiers else []
    while waiting:
        source = waiting.pop()
        if source.kind == "JoinExpr":
            waiting += [side for field in ("larg", "rarg") if (side := source.node(field))]
        elif source.kind == "RangeTableSample" and (sampled := source.node("relation")):
            waiting.append(sampled)
        elif "" in qualifiers or alias_of(source) in qualifiers:
            yield source


def _returns_star(write: Node) -> bool:
    """Whether it is an INSERT, UPDATE or DELETE ... RETURNING *."""
    clause = write.node("returningClause")
    returned = clause.nodes("exprs") if clause else write.nodes("returningList")
    return any(any(find(one, "A_Star")) for one in returned)
