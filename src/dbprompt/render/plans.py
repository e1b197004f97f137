"""Query plans as a person reads them: a short tree, and one line a query with what its index saves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from dbprompt.engines.postgres.plan_tree import Plan
from dbprompt.evidence import Exhibit
from dbprompt.messages import Json
from dbprompt.render.markdown import cell, code, fenced, table

__all__ = ["PLAN", "PlanRow", "cost_words", "plain_condition", "plan_markdown", "plan_rows", "plan_text"]

PLAN = "plan"
"""Under this key an exhibit's data holds EXPLAIN's JSON, which tells an exhibit of a plan from others."""

_LONGEST = 140
_CAST = re.compile(r"(?<=['\w])::(?:character varying|timestamp with(?:out)? time zone|\w+)(?:\[\])?")
_CAST_NAME = re.compile(r"\((\w+)\)::text")
_APPENDS = {"Append", "Merge Append"}


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One line of a table of plans.

    Args:
        query: as a person says it, `latest_orders`.
        volume: `today`.
        served: the indexes that the plan takes, or that it takes none.
        cost: the planner's cost.
        without: the cost without the index, or without each of them.
    """

    query: str
    volume: str
    served: str
    cost: str
    without: str


def plan_text(plan: Plan) -> str:
    """The tree: nodes in a chain on one line, branches indented below.

    >>> plan_text(Plan({"Node Type": "Limit", "Plan Rows": 20, "Plans": [{"Node Type": "Index Scan",
    ...     "Index Name": "orders_latest", "Relation Name": "orders", "Index Cond": "(buyer_id = $1)"}]}))
    'Limit 20 > Index Scan orders_latest on orders (buyer_id = $1)'
    """
    return "\n".join(_lines(plan, ""))


def cost_words(cost: float) -> str:
    """A cost for a message: whole numbers, or two digits where it is small."""
    return f"{cost:,.0f}" if cost >= 10 else f"{cost:.2g}"


def plan_rows(exhibits: Iterable[Exhibit]) -> tuple[PlanRow, ...]:
    """The exhibits that are plans, as lines."""
    shown = (exhibit.data for exhibit in exhibits if isinstance(exhibit.data, dict) and PLAN in exhibit.data)
    return tuple(_row(data) for data in shown)


def plan_markdown(exhibits: Iterable[Exhibit]) -> Iterator[str]:
    """A table of all plans, then their trees; nothing if there are none."""
    plans = [one for one in exhibits if isinstance(one.data, dict) and PLAN in one.data]
    if not plans:
        return
    cells = ((code(r.query), cell(r.volume), cell(r.served), r.cost, cell(r.without)) for r in plan_rows(plans))
    yield table(("Query", "Volume", "Served by", "Cost", "Without it"), cells, align="lllr")
    yield fenced("\n".join(_trees(plans)), "text")


def _trees(plans: Iterable[Exhibit]) -> Iterator[str]:
    """The tree of each query, once if it is the same at all volumes."""
    volumes: dict[tuple[str, str], list[str]] = {}
    for one in plans:
        data = one.data if isinstance(one.data, dict) else {}
        tree = one.text.rpartition("\n")[0]  # the last line holds the costs, which the table has
        volumes.setdefault((str(data.get("query")), tree), []).append(str(data.get("volume")))
    for (query, tree), at in volumes.items():
        yield f"{query} ({', '.join(at)})"
        yield from (f"  {line}" for line in tree.splitlines())


def _row(data: Mapping[str, Json]) -> PlanRow:
    without = data.get("without")
    costs = without if isinstance(without, dict) else {}
    named = [f"{cost_words(_number(cost))}" + (f" ({name})" if len(costs) > 1 else "") for name, cost in costs.items()]
    indexes = data.get("indexes")
    served = ", ".join(str(name) for name in indexes) if isinstance(indexes, list) else ""
    return PlanRow(
        str(data.get("query", "")), str(data.get("volume", "")), served or "no index",
        cost_words(_number(data.get("cost"))), ", ".join(named),
    )  # fmt: skip


def _number(value: Json) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _lines(plan: Plan, indent: str) -> Iterator[str]:
    chain, node = [_label(plan)], plan
    while len(children := _shown(node)) == 1:
        node = children[0]
        chain.append(_label(node))
    yield indent + " > ".join(chain)
    for child in children:
        yield from _lines(child, indent + "  ")


def _shown(plan: Plan) -> tuple[Plan, ...]:
    """The children; of partitions, which read alike, only the first."""
    return plan.children[:1] if plan.kind in _APPENDS else plan.children


def _label(plan: Plan) -> str:
    name = _kind(plan)
    if plan.kind == "Limit":
        return f"{name} {plan.rows:,.0f}"
    if plan.kind in _APPENDS:
        return f"{name} of {len(plan.children)}"
    if plan.words("Sort Key"):
        return f"{name} by {_short(', '.join(plan.words('Sort Key')))}"
    if plan.kind == "ModifyTable":
        return f"{plan.text('Operation')} {plan.relation}"
    conditions = [
        plain_condition(plan.text(key)) for key in ("Index Cond", "Hash Cond", "Merge Cond") if plan.text(key)
    ]
    conditions += [f"filter {plain_condition(plan.text('Filter'))}"] if plan.text("Filter") else []
    parts = [name, plan.index, f"on {plan.relation}" if plan.relation else ""]
    parts += [f"({_short('; '.join(conditions))})"] if conditions else []
    return " ".join(part for part in parts if part)


def _kind(plan: Plan) -> str:
    backward = " Backward" if plan.text("Scan Direction") == "Backward" else ""
    parallel = "Parallel " if plan.json.get("Parallel Aware") is True else ""
    strategy = {"Hashed": "Hash ", "Sorted": "Group "}.get(plan.text("Strategy"), "")
    return f"{parallel}{strategy}{plan.kind}{backward}"


def plain_condition(condition: str) -> str:
    """A condition of a plan as a person would write it.

    >>> plain_condition("((status)::text = 'shipped'::text)")
    "status = 'shipped'"
    """
    return _short(_bare(_CAST.sub("", _CAST_NAME.sub(r"\1", condition))))


def _bare(condition: str) -> str:
    """A condition without the parentheses around the whole of it."""
    depth = 0
    for at, letter in enumerate(condition):
        depth += (letter == "(") - (letter == ")")
        if depth == 0 and at < len(condition) - 1:
            return condition
    return condition[1:-1] if condition.startswith("(") else condition


def _short(text: str) -> str:
    words = " ".join(text.split())  # a value in a condition may hold a line's end
    return words if len(words) <= _LONGEST else words[: _LONGEST - 3] + "..."
